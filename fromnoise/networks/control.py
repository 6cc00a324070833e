"""Control branches: trainable copies of a network's encoder that read a hint, and steer the network by what they add."""

from torch import Tensor, nn

from .context import Context
from .layers.axes import conv, fold
from .layers.embed import zero
from .network import Network


class Branch(nn.Module):
    """A copy of a network's encoder that reads a hint as well (ControlNet, Zhang et al. 2023, sec. 3.1).

    r_i = Z_i(h_i(x + Z(stem(hint)), t, context)), one for each feature h_i of the network, which adds it to its own. All Z are zero at
    first, so a fresh branch changes nothing. x (B, C, *S), t (B,), hint (B, channels, factor *S) -> residuals like the network's features.
    """

    def __init__(self, network: Network, channels: int, axes: int, factor: int = 1):
        super().__init__()
        network.check_control()
        self.encoder = network.encoder_copy().requires_grad_(True)
        self.channels, self.patch, width = channels, network.patch * factor, network.width
        axes -= network.temporal  # frames go through it one by one
        self.stem = nn.Sequential(
            conv(axes, channels * self.patch**axes, width), nn.SiLU(), conv(axes, width, width), nn.SiLU(), zero(conv(axes, width, width, 1))
        )  # fmt: skip
        self.zero_convs = nn.ModuleList(network.zero_convs())

    def forward(self, x: Tensor, t: Tensor, context: Context, hint: Tensor) -> tuple[Tensor, ...]:
        x, t, context, hint = self.encoder.framed(x, t, context, hint)
        features, _ = self.encoder.encode(x, t, context, self.stem(fold(hint, self.patch)))
        return tuple(layer(feature) for layer, feature in zip(self.zero_convs, features, strict=True))
