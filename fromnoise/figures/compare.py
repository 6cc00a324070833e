"""The same noise, walked in several ways: samplers side by side, and sweeps of one option."""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from ..errors import Usage
from ..progress import duration
from .picture import tiles
from .process import number
from .strip import strip

if TYPE_CHECKING:
    from ..model import Model

USUAL = 8  # columns
SPECS = (("ddpm", 1000), ("ddim", 50), ("dpmpp_2m", 20))


@dataclass(frozen=True)
class Compared:
    """What one sampler made of the noise: samples x (n, C, *S), its time in seconds, and its network evaluations for each sample."""

    sampler: str
    steps: int
    seconds: float
    evaluations: int
    x: Tensor


@contextmanager
def _counting(model: "Model", n: int) -> Iterator[list[int]]:
    """Counts the examples that the network sees, in units of n: guidance in one doubled pass counts twice, as two passes do."""
    seen = [0]

    def look(network: Any, args: tuple[Any, ...]) -> None:
        seen[0] += len(args[0])

    hook = model.denoiser.network.register_forward_pre_hook(look)
    try:
        yield seen
    finally:
        hook.remove()
        seen[0] = round(seen[0] / n)


def _end(walk: Iterator[tuple[Tensor, Tensor]]) -> Tensor:
    """The last x of a walk, on the CPU: whoever has it has waited for the device."""
    return deque(walk, maxlen=1)[0][0].float().cpu()


def compared(model: "Model", specs: Sequence[tuple[str, int]] = SPECS, n: int | None = None, seed: int = 0, **asked: Any) -> list[Compared]:
    """n samples from the same noise by each (sampler, steps), timed. asked: guidance and conditions, as in `Model.trajectory`."""
    if not specs:
        raise Usage("name at least one sampler to compare, such as ddim:50")
    n = number(model.shape, n, USUAL)
    _end(model.trajectory(n, sampler="ddim", steps=1, seed=seed, **asked))  # the first call pays for what is set up once
    found = []
    for sampler, steps in specs:
        with _counting(model, n) as evaluations:
            began = time.perf_counter()
            x = _end(model.trajectory(n, sampler=sampler, steps=steps, seed=seed, **asked))
            seconds = time.perf_counter() - began
        found.append(Compared(sampler, steps, seconds, evaluations[0], x))
    return found


def compare(model: "Model", specs: Sequence[tuple[str, int]] = SPECS, n: int | None = None, seed: int = 0, **asked: Any) -> Image.Image:
    """Samplers side by side from the same noise, a row each, with steps, network evaluations (NFE) a sample, and seconds for all n."""
    return drawn(model, compared(model, specs, n, seed, **asked), asked)


def drawn(model: "Model", results: Sequence[Compared], asked: Mapping[str, Any]) -> Image.Image:
    """The picture of a comparison."""
    names = [f"{r.sampler}, {r.steps} steps\n{r.evaluations} NFE, {duration(r.seconds)}" for r in results]
    return strip([tiles(r.x) for r in results], names, _labels(model, len(results[0].x), asked))


def sweep(
    model: "Model",
    option: str,
    values: Sequence[float],
    sampler: str = "ddim",
    steps: int | None = None,
    n: int | None = None,
    seed: int = 0,
    options: Mapping[str, Any] | None = None,
    **asked: Any,
) -> Image.Image:
    """The same noise at several values of one option, a row each: `guidance`, `steps`, or any option of the sampler such as `eta`.

    With classes, the columns ask for every class in turn unless `label` says otherwise.
    """
    if not values:
        raise Usage(f"name at least one value of {option} to try, such as 0,0.5,1")
    n, rows = number(model.shape, n, USUAL), []
    for value in values:
        walk: dict[str, Any] = {"sampler": sampler, "steps": steps, "seed": seed, "options": dict(options or {})} | asked
        if option == "steps":
            walk["steps"] = int(value)
        elif option == "guidance":
            walk["guidance"] = value
        else:
            walk["options"][option] = value
        rows.append(tiles(_end(model.trajectory(n, **walk))))
    return strip(rows, [f"{option} {value:g}" for value in values], _labels(model, n, asked))


def by_class(model: "Model", rows: int = 8, classes: Sequence[int] | None = None, seed: int = 0, **asked: Any) -> Image.Image:
    """A grid of samples with a class in every column, `rows` samples of each; asked as in `Model.sample`."""
    if "label" not in model.conditions:
        raise Usage("this model knows no classes; use `grid` of its samples")
    chosen = list(range(len(model.classes)) if classes is None else classes)
    x = model.sample(rows * len(chosen), seed=seed, label=chosen * rows, **asked).float().cpu()
    drawn = tiles(x)
    if x.ndim == 2:
        return strip([[tiles(x[i :: len(chosen)])[0] for i in range(len(chosen))]], columns=[model.classes[c] for c in chosen])
    return strip([drawn[i : i + len(chosen)] for i in range(0, len(drawn), len(chosen))], columns=[model.classes[c] for c in chosen])


def _labels(model: "Model", n: int, asked: Mapping[str, Any]) -> list[str]:
    """The class that each of n columns asks for, if any."""
    if "label" not in model.conditions or len(model.shape) == 1:
        return []
    conditions = {key: value for key, value in asked.items() if key in model.conditions}
    labels = model.asked(n, conditions).get("label")
    return [] if labels is None else [model.classes[int(i)] if model.classes else str(int(i)) for i in labels]
