"""Control branches: trainable copies of a network's encoding half that are shown a hint, and steer the network by what they add."""

from torch import Tensor, nn

from .context import Context
from .layers.axes import conv, fold
from .layers.embed import zero


class Branch(nn.Module):
    """A copy of a network's encoding half that sees a hint as well (ControlNet, Zhang et al. 2023, sec. 3.1).

    r_i = Z_i(h_i(x + Z(stem(hint)), clock, context)), one for each feature h_i of the network, which adds it to its own. All Z are zero at
    first, so a fresh branch changes nothing. x (B, C, *S), clock (B,), hint (B, channels, *S) -> residuals like the network's features.

    network  gives its `half()`, a copy that can `encode`, and its `joints()`, the layers Z_i; it may itself be trained or not
    """

    def __init__(self, network: nn.Module, channels: int, axes: int):
        super().__init__()
        self.channels, width = channels, network.enter.weight.shape[0]
        self.encoder = network.half().requires_grad_(True)
        self.stem = nn.Sequential(
            conv(axes, channels * network.patch**axes, width), nn.SiLU(), conv(axes, width, width), nn.SiLU(), zero(conv(axes, width, width, 1))
        )  # fmt: skip
        self.joints = nn.ModuleList(network.joints())

    def forward(self, x: Tensor, clock: Tensor, context: Context, hint: Tensor) -> tuple[Tensor, ...]:
        features, _ = self.encoder.encode(x, clock, context, self.stem(fold(hint, self.encoder.patch)))
        return tuple(joint(feature) for joint, feature in zip(self.joints, features, strict=True))
