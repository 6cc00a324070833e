"""What is left of a picture: its edges, lines, regions, colours, fewer pixels, or what is not in a hole; and the filters that find them."""

import itertools
import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from ...draws import Draws
from ...errors import Usage, nearest
from ...networks.layers.axes import resized

STRONG, WEAK, FAINT = 0.2, 0.1, 0.02  # Canny's two thresholds, as shares of the steepest gradient, and the least that counts
TAN = 2**0.5 - 1  # tan(22.5°), half way between two directions
REGIONS = 4
RESAMPLE = {"nearest": "nearest-exact", "bicubic": "bicubic"}
POOLS = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
BOX = (0.25, 0.75)  # a box's sides, as shares of the picture's, from and to
STROKES, BRUSH = 4, (0.04, 0.1)  # straight strokes of a path, and the brush's radius


def grey(x: Tensor, draws: Draws | None = None) -> Tensor:
    """Brightness alone, for colourisation; (B, C, *S) in [-1, 1] -> (B, 1, *S). ITU-R BT.601: 0.299 R + 0.587 G + 0.114 B."""
    if x.shape[1] != 3:
        return x.mean(1, keepdim=True)
    weights = x.new_tensor([0.299, 0.587, 0.114]).reshape(1, 3, *[1] * (x.ndim - 2))
    return (x * weights).sum(1, keepdim=True)


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
    while True:  # hysteresis: what touches an edge and is not too weak is one too
        more = dilated(found) & weak
        if torch.equal(more, found):
            return found.float() * 2 - 1
        found = more


def _ridge(slopes: Tensor, length: Tensor) -> Tensor:
    """Where the gradient is longest among both neighbours that it points to and from; of two alike, the first."""
    largest = slopes.abs().amax(0)
    steps = slopes.sign() * (slopes.abs() > TAN * largest)  # the nearest of the eight (on two axes) directions
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
    """A few flat regions: each pixel in the mean colour of its cluster, by k-means on the colours of its own example; (B, C, *S) -> the same.

    REGIONS clusters that begin at colours as far apart as can be (Gonzalez 1985), the first being the one farthest from the mean: no chance.
    """
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
    painted = means.gather(1, _nearest(pixels, means)[..., None].expand_as(pixels))
    return painted.mT.reshape(x.shape)


def _nearest(pixels: Tensor, means: Tensor) -> Tensor:
    """Which of the means (B, K, C) each of the pixels (B, N, C) is nearest to; (B, N)."""
    return (means.square().sum(-1)[:, None] - 2 * pixels @ means.mT).argmin(-1)


def palette(x: Tensor, draws: Draws | None = None) -> Tensor:
    """Which colours are where, without shapes: means over a grid of 8 cells a side, as flat squares (Mou et al. 2023, sec. 3.3); like x."""
    coarse = [min(8, n) for n in x.shape[2:]]
    return F.interpolate(resized(x.float(), coarse), size=x.shape[2:], mode="nearest")


