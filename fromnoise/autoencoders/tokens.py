"""An autoencoder of text: bytes as learnt embeddings, and rounded back."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage, Within, at_least
from ..networks.layers.axes import conv_class, cropped
from .autoencoder import Autoencoder, Coded
from .bits import as_bytes, of_bytes

VALUES = 256


class Tokens(Autoencoder):
    """Embeddings of bytes, several of them at a place where `factor` > 1, and logits back; x (B, 1, L) of bytes in [-1, 1] <-> z (B, latent, L / factor).

    width   of the embeddings and the layers inside;  latent  channels of z;  kernel  places that each convolution sees
    factor  bytes of one place of z: 1, 2 or 4
    noise   standard deviation of what is added to z in training, every place of which has mean 0 and variance 1 over its channels: what lies between two
            texts then decodes to one of them (Li et al. 2022 round to the nearest embedding)
    It learns by the cross-entropy of each byte, and decodes to the likeliest.
    """

    scored = True

    def __init__(self, width: int = 128, latent: int = 16, factor: Literal[1, 2, 4] = 1, kernel: int = 3, noise: Annotated[float, Within(0, 10)] = 0.5):
        super().__init__()
        at_least(1, "tokens", width=width, kernel=kernel)
        at_least(2, "tokens", latent=latent)
        if not kernel % 2:
            raise Usage(f"tokens: kernel is odd, not {kernel}")
        self.latent, self.factor, self.noise = latent, factor, noise
        conv = conv_class(1)

        def stage(channels_in: int, channels_out: int) -> list[nn.Module]:
            return [conv(channels_in, channels_out, kernel, padding=kernel // 2), nn.GELU()]

        self.embedding = nn.Embedding(VALUES, width)
        self.encoder = nn.Sequential(*stage(width * factor, width), conv(width, latent, 1))
        self.decoder = nn.Sequential(*stage(latent, width), *stage(width, width), conv(width, VALUES * factor, 1))

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, Any]:
        if len(shape) != 2 or shape[0] != 1:
            raise Usage(f"tokens is of text, (1, length) as data=lines gives it, not of {tuple(shape)}; choose conv_ae")
        return {}

    def moments(self, x: Tensor) -> tuple[Tensor, None]:
        values = F.pad(as_bytes(x)[:, 0], (0, -x.shape[-1] % self.factor))  # with byte 0, which is behind every line
        h = self.embedding(values).unflatten(1, (-1, self.factor)).flatten(2).mT  # (B, width factor, L / factor)
        z = self.encoder(h)
        return F.layer_norm(z.mT, z.shape[1:2]).mT, None

    def logits(self, z: Tensor) -> Tensor:
        """Of each byte's 256 values, (B, 256, L)."""
        return self.decoder(z).unflatten(1, (VALUES, self.factor)).transpose(2, 3).flatten(2)

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return cropped(of_bytes(self.logits(z).argmax(1, keepdim=True), z), size)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Coded:
        z, _ = self.moments(x)
        noisy = z if draws is None else z + self.noise * draws.randn(*z.shape[1:], device=z.device).to(z)
        logits, wanted = cropped(self.logits(noisy), x.shape[2:]), as_bytes(x)[:, 0]
        score = F.cross_entropy(logits.float(), wanted, reduction="none").mean(1)
        return Coded(of_bytes(logits.argmax(1, keepdim=True), x), z, torch.zeros_like(score), score)
