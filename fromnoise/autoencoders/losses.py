"""What an autoencoder learns by: the error of its reconstructions, what its latents cost, and a discriminator's verdict."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage
from ..networks.layers.axes import resized
from .autoencoder import Autoencoder, kl
from .discriminator import balance, hinge, verdict


def bce(a: Tensor, b: Tensor) -> Tensor:
    """Binary cross-entropy of pictures in [-1, 1] as probabilities (x + 1) / 2, for black and white ones (Kingma & Welling 2014, appendix C.1)."""
    a, b = a.clamp(-1, 1) / 2 + 0.5, b.clamp(-1, 1) / 2 + 0.5
    return F.binary_cross_entropy(a.float(), b.float(), reduction="none")


@dataclass(frozen=True)
class Measure:
    """How reconstructions are measured.

    error    (x_hat, x) -> (B,);  kl  the weight of the latents' divergence in nats, over the number of values of an example: 1 is the evidence bound
    equivariance  the share of steps in which a turned and shrunken latent is to be decoded as the picture turned and shrunken (Kouzelis et al. 2025)
    against  the weight of the discriminator's verdict, beside the ratio of gradients;  start  the share of the run before it has one
    """

    error: Callable[[Tensor, Tensor], Tensor]
    kl: float = 0.0
    equivariance: float = 0.0
    against: float = 0.0
    start: float = 0.0


def loss(autoencoder: Autoencoder, discriminator: nn.Module | None, x: Tensor, draws: Draws, measure: Measure, done: float = 0.0) -> Tensor:
    """(B,) of examples x (B, C, *S), `done` being the share of the run that is done: error + kl cost + the discriminator's two terms."""
    equivariant = bool(measure.equivariance) and draws.chance("equivariance") < measure.equivariance
    if equivariant:
        mean, log_variance = autoencoder.moments(x)
        cost, (z, x) = kl(mean, log_variance), transformed(autoencoder, mean, x, draws)
        x_hat, error = autoencoder.decode(z, x.shape[2:]), None
    else:
        x_hat, _, cost, error = autoencoder(x, draws.of("latent"))
    error = (measure.error(x_hat.float(), x) if error is None else error) + (measure.kl / x[0].numel() if autoencoder.variational else 1) * cost.float()
    if discriminator is None or not torch.is_grad_enabled():
        return error
    against = verdict(discriminator, x_hat.float())
    share = measure.against * balance(error, against, autoencoder.last_layer) if done >= measure.start else 0 * error.detach().mean()
    return error + share * against + hinge(discriminator, x, x_hat.float())


def transformed(autoencoder: Autoencoder, z: Tensor, x: Tensor, draws: Draws) -> tuple[Tensor, Tensor]:
    """A latent (B, C', *S') and its examples (B, C, *S), both shrunken to between a quarter and the whole of their sides, and turned by right angles."""
    if z.ndim < 3:
        raise Usage("train.equivariance turns and shrinks latents that have sides, and this autoencoder's are points; leave it out")
    numbers = Draws((*draws.key, "transformed"), range(1), 1).rand(2)[0].tolist()
    scale, turns = 0.25 + 0.75 * numbers[0], int(4 * numbers[1]) if z.ndim > 3 else 0
    sides = [max(1, round(scale * side)) for side in z.shape[2:]]
    z, x = resized(z, sides), resized(x, [side * autoencoder.factor for side in sides])
    return (torch.rot90(z, turns, (-2, -1)), torch.rot90(x, turns, (-2, -1))) if turns else (z, x)
