"""How well samples follow the control hints that they are drawn with."""

from dataclasses import dataclass, replace

import torch

from ..conditions.hints import edges
from ..data import Dataset
from ..errors import Usage
from ..model import Model, Sampling
from .card import Result
from .examples import read_conditions, spread
from .metrics.pictures import TOLERANCE, edge_overlap, shape_colour
from .protocol import Progress


@dataclass(frozen=True)
class Adherence(Result):
    """Means over n samples drawn with the hints of held-out examples, and over as many drawn without."""

    n: int
    edges: float  # `edge_overlap` with the example that the hint was made of
    edges_without: float
    colour: float | None  # the share whose shape has the example's colour, None where examples are not drawn shapes
    colour_without: float | None

    def lines(self) -> list[str]:
        said = [f"edges: IoU {self.edges:.3f} within {TOLERANCE} pixel, {self.edges_without:.3f} without the hint ({self.n:,} samples)"]
        if self.colour is not None:
            said.append(f"colour: {self.colour:.1%} right, {self.colour_without:.1%} without the hint")
        return said


@torch.no_grad()
def control_adherence(model: Model, data: Dataset, n: int, sampling: Sampling, progress: Progress = lambda done, total: None) -> Adherence:
    """Draws n samples with the hints of as many examples (all there are, where they are fewer), and without, and measures both.

    Other conditions, such as labels, are the examples' own. `sampling.control` weighs the branches: one that is to be left out has weight 0.
    progress(done, total) is called as samples are drawn.
    """
    if all(condition.guidable for condition in model.conditions.values()):
        raise Usage("this model has no control branch, so there are no hints to follow; leave --control out")
    n = min(n, len(data))
    batch = data.get(spread(n, len(data)))
    conditions, truth = read_conditions(model, batch), batch["x"].cpu()
    alone = {key: value if model.conditions[key].guidable else None for key, value in conditions.items()}
    ways = ((sampling, conditions), (replace(sampling, control={}), alone))
    both = [
        model.sample(n, how, progress=lambda done, before=i * n: progress(before + done, 2 * n), **given).cpu()
        for i, (how, given) in enumerate(ways)
    ]
    overlaps = [edge_overlap(edges(samples), edges(truth)).mean().item() for samples in both]
    known = data.name == "shapes"
    right = [(shape_colour(samples) == shape_colour(truth)).double().mean().item() if known else None for samples in both]
    return Adherence(n, *overlaps, *right)
