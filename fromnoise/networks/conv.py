"""The toy: three convolutions."""

from torch import Tensor, nn

from ..errors import Usage, at_least
from .context import Context
from .layers.axes import conv
from .layers.embed import Kind, TimeEmbedding
from .network import Network


class Conv(Network):
    """Three convolutions, after each but the last the embedding as an added bias per channel; (B, C, *S) of 1 to 3 axes."""

    ways = {"add": {}, "concat": {}}

    def __init__(self, channels: int = 1, width: int = 64, kernel: int = 5, axes: int = 2, time: Kind = "sinusoidal", concat: int = 0):
        super().__init__()
        at_least(1, "conv", width=width)
        at_least(0, "conv", concat=concat)
        if kernel < 1 or not kernel % 2:
            raise Usage(f"conv: kernel is odd, 1 or more, not {kernel}")
        self.dim, self.concat = width, concat
        self.time_embedding = TimeEmbedding(width, width, time)
        self.emb_proj = nn.Linear(width, width)
        self.conv_in = conv(axes, channels + concat, width, kernel)
        self.middle = conv(axes, width, width, kernel)
        self.conv_out = conv(axes, width, channels, kernel)
        self.act = nn.GELU("tanh")

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        bias = self.emb_proj(self.act(self.embedding(t, context)))[..., *[None] * (x.ndim - 2)]
        h = self.act(self.conv_in(context.beside(x)) + bias)
        return self.conv_out(h + self.act(self.middle(h) + bias))
