"""The first variational autoencoder."""

import math
from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from ..errors import Usage, at_least
from .encoder_decoder import EncoderDecoder


class MLPVAE(EncoderDecoder):
    """Variational autoencoder of one hidden layer each way (Kingma & Welling 2014, appendix C); x (B, *shape) <-> z (B, latent).

    shape   of the examples, which are flattened
    hidden  width of the layer between;  latent  numbers of z

    x is in [-1, 1] by a tanh: (x + 1) / 2 is the sigmoid of twice what goes into it, the probability of a Bernoulli variable.
    """

    variational = bounded = True

    def __init__(self, shape: Sequence[int], hidden: int = 400, latent: int = 20):
        super().__init__()
        at_least(1, "mlp_vae", hidden=hidden, latent=latent)
        self.shape, self.latent, values = tuple(shape), latent, math.prod(shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(values, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.Tanh(), nn.Linear(hidden, values), nn.Tanh(), nn.Unflatten(1, self.shape))

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, Any]:
        return {"shape": tuple(shape)}

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if tuple(shape) != self.shape:
            raise Usage(f"mlp_vae: this one is for examples of shape {self.shape}, not {tuple(shape)}; choose conv_vae, which takes any size")
        return (self.latent,)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        self.latent_shape(x.shape[1:])
        return super().moments(x)
