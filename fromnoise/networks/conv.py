"""The toy: three convolutions and a clock."""

from collections.abc import Sequence

from torch import Tensor, nn

from .context import NOTHING, Context
from .layers.axes import conv
from .layers.embed import ClockEmbedding


class Conv(nn.Module):
    """Three convolutions, each but the last told the clock and the condition by an added bias per channel; (B, C, *S) of 1 to 3 axes."""

    WAYS = {"add": {}, "concat": {}}

    def __init__(self, channels: int = 1, width: int = 64, kernel: int = 5, axes: int = 2, time: str = "sinusoidal", concat: int = 0):
        super().__init__()
        self.dim = width
        self.clock = ClockEmbedding(width, width, time)
        self.tell = nn.Linear(width, width)
        self.first = conv(axes, channels + concat, width, kernel)
        self.middle = conv(axes, width, width, kernel)
        self.last = conv(axes, width, channels, kernel)
        self.act = nn.GELU("tanh")

    @staticmethod
    def fitting(shape: Sequence[int]) -> dict[str, int]:
        """The settings that examples of this shape call for."""
        return {"channels": shape[0], "axes": len(shape) - 1}

    def forward(self, x: Tensor, clock: Tensor, context: Context | None = None) -> Tensor:
        context = (context or NOTHING).only("vector", "concat")
        emb = self.clock(clock)
        if context.vector is not None:
            emb = emb + context.vector
        bias = self.tell(self.act(emb)).reshape(*emb.shape, *[1] * (x.ndim - 2))
        h = self.act(self.first(context.beside(x)) + bias)
        h = h + self.act(self.middle(h) + bias)
        return self.last(h)
