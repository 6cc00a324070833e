"""Log-mel spectrograms as latents of sounds: a formula, of which nothing is trained."""

from collections.abc import Sequence
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import Usage, Within
from ..networks.layers.axes import cropped
from ..networks.layers.spectrum import griffin_lim, log_mel, magnitudes, mel_filters
from .autoencoder import Autoencoder

MULTIPLE = 8  # of which the number of frames is one, so that networks can halve it
LOUDEST = 2.0  # log of a band: a sine at full scale has less than 0
AT_ONCE = 64  # sounds that are decoded together


class Mel(Autoencoder):
    """Log-mel spectrogram z (B, C, mels, T), T = L / hop rounded up to a multiple of 8, of sounds x (B, C, L); back by Griffin-Lim. Nothing is trained.

    z is the log of magnitudes in `mels` bands, even in mel up to rate / 2. Decoding finds magnitudes of all frequencies that have these in their bands, and
    then phases with which they are the spectrum of a sound: an approximation, since mel spectrograms keep neither.

    rate  samples a second;  mels  bands;  window  samples of a Hann window, even;  hop  samples from one window to the next, half a window at most
    iterations  of Griffin-Lim when decoding: more sound less metallic, and take longer
    """

    fixed = True
    filters: Tensor

    def __init__(
        self, rate: Annotated[int, Within(100, 1_000_000)], channels: int = 1, mels: Annotated[int, Within(2, 1024)] = 64,
        window: Annotated[int, Within(4, 2**20)] = 1024, hop: Annotated[int, Within(1, 2**20)] = 256, iterations: Annotated[int, Within(0, 10_000)] = 60,
    ):  # fmt: skip
        super().__init__()
        if window % 2 or 2 * hop > window:
            raise Usage(f"mel: window is even, and hop half of it at most, so that windows overlap; not window {window}, hop {hop}")
        self.latent, self.factor, self.mels, self.window, self.hop, self.iterations = channels, hop, mels, window, hop, iterations
        self.register_buffer("filters", mel_filters(rate, mels, window), persistent=False)

    @classmethod
    def fitting(cls, shape: Sequence[int]) -> dict[str, Any]:
        if len(shape) != 2:
            raise Usage(f"mel is of sounds (channels, samples), and these are {tuple(shape)}; take data=sound, or another autoencoder")
        return {"channels": shape[0]}

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return (shape[0], self.mels, -(-shape[1] // (MULTIPLE * self.hop)) * MULTIPLE)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        return log_mel(x, self.filters, self.window, self.hop, MULTIPLE), None

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return torch.cat([self._sounds(part, size) for part in z.split(AT_ONCE)])

    def holes(self, mask: Tensor, size: Sequence[int]) -> Tensor:
        """The frames whose window reaches into a hole are holes, in all bands."""
        reach = F.pad(mask[:, 0], (self.window // 2, self.window // 2 + self.hop * size[1] - mask.shape[-1]))
        frames = F.max_pool1d(reach, self.window, self.hop)[:, : size[1]]
        return frames[:, None, None].expand(-1, 1, *size)

    def _sounds(self, z: Tensor, size: Sequence[int] | None) -> Tensor:
        """As `decode`, of a few at once."""
        s = magnitudes(z.float().clamp(max=LOUDEST).exp().flatten(0, 1), self.filters)
        s = torch.cat([s, s[..., -1:]], -1)  # the frame at the very end, which z leaves out
        return cropped(griffin_lim(s, self.window, self.hop, self.iterations).unflatten(0, z.shape[:2]), size)
