"""Sounds: as spectrograms above their waveforms, as wav files, and to be heard in a report."""

import base64
import wave
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ..config import Recipe
from ..errors import Problem
from ..files import replacing
from ..networks.layers.spectrum import stft
from .picture import DOT, GROUND, INK

WIDTH, HEIGHT, BELOW = 112, 72, 24  # pixels: of a spectrogram, and the height of the waveform below
RANGE = 70  # dB below full scale that are drawn
PAUSE = 0.25  # seconds between sounds in one file
SHADES = torch.tensor([GROUND, DOT, INK], dtype=torch.float32)  # from silence to full scale


def spectrograms(x: Tensor, scale: int) -> list[Image.Image]:
    """A picture of each sound (N, C, L), its channels mixed: the spectrogram, the darker the louder, above the waveform.

    Time goes to the right, frequency upwards from 0 to half the rate, loudness from -RANGE to 0 dB of full scale.
    """
    width, height, below = (side * (scale or 1) for side in (WIDTH, HEIGHT, BELOW))
    x = torch.nan_to_num(x.detach().float().cpu()).mean(1)
    hop = max(1, -(-x.shape[-1] // width))
    flat = F.pad(x, (0, hop * width - x.shape[-1]))
    level = 1 + 20 * stft(flat, 4 * hop, hop).abs().clamp(min=1e-6).log10() / RANGE  # (N, K, width + 1)
    level = F.interpolate(level[:, None, :, :-1].clamp(0, 1), (height, width), mode="area")[:, 0].flip(1)
    blocks = flat.unflatten(1, (width, hop)).clamp(-1, 1)
    rows = torch.linspace(1, -1, below)[:, None]
    wave = (rows <= blocks.amax(-1)[:, None] + 1 / below) & (rows >= blocks.amin(-1)[:, None] - 1 / below)  # (N, below, width)
    return [_picture(torch.cat([shaded(a), shaded(b.float() / 2)])) for a, b in zip(level, wave, strict=True)]


def shaded(level: Tensor) -> Tensor:
    """Levels (H, W) from 0 to 1 as colours (H, W, 3)."""
    place = level[..., None] * 2
    low, high = (torch.lerp(SHADES[i], SHADES[i + 1], place - i) for i in (0, 1))
    return torch.where(place < 1, low, high)


def rate_of(recipe: Recipe) -> int:
    """Samples a second of what a run makes. Raises Problem where its recipe does not say."""
    found = next((rate for node in (recipe.data, recipe.autoencoder) if node and isinstance(rate := node.get("rate"), int)), None)
    if found is None:
        raise Problem("how many samples a second a sound has is the rate of the recipe's data, and it has none: set data.rate")
    return found


def sounds(x: Tensor, path: Path, recipe: Recipe) -> Path:
    """Sounds (N, C, L) in [-1, 1] as wav of 16 bits, one after another with a pause between."""
    rate = rate_of(recipe)
    pause = round(PAUSE * rate)
    x = F.pad(torch.nan_to_num(x.detach().float().cpu()), (0, pause)).transpose(0, 1).flatten(1)
    whole = (x[:, : x.shape[1] - pause].clamp(-1, 1) * 32767).round().to(torch.int16).T.contiguous().numpy().astype("<i2")
    with replacing(path) as temporary, open(temporary, "wb") as stream, wave.open(stream, "wb") as file:
        file.setparams((whole.shape[1], 2, rate, 0, "NONE", ""))
        file.writeframes(whole.tobytes())
    return path


def player(path: Path) -> str:
    """The file as a part of a page that plays it, embedded whole."""
    return f'<audio controls src="data:audio/wav;base64,{base64.b64encode(path.read_bytes()).decode("ascii")}"></audio>'


def _picture(colours: Tensor) -> Image.Image:
    return Image.fromarray(colours.clamp(0, 255).round().to(torch.uint8).numpy())
