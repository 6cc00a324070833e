"""How well samples obey the hints that they were drawn to: edges where the hint has them, the colour that it had."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ...conditions.hints import edges
from ...conditions.hints.filters import dilated
from ...data.dataset import Dataset, scaled
from ...data.sets.shapes import COLOURS, GROUND
from ...model import Model

TOLERANCE = 1  # pixels by which an edge may lie beside the hint's


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


@dataclass(frozen=True)
class Obedience:
    """Means over n samples drawn to the hints of held-out examples, and over as many drawn without.

    edges   intersection over union of a sample's edges with those of the example that the hint was made of, within TOLERANCE pixels
    colour  the share of samples whose shape has the example's colour, None where examples are not drawn shapes in colour
    """

    n: int
    edges: float
    edges_without: float
    colour: float | None
    colour_without: float | None

    def lines(self) -> list[str]:
        """In words."""
        said = [f"edges: IoU {self.edges:.3f} within {TOLERANCE} pixel, {self.edges_without:.3f} without the hint ({self.n:,} samples)"]
        if self.colour is not None:
            said.append(f"colour: {self.colour:.1%} right, {self.colour_without:.1%} without the hint")
        return said


@torch.no_grad()
def obedience(model: Model, data: Dataset, n: int = 500, seed: int = 0, control: Mapping[str, Any] | None = None, **walk: Any) -> Obedience:
    """Draws n samples to the hints of as many examples, with and without them, and measures both; labels are the examples' own.

    control  how the branches are heeded, as in `Sampling`; branches that are to be left out have weight 0
    """
    batch = data.get(torch.arange(n) * len(data) // n)
    asked = {key: condition.read(batch) for key, condition in model.conditions.items()}
    truth, figures = batch["x"], []
    coloured = data.name == "shapes"
    for hints in (True, False):
        kept = {key: value if hints or model.conditions[key].guidable else None for key, value in asked.items()}
        samples = model.sample(n, seed=seed, control=control if hints else {}, **walk, **kept).cpu()
        right = (shape_colour(samples) == shape_colour(truth)).double().mean().item() if coloured else None
        figures.append((edge_overlap(edges(samples), edges(truth)).mean().item(), right))
    (iou, colour), (iou_without, colour_without) = figures
    return Obedience(n, iou, iou_without, colour, colour_without)
