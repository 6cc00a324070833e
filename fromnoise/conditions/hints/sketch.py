"""What is left of a picture: its edges, lines, regions, colours, fewer pixels, or what is not in a hole; and the filters that find them."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ...draws import Draws
from ...networks.layers.axes import resized
from .filters import blur, dilated, directions, shifted, sobel

STRONG, WEAK, FAINT = 0.2, 0.1, 0.02  # Canny's two thresholds, as shares of the steepest gradient, and the least that counts
TAN = 2**0.5 - 1  # tan(22.5°), half way between two directions
REGIONS = 4


def grey(x: Tensor, draws: Draws | None = None) -> Tensor:
    """Brightness alone, for colourisation; (B, C, *S) in [-1, 1] -> (B, 1, *S). ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    return (x * x.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, *[1] * (x.ndim - 2))).sum(1, keepdim=True)


def edges(x: Tensor, draws: Draws | None = None) -> Tensor:
    """Canny's edges (Canny 1986): thin lines where colour changes most; (B, C, *S) -> (B, 1, *S), 1 on an edge, else -1.

    A Gaussian of one pixel, Sobel's derivatives (of the channel that changes most), the ridges of the gradient's length across the edge,
    and of those the ones above 0.2 of the example's steepest, with what hangs on them above 0.1: invariant to contrast and brightness.
    Changes below FAINT are never edges.
    """
    slopes, *others = sobel(blur(x.float(), 1.0)).split(1, 2)  # (axes, B, 1, *S) of each channel
    for other in others:
        slopes = torch.where(other.square().sum(0) > slopes.square().sum(0), other, slopes)
    length = slopes.square().sum(0).sqrt()
    ridge = length * _ridge(slopes, length)
    most = length.flatten(1).amax(1).clamp(min=FAINT / STRONG).reshape(-1, *[1] * (x.ndim - 1))
    found, weak = ridge > STRONG * most, ridge > WEAK * most
    while not torch.equal(more := dilated(found) & weak, found):  # hysteresis: what touches an edge and is not too weak is one too
        found = more
    return found.float() * 2 - 1


def _ridge(slopes: Tensor, length: Tensor) -> Tensor:
    """Where the gradient is longest among both neighbours that it points to and from; of two alike, the first."""
    steps = slopes.sign() * (slopes.abs() > TAN * slopes.abs().amax(0))  # the nearest of the eight (on two axes) directions
    found = torch.zeros_like(length, dtype=torch.bool)
    for offset in directions(len(slopes)):
        one = torch.stack([step == o for step, o in zip(steps, offset, strict=True)]).all(0)
        other = torch.stack([step == -o for step, o in zip(steps, offset, strict=True)]).all(0)
        before, behind = shifted(length, [-o for o in offset]), shifted(length, offset)
        found |= (one | other) & (length > before) & (length >= behind)
    return found


def lines(x: Tensor, draws: Draws | None = None) -> Tensor:
    """Soft lines on the dark side of contours, as drawn by pen; (B, C, *S) -> (B, 1, *S), 1 on a line, -1 on paper.

    tanh(20 (G_1.6σ - G_σ)) where that is positive, G_σ the brightness in [0, 1] blurred by σ = 0.8 pixels: a thresholded difference of
    Gaussians (Winnemöller et al. 2012, eqs. 1 and 5 with τ = 1, ε = 0, φ = 20).
    """
    brightness = grey(x.float()) / 2 + 0.5
    return 2 * torch.tanh(20 * (blur(brightness, 1.6 * 0.8) - blur(brightness, 0.8)).clamp(min=0)) - 1


def segments(x: Tensor, draws: Draws | None = None) -> Tensor:
    """A few flat regions: pixels in the mean colour of their cluster, by k-means from colours far apart (Gonzalez 1985), with no chance; (B, C, *S) -> the same."""
    pixels = x.float().flatten(2).mT  # (B, N, C)
    far, means = (pixels - pixels.mean(1, keepdim=True)).square().sum(-1), pixels[:, :0]
    for i in range(REGIONS):
        means = torch.cat([means, pixels.gather(1, far.argmax(1)[:, None, None].expand(-1, 1, x.shape[1]))], 1)
        near = (pixels - means[:, -1:]).square().sum(-1)
        far = torch.minimum(far, near) if i else near
    for _ in range(10):
        mine = F.one_hot(_nearest(pixels, means), REGIONS).to(pixels)  # (B, N, REGIONS)
        count = mine.sum(1)[..., None]
        means = torch.where(count > 0, mine.mT @ pixels / count.clamp(min=1), means)
    return means.gather(1, _nearest(pixels, means)[..., None].expand_as(pixels)).mT.reshape(x.shape)


def _nearest(pixels: Tensor, means: Tensor) -> Tensor:
    """Which of the means (B, K, C) each of the pixels (B, N, C) is nearest to; (B, N)."""
    return (means.square().sum(-1)[:, None] - 2 * pixels @ means.mT).argmin(-1)


def palette(x: Tensor, draws: Draws | None = None) -> Tensor:
    """Which colours are where, without shapes: means over a grid of 8 cells a side, as flat squares (Mou et al. 2023, sec. 3.3); like x."""
    return F.interpolate(resized(x.float(), [min(8, n) for n in x.shape[2:]]), size=x.shape[2:], mode="nearest")
