"""A network that tells reconstructions from pictures, whose verdict an autoencoder learns to turn."""

from typing import Annotated

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import Within
from ..networks.layers.axes import conv_class
from ..networks.layers.norm import GroupNorm

MOST_WEIGHT = 1e4  # of the adversarial term, where the last layer hardly moves its verdict


class Patch(nn.Module):
    """PatchGAN (Isola et al. 2017): strided convolutions, a verdict for each patch; x (B, C, *S) -> (B, 1, *S').

    width  channels after the first layer;  layers  of stride 2, so that a verdict sees 16, 34 or 70 places a side with 1, 2 or 3
    """

    def __init__(self, channels: int, axes: int = 2, width: Annotated[int, Within(1, 4096)] = 64, layers: Annotated[int, Within(1, 5)] = 2):
        super().__init__()
        widths = [width * min(2**i, 8) for i in range(layers + 1)]
        conv, strides = conv_class(axes), [2] * (layers - 1) + [1]
        self.first = conv(channels, width, 4, stride=2, padding=1)
        self.middle = nn.ModuleList(conv(a, b, 4, stride=s, padding=1) for a, b, s in zip(widths, widths[1:], strides, strict=False))
        self.norms = nn.ModuleList(GroupNorm(b) for b in widths[1:])
        self.last = conv(widths[-1], 1, 4, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        h = F.leaky_relu(self.first(x), 0.2)
        for layer, norm in zip(self.middle, self.norms, strict=True):
            h = F.leaky_relu(norm(layer(h)), 0.2)
        return self.last(h)


DISCRIMINATORS: dict[str, type[nn.Module]] = {"patch": Patch}


def verdict(discriminator: nn.Module, x_hat: Tensor) -> Tensor:
    """-D(x_hat), (B,): what the autoencoder lowers. The discriminator itself learns nothing of it."""
    frozen = {name: weight.detach() for name, weight in discriminator.named_parameters()}
    return -torch.func.functional_call(discriminator, frozen, x_hat).flatten(1).mean(1)


def hinge(discriminator: nn.Module, x: Tensor, x_hat: Tensor) -> Tensor:
    """(max(0, 1 - D(x)) + max(0, 1 + D(x_hat))) / 2, (B,): what the discriminator lowers; the autoencoder learns nothing of it (Lim & Ye 2017)."""
    real, made = discriminator(x), discriminator(x_hat.detach())
    return (F.relu(1 - real) + F.relu(1 + made)).flatten(1).mean(1) / 2


def balance(error: Tensor, against: Tensor, last_layer: Tensor) -> Tensor:
    """How much `against` counts so that it pulls at the decoder's last layer as strongly as the error: the ratio of gradients (Esser et al. 2021, eq. 7)."""
    pulls = [torch.autograd.grad(loss.mean(), last_layer, retain_graph=True)[0].norm() for loss in (error, against)]
    return (pulls[0] / (pulls[1] + 1e-4)).clamp(max=MOST_WEIGHT).detach()
