"""How near pictures are to others, pixel by pixel."""

from torch import Tensor

MOST = 100.0  # dB, of two pictures that are the same


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (n, C, *S) in [-1, 1], in dB, (n,): 10 log10(2² / mean squared error), at most 100."""
    return (10 * (4 / (a - b).double().square().flatten(1).mean(1)).log10()).clamp(max=MOST)
