"""How near pictures are to others: pixel by pixel, in their edges, and in the colour of the shape that they show."""

import torch
from torch import Tensor

from ...conditions.hints.filters import dilated
from ...data.dataset import scaled
from ...data.sets.shapes import COLOURS, GROUND

TOLERANCE = 1  # pixels by which an edge may lie beside the hint's
MOST = 100.0  # dB, of two pictures that are the same


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of pictures (n, C, *S) in [-1, 1], in dB, (n,): 10 log10(2² / mean squared error), at most 100."""
    return (10 * (4 / (a - b).double().square().flatten(1).mean(1)).log10()).clamp(max=MOST)


def returned(a: Tensor, b: Tensor) -> Tensor:
    """The share of values of examples (n, C, *S) in [-1, 1] that are the same of 256 levels, (n,)."""
    levels = [x.clamp(-1, 1).add(1).mul(127.5).round() for x in (a, b)]
    return (levels[0] == levels[1]).double().flatten(1).mean(1)


def edge_overlap(a: Tensor, b: Tensor, tolerance: int = TOLERANCE) -> Tensor:
    """Intersection over union of two edge maps (B, 1, *S), an edge where they are above 0; (B,).

    i / (|a| + |b| - i), i being the mean of how many of a's edges lie within `tolerance` pixels of one of b's, and of b's of a's: with a
    tolerance of 0 it is the plain ratio. Two empty maps agree.
    """
    a, b = a > 0, b > 0
    near = [(one & dilated(other, tolerance) if tolerance else one & other).flatten(1).sum(1) for one, other in ((a, b), (b, a))]
    both, sizes = sum(near) / 2, a.flatten(1).sum(1) + b.flatten(1).sum(1)
    return torch.where(sizes > 0, both / (sizes - both).clamp(min=1), 1.0)


def shape_colour(x: Tensor) -> Tensor:
    """The colour of the drawn shape in each picture (B, 3, H, W), as its number in `COLOURS`; (B,), -1 where all is ground.

    Every pixel votes for the colour that it is nearest to, the more the farther it is from the ground: those on the rim are mixtures.
    """
    known = scaled(torch.tensor([GROUND, *COLOURS.values()], dtype=torch.uint8)).to(x)
    apart = torch.cdist(x.flatten(2).mT, known[None].expand(len(x), -1, -1))  # (B, N, 1 + colours)
    which = apart.argmin(-1)
    votes = torch.stack([(apart[..., 0].square() * (which == i)).sum(1) for i in range(1, len(known))], 1)
    return torch.where(votes.sum(1) > 0, votes.argmax(1), -1)
