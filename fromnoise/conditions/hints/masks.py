"""Pictures with holes, for inpainting."""

import itertools

import torch
from torch import Tensor

from ...draws import Draws

BOX = (0.25, 0.75)  # a box's sides, as shares of the picture's, from and to
STROKES, BRUSH = 4, (0.04, 0.1)  # straight strokes of a path, and the brush's radius


class Masked:
    """The picture with a random hole, for inpainting; (B, C, *S) in [-1, 1] -> (B, C + 1, *S), see `holed`. Each hole is a box or strokes of a brush."""

    def __call__(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        return holed(x, holes(len(x), x.shape[2:], draws).to(x.device, non_blocking=True))

    def known(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """What its values (B, C + 1, *S) fix of the samples: (pixels (B, C, *S), 1 where they are known (B, 1, *S))."""
        return value[:, :-1], value[:, -1:]


def holed(x: Tensor, hole: Tensor) -> Tensor:
    """x (B, C, *S) with zeros where hole (B or 1, 1, *S) is true, and after its channels one of ones where it is not: a whole hole is all zeros."""
    known = (~hole).to(x).expand(len(x), -1, *x.shape[2:])
    return torch.cat([x * known, known], 1)


def holes(n: int, size: tuple[int, ...], draws: Draws | None = None) -> Tensor:
    """n random holes (n, 1, *size), bool: boxes of 1/4 to 3/4 of each side, or strokes through random points, on any axes (Saharia et al. 2022, sec. 4.2)."""
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


masked = Masked()