def low_resolution(x: Tensor, draws: Draws | None = None, factor: int = 4, up: str = "nearest") -> Tensor:
    """The means of squares of `factor` pixels a side, brought back to size, for super-resolution; (B, C, *S) in [-1, 1] -> the same shape.

    up: nearest, or bicubic (pictures alone). Where factor does not divide a size, the squares are as even as they can be.
    """
    if not isinstance(factor, int) or factor < 2:
        raise Usage(f"low_resolution: factor is a whole number from 2, not {factor!r}")
    if up not in RESAMPLE:
        raise Usage(f"low_resolution: no up {up!r}{nearest(up, RESAMPLE)}")
    if up == "bicubic" and x.ndim != 4:
        raise Usage(f"low_resolution: bicubic is for pictures, not for examples of shape {tuple(x.shape[1:])}; use up: nearest")
    small = F.interpolate(x, [-(-size // factor) for size in x.shape[2:]], mode="area")
    return F.interpolate(small, x.shape[2:], mode=RESAMPLE[up]).clamp(-1, 1)


def blur(x: Tensor, sigma: float) -> Tensor:
    """x (B, C, *S) under a Gaussian of standard deviation `sigma` pixels, edges repeated."""
    reach = math.ceil(3 * sigma)
    kernel = torch.exp(-torch.arange(-reach, reach + 1, dtype=x.dtype, device=x.device).square() / (2 * sigma**2))
    for axis in range(2, x.ndim):
        x = along(x, kernel / kernel.sum(), axis)
    return x


def sobel(x: Tensor) -> Tensor:
    """The derivative of x (B, C, *S) along each axis by Sobel's kernels, (axes, B, C, *S)."""
    smooth, slope = x.new_tensor([0.25, 0.5, 0.25]), x.new_tensor([-0.5, 0.0, 0.5])
    found = [x] * (x.ndim - 2)
    for axis in range(2, x.ndim):
        found = [along(part, slope if axis == which else smooth, axis) for which, part in enumerate(found, 2)]
    return torch.stack(found)


def along(x: Tensor, kernel: Tensor, axis: int) -> Tensor:
    """x correlated with a kernel of odd length along one axis, edges repeated."""
    reach, length = len(kernel) // 2, x.shape[axis]
    index = torch.arange(-reach, length + reach, device=x.device).clamp(0, length - 1)
    x = x.index_select(axis, index)
    return sum(weight * x.narrow(axis, i, length) for i, weight in enumerate(kernel))  # type: ignore[return-value]


def shifted(x: Tensor, offset: Sequence[int]) -> Tensor:
    """At each pixel, x (B, C, *S) of the pixel `offset` further, edges repeated."""
    for axis, step in enumerate(offset, 2):
        if step:
            length = x.shape[axis]
            x = x.index_select(axis, (torch.arange(length, device=x.device) + step).clamp(0, length - 1))
    return x


def dilated(mask: Tensor, reach: int = 1) -> Tensor:
    """The pixels of a mask (B, C, *S), bool, and those up to `reach` beside them, diagonals too."""
    return POOLS[mask.ndim - 2](mask.float(), 2 * reach + 1, 1, reach) > 0


def directions(axes: int) -> Iterator[tuple[int, ...]]:
    """One of each pair of opposite neighbours: on two axes (0, 1), (1, -1), (1, 0), (1, 1)."""
    return (offset for offset in itertools.product((-1, 0, 1), repeat=axes) if offset > (0,) * axes)


class Masked:
    """The picture with a random hole, for inpainting; (B, C, *S) in [-1, 1] -> (B, C + 1, *S), see `holed`. Each hole is a box or strokes of a brush."""

    def __call__(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        return holed(x, holes(len(x), x.shape[2:], draws).to(x.device, non_blocking=True))

    def known(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """What its values (B, C + 1, *S) fix of the samples: (pixels (B, C, *S), 1 where they are known (B, 1, *S))."""
        return value[:, :-1], value[:, -1:]


masked = Masked()


def holed(x: Tensor, hole: Tensor) -> Tensor:
    """x (B, C, *S) with zeros where hole (B or 1, 1, *S) is true, and after its channels one of ones where it is not: a whole hole is all zeros."""
    known = (~hole).to(x).expand(len(x), -1, *x.shape[2:])
    return torch.cat([x * known, known], 1)


def holes(n: int, size: tuple[int, ...], draws: Draws | None = None) -> Tensor:
    """n random holes (n, 1, *size), bool: a box of a quarter to three quarters of each side, or a path of straight strokes through random points.

    As in Saharia et al. 2022 (Palette, sec. 4.2: boxes and free-form masks), on any number of axes; lengths are shares of the picture's sides.
    """
    axes = len(size)
    chance = (draws or Draws.fixed(n)).rand(2 * axes + (STROKES + 1) * axes + 2, device="cpu")
    side, corner, points, kind, thick = chance.split([axes, axes, (STROKES + 1) * axes, 1, 1], 1)
    side = BOX[0] + (BOX[1] - BOX[0]) * side
    corner = corner * (1 - side)

    def along(values: Tensor) -> Tensor:  # (n,) -> (n, 1, …), beside the axes
        return values.reshape(n, *[1] * axes)

    at = [((torch.arange(size[a]) + 0.5) / size[a]).reshape(*[-1 if b == a else 1 for b in range(axes)]) for a in range(axes)]
    box, brush = torch.ones(n, *size, dtype=torch.bool), torch.zeros(n, *size, dtype=torch.bool)
    for a in range(axes):
        box &= (at[a] >= along(corner[:, a])) & (at[a] < along(corner[:, a] + side[:, a]))
    radius = along(BRUSH[0] + (BRUSH[1] - BRUSH[0]) * thick)
    for start, end in itertools.pairwise(points.split(axes, 1)):
        way = end - start
        share = sum((at[a] - along(start[:, a])) * along(way[:, a]) for a in range(axes)) / along(way.square().sum(1).clamp(min=1e-8))
        share = share.clamp(0, 1)  # of the stroke, where it is nearest to a pixel
        brush |= sum((at[a] - along(start[:, a]) - share * along(way[:, a])).square() for a in range(axes)) < radius.square()
    return torch.where(along(kind) < 0.5, box, brush)[:, None]
