"""The same noise, walked in several ways: samplers side by side, sweeps of one option, guidance against steps."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from PIL import Image

from ..errors import Usage
from ..evaluation.speed import count_calls
from ..evaluation.sweep import guided_by
from ..model import Model, Sampling
from ..progress import duration
from .media import tiles
from .picture import even, sheet
from .process import number
from .samples import said
from .strip import strip

USUAL, FEW = 8, 4  # columns, samples in a cell
SWEPT = ("guidance", "steps", "rescale")  # beside a sampler's own options
SPECS = (("ddpm", 1000), ("ddim", 50), ("dpmpp_2m", 20))


def compare(
    model: Model, specs: Sequence[tuple[str, int]] = SPECS, n: int | None = None, sampling: Sampling | None = None, **conditions: Any
) -> Image.Image:
    """n samples from the same noise by each (sampler, steps), a row each, with function evaluations (NFE) a sample, and seconds for all n. All else
    is as `sampling` says, None: the model's own."""
    if not specs:
        raise Usage("name at least one sampler to compare, such as ddim:50")
    n, sampling = number(model.shape, n, USUAL), sampling or model.sampling
    conditions = model.with_defaults(n, conditions)
    walks = [sampling.merged({"sampler": sampler, "steps": steps}) for sampler, steps in specs]
    model.sample(n, sampling.merged({"sampler": "ddim", "steps": 1}), **conditions)  # the first call pays for what is set up once
    rows, names = [], []
    for (sampler, steps), walk in zip(specs, walks, strict=True):
        with count_calls(model.denoiser) as calls:
            began = time.perf_counter()
            x = model.sample(n, walk, **conditions).float().cpu()  # what is on the CPU has been waited for
            seconds = time.perf_counter() - began
        rows.append(tiles(x, None, model.medium, model.units))
        names.append(f"{sampler}, {steps} steps\n{round(sum(calls) / n)} function evaluations (NFE), {duration(seconds)}")
    return strip(rows, names, _over(model, conditions))


def sweep(
    model: Model, option: str, values: Sequence[float], n: int | None = None, sampling: Sampling | None = None, **conditions: Any
) -> Image.Image:
    """The same noise at several values of one option, a row each: `guidance`, `steps` or `rescale`, or an option of the sampler such as `eta`.

    sampling: all else; None: DDIM over the model's own. With classes, the columns show every class in turn unless `label` says otherwise.
    """
    if not values:
        raise Usage(f"name at least one value of {option} to try, such as 0,0.5,1")
    n, sampling = number(model.shape, n, USUAL), sampling or model.sampling.merged({"sampler": "ddim", "options": {}})
    if option == "rescale" and sampling.guidance == 1:
        raise Usage("rescale acts on guidance, and that is 1, which is none; set it above 1")
    conditions = model.with_defaults(n, conditions)
    if option == "guidance":
        walks = [guided_by(sampling, value) for value in values]
    elif option in SWEPT:
        walks = [sampling.merged({option: int(value) if float(value).is_integer() else value}) for value in values]
    else:
        walks = [replace(sampling, options={**sampling.options, option: value}) for value in values]
    rows = [tiles(model.sample(n, walk, **conditions).float().cpu(), None, model.medium, model.units) for walk in walks]
    return strip(rows, [f"{option} {value:g}" for value in values], _over(model, conditions))


def guidance(
    model: Model, scales: Sequence[float] = (1, 2, 4, 8), steps: Sequence[int] = (5, 10, 20, 50), n: int | None = None,
    sampling: Sampling | None = None, **conditions: Any,
) -> Image.Image:  # fmt: skip
    """The same n seeds at every scale of guidance (rows) and number of steps (columns)."""
    n, sampling = number(model.shape, n, FEW), sampling or model.sampling
    conditions = model.with_defaults(n, conditions)
    walks = [[replace(guided_by(sampling, scale), steps=count) for count in steps] for scale in scales]
    rows = [[sheet(tiles(model.sample(n, walk, **conditions).float().cpu(), None, model.medium, model.units), even(n)) for walk in row] for row in walks]
    over, columns = _over(model, conditions), [f"{count} step{'s' * (count != 1)}" for count in steps]
    if not any(over):
        return strip(rows, [f"guidance {scale:g}" for scale in scales], columns)
    across = even(n)  # the words stand as the samples do in each cell
    words = "\n".join(", ".join(" ".join(word.split()) for word in over[i : i + across]) for i in range(0, n, across))
    return strip(rows, [f"guidance {scale:g}\n{words}" for scale in scales], columns)


def by_class(
    model: Model, rows: int = 8, classes: Sequence[int] | None = None, sampling: Sampling | None = None, **conditions: Any
) -> Image.Image:
    """A grid of samples with a class in every column, `rows` samples of each."""
    if "label" not in model.conditions:
        raise Usage("this model has no classes; use `grid` of its samples")
    chosen = list(range(len(model.classes)) if classes is None else classes)
    n, names = rows * len(chosen), [model.classes[c] for c in chosen]
    x = model.sample(n, sampling, **model.with_defaults(n, dict(label=chosen * rows, **conditions))).float().cpu()
    columns = [tiles(x[i :: len(chosen)], None, model.medium, model.units) for i in range(len(chosen))]
    return strip([*zip(*columns, strict=True)], columns=names)


def _over(model: Model, conditions: dict[str, Any]) -> list[str]:
    """The class or caption of each column, if any."""
    return said(conditions, model.classes) if len(model.shape) > 1 else []
