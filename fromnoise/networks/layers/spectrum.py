"""Spectra of sounds: short Fourier transforms, the mel scale, and the way back."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from ...errors import Usage

FLOOR = 1e-5  # of a band: what is quieter than a sine at full scale by 100 dB is silence
UPDATES = 20  # of magnitudes, on their way back from bands
MOMENTUM = 0.99


def mel(hertz: Tensor) -> Tensor:
    """The mel scale (O'Shaughnessy 1987): 2595 log10(1 + f / 700)."""
    return 2595 * torch.log10(1 + hertz / 700)


def hertz(mel: Tensor) -> Tensor:
    """Its inverse."""
    return 700 * (10 ** (mel / 2595) - 1)


def mel_filters(rate: int, mels: int, window: int) -> Tensor:
    """Triangles (mels, window + 1) over the frequencies of `stft`, corners evenly spaced in mel from 0 to rate / 2: each rises from its neighbour's
    middle to 1 at its own, so that they sum to 1 between the first and the last. Raises Usage where one is so narrow that it holds no frequency."""
    corners = hertz(torch.linspace(0, float(mel(torch.tensor(rate / 2.0))), mels + 2, dtype=torch.float64))
    f = torch.linspace(0, rate / 2, window + 1, dtype=torch.float64)
    left, middle, right = (part[:, None] for part in (corners[:-2], corners[1:-1], corners[2:]))
    filters = torch.minimum((f - left) / (middle - left), (right - f) / (right - middle)).clamp(min=0).float()
    if bool((filters.sum(1) == 0).any()):
        raise Usage(f"{mels} mel bands of {rate} Hz are narrower than a window of {window} samples can tell apart; take fewer, or a longer window")
    return filters


def stft(x: Tensor, window: int, hop: int) -> Tensor:
    """x (N, L), hop dividing L -> (N, window + 1, L / hop + 1) complex, of Hann windows padded to twice their length; a sine of amplitude 1 has a peak of 1."""
    hann = torch.hann_window(window, device=x.device, dtype=x.dtype)
    return torch.stft(x, 2 * window, hop, window, hann, pad_mode="constant", return_complex=True) / (window / 4)


def istft(c: Tensor, window: int, hop: int) -> Tensor:
    """The signals (N, L) whose `stft` is nearest to c (N, window + 1, L / hop + 1); the inverse where c is one (Griffin & Lim 1984, eq. 6)."""
    hann = torch.hann_window(window, device=c.device, dtype=c.real.dtype)
    return torch.istft(c * (window / 4), 2 * window, hop, window, hann, length=hop * (c.shape[-1] - 1))


def log_mel(x: Tensor, filters: Tensor, window: int, hop: int, multiple: int = 1) -> Tensor:
    """log max(F |stft(x)|, FLOOR) of sounds (B, C, L): (B, C, mels, T), a frame a hop from 0 on, with silence behind until `multiple` divides T."""
    frames = -(-x.shape[-1] // (multiple * hop)) * multiple
    flat = F.pad(x.float(), (0, frames * hop - x.shape[-1])).flatten(0, 1)
    bands = filters.to(flat) @ stft(flat, window, hop).abs()[..., :-1]
    return bands.clamp(min=FLOOR).log().unflatten(0, x.shape[:2])


def magnitudes(bands: Tensor, filters: Tensor) -> Tensor:
    """S >= 0 (…, K, T) with F S near bands (…, mels, T): interpolated between the bands' middles, then by multiplicative updates that lower the
    divergence of the two (Lee & Seung 2001, eq. 5)."""
    total = filters.sum(0)[:, None].clamp(min=1e-3)  # of the lowest and the highest frequencies, which no band holds whole
    s = filters.T @ (bands / filters.sum(1, keepdim=True)) / total
    for _ in range(UPDATES):
        s = s * (filters.T @ (bands / (filters @ s).clamp(min=FLOOR / 100))) / total
    return s


def griffin_lim(s: Tensor, window: int, hop: int, iterations: int, phase: Tensor | None = None) -> Tensor:
    """Signals (N, L) whose spectra have magnitudes near s (N, K, T + 1), by the fast Griffin-Lim algorithm (Perraudin et al. 2013).

    It goes to and fro between spectra of those magnitudes and spectra of signals, and beyond the latter by what the last step moved them. The phase,
    in radians, begins the same for every signal and every time.
    """
    if phase is None:
        phase = 2 * math.pi * torch.rand(s.shape[1:], generator=torch.Generator().manual_seed(0)).to(s)
    c, last = torch.polar(s, phase.expand_as(s)), None
    for _ in range(iterations):
        t = stft(istft(_with_magnitude(c, s), window, hop), window, hop)
        c = t if last is None else t + MOMENTUM * (t - last)
        last = t
    return istft(_with_magnitude(c, s), window, hop)


def _with_magnitude(c: Tensor, s: Tensor) -> Tensor:
    return c * (s / c.abs().clamp(min=1e-12))
