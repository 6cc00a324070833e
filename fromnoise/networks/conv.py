"""The toy: a few convolutions in a row."""

from torch import Tensor, nn

from ..errors import Usage, at_least
from .context import Context
from .layers.axes import conv, fold, unfold
from .layers.embed import Kind, TimeEmbedding
from .network import Depth, Network


class Conv(Network):
    """Convolutions in a row, three by default, after each but the last the embedding as an added bias per channel; (B, C, *S) of 1 to 3 axes.

    width      channels of the layers inside
    depth      residual convolutions between the first and the last
    kernel     pixels a side of each convolution, odd; all together see patch ((depth + 2) (kernel - 1) + 1) pixels a side
    patch      pixels folded into channels before the first layer
    """

    ways = {"add": {}, "concat": {}}

    def __init__(
        self, channels: int = 1, width: int = 64, kernel: int = 5, depth: Depth = 1, patch: int = 1, axes: int = 2, time: Kind = "sinusoidal",
        concat: int = 0,
    ):  # fmt: skip
        super().__init__()
        at_least(1, "conv", width=width, depth=depth, patch=patch)
        at_least(0, "conv", concat=concat)
        if kernel < 1 or not kernel % 2:
            raise Usage(f"conv: kernel is odd, 1 or more, not {kernel}")
        self.dim, self.concat, self.patch = width, concat, patch
        self.time_embedding = TimeEmbedding(width, width, time)
        self.emb_proj = nn.Linear(width, width)
        self.conv_in = conv(axes, (channels + concat) * patch**axes, width, kernel)
        self.middle = nn.ModuleList(conv(axes, width, width, kernel) for _ in range(depth))
        self.conv_out = conv(axes, width, channels * patch**axes, kernel)
        self.act = nn.GELU("tanh")

    def forward(self, x: Tensor, t: Tensor, context: Context | None = None) -> Tensor:
        context = self.accepted(context)
        bias = self.emb_proj(self.act(self.embedding(t, context)))[..., *[None] * (x.ndim - 2)]
        h = self.act(self.conv_in(fold(context.beside(x), self.patch)) + bias)
        for layer in self.middle:
            h = h + self.act(layer(h) + bias)
        return unfold(self.conv_out(h), self.patch, tuple(x.shape[2:]))
