"""Autoencoders whose latents are rounded to the vectors of a codebook, or to a grid."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from ..draws import Draws
from ..errors import Usage, at_least
from ..networks.network import Depth
from ..networks.unet import widths_of
from .autoencoder import Coded
from .encoder_decoder import EncoderDecoder
from .kl import Layout

ROWS = 4096  # places of z whose distances to all codes are held at a time


def straight_through(z: Tensor, rounded: Tensor) -> Tensor:
    """`rounded`, with the gradient of z (Bengio et al. 2013)."""
    return z + (rounded - z).detach()


class Codebook(nn.Module):
    """The nearest of `codes` vectors for each place of z (van den Oord et al. 2017); z (B, C', *S') -> (rounded like z, cost (B,)).

    cost = mean |sg(z) - e|² + beta mean |z - sg(e)|², eq. 3: the codes move to z, and z is committed to them; sg stops gradients.
    """

    def __init__(self, codes: int, latent: int, beta: float = 0.25):
        super().__init__()
        self.beta, self.embedding = beta, nn.Embedding(codes, latent)
        nn.init.uniform_(self.embedding.weight, -1 / codes, 1 / codes)

    def indices(self, z: Tensor) -> Tensor:
        """Which code is nearest, (B, *S')."""
        flat = z.movedim(1, -1).flatten(0, -2)
        return torch.cat([torch.cdist(part, self.embedding.weight).argmin(1) for part in flat.split(ROWS)]).view(len(z), *z.shape[2:])

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        e = self.embedding(self.indices(z.detach())).movedim(-1, 1)
        cost = (z.detach() - e).square() + self.beta * (z - e.detach()).square()
        return straight_through(z, e), cost.flatten(1).mean(1)


class FSQ(nn.Module):
    """Each channel rounded to a few levels between -1 and 1, finite-scalar quantisation (Mentzer et al. 2023, section 3.1); it costs nothing.

    levels  of each channel, 2 or more; their product is the number of codes, 1000 of [8, 5, 5, 5]
    """

    def __init__(self, levels: Sequence[int]):
        super().__init__()
        at_least(2, "vq", fsq=min(levels))
        self.levels = tuple(levels)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        levels = torch.tensor(self.levels, device=z.device).view(-1, *[1] * (z.ndim - 2))
        half, odd = (
            (levels - 1) * (1 - 1e-3) / 2,
            levels % 2 / 2,
        )  # less than half by a little: a saturated tanh stays within the last level
        offset = 0.5 - odd  # an even number of levels lies half a step off, so that 0 is one of them
        bounded = torch.tanh(z + (offset / half).tan()) * half - offset
        return (straight_through(bounded, bounded.round()) / (levels // 2)).to(z), z.new_zeros(len(z))


class VQ(EncoderDecoder):
    """Vector-quantised autoencoder (Esser et al. 2021; Rombach et al. 2022); x (B, channels, *S) <-> z (B, latent, *S / 2^(levels - 1)).

    What is diffused is z before it is rounded; decode rounds it first.

    width, levels, blocks, attention, middle, groups  as of `kl`; the defaults are latent diffusion's f4
    latent      channels of z;  inner  those of the encoder's last layer and the decoder's first, beyond a convolution of one pixel (null: as many)
    codes       vectors in the codebook;  beta  weight of the commitment of z to them
    fsq         levels of each channel, such as [8, 5, 5, 5], by which z is rounded in place of a codebook; latent is then their number
    """

    def __init__(
        self, channels: int = 3, axes: int = 2, width: int = 128, levels: Sequence[float] = (1, 2, 4), blocks: Depth = 2, latent: int | None = None,
        attention: Sequence[int] = (), middle: bool = True, groups: int | None = None, codes: int = 8192, beta: float = 0.25,
        inner: int | None = None, fsq: Sequence[int] = (),
    ):  # fmt: skip
        super().__init__()
        self.latent, self.factor = latent or len(fsq) or 3, 2 ** (len(levels) - 1)
        inner = inner or self.latent
        at_least(1, "vq", blocks=blocks, latent=self.latent, codes=codes, inner=inner)
        at_least(0, "vq", beta=beta)
        if fsq and self.latent != len(fsq):
            raise Usage(f"vq: fsq has {len(fsq)} levels, one a channel of z, and latent is {self.latent}; leave latent out")
        layout = Layout(axes, widths_of("vq", width, levels), blocks, attention, middle, groups)
        self.encoder, self.decoder = layout.encoder(channels, inner, self.latent), layout.decoder(channels, inner, self.latent)
        self.quantise = FSQ(fsq) if fsq else Codebook(codes, self.latent, beta)

    def parted(self, h: Tensor) -> tuple[Tensor, Tensor | None]:
        return h, None

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return super().decode(self.quantise(z)[0], size)

    def forward(self, x: Tensor, draws: Draws | None = None) -> Coded:
        z, _ = self.moments(x)
        rounded, cost = self.quantise(z)
        return Coded(super().decode(rounded, x.shape[2:]), z, cost)
