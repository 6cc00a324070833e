"""What a model makes of its conditions: pictures that it is conditioned on, or that samples start from, beside samples and the truth."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ..data import Dataset
from ..data.units import Units
from ..diffusion import Seeded
from ..errors import Usage
from ..evaluation.examples import read_conditions
from ..model import Model, Sampling
from ..samplers import draws_noise
from .media import tiles
from .process import examples
from .samples import wrapped
from .strip import strip

WORDS = 18  # letters of a line beside a row


def input_pictures(model: Model, n: int, conditions: Mapping[str, Any], source: Tensor | None = None) -> dict[str, Tensor]:
    """The pictures that n samples are made from, (n, C', *S) by key: values of conditions, hints among them, and what samples start from.

    source: what the samples start from (n, C, *S) where the model's source is data; None: the model's own source_values. {} for points.
    """
    if len(model.shape) == 1:
        return {}
    found = {}
    for key, condition in model.conditions.items():
        value = conditions.get(key)
        picture = None if value is None else condition.picture(value)
        if picture is None and isinstance(value, Tensor) and value.ndim == 1 + len(model.shape):
            picture = value
        if picture is not None:
            found[key] = picture.float().cpu()
    if model.source.key is not None:
        values = model.source_values if source is None else source
        found[model.source.key] = model.source.start(n, model.shape, Seeded(0, range(n)), values).float().cpu()
    return found


def alternating(inputs: Tensor, samples: Tensor, columns: int, medium: str | None = None, units: Units | None = None) -> Image.Image:
    """Rows of inputs (n, C', *S), each with the row of the samples (n, C, *S) made from them below."""
    above, below = tiles(inputs, None, medium, units and units.given), tiles(samples, None, medium, units)
    starts = range(0, len(below), columns)
    rows = [row for i in starts for row in (above[i : i + columns], below[i : i + columns], None)]
    return strip(rows[:-1], ["input", "sample"] * len(starts))


def condition(model: Model, data: Dataset, n: int | None = None, rows: int | None = None, sampling: Sampling | None = None) -> Image.Image:
    """Examples of the data, 6 or `rows`, a row each: the pictures that samples are made from, n samples of seeds in turn, and the truth.

    n: 4, or 1 where all samples would be alike, since they start from data and the sampler draws no noise.

    Pictures are those of conditions, hints of control branches, and of a source that is data. Captions or classes stand beside the rows.
    """
    sampling = sampling or model.sampling
    alike = model.source.key is not None and not draws_noise(sampling.sampler, sampling.options)
    n = n if n is not None else 1 if alike else 4
    if n < 1 or rows is not None and not 1 <= rows <= len(data):
        raise Usage(f"show at least 1 sample of at least 1 row, and {len(data):,} rows at most, which are all examples, not {n} of {rows}")
    if alike and n > 1:
        raise Usage(f"samples start from data and {sampling.sampler} draws no noise, so {n} would be alike; show 1, or choose another such as ddpm")
    batch = examples(data, rows or 6)
    count, source = len(batch["x"]), batch.get(model.source.key)
    if len(model.shape) == 1 or not model.conditions and source is None:
        why = "this model has no conditions or makes no pictures; use `fromnoise sample`"
        raise Usage(f"this shows pictures beside what they are made from, and {why}")
    conditions = model.with_defaults(count, read_conditions(model, batch))
    inputs = input_pictures(model, count, conditions, source)
    if source is not None:
        noisiest = model.sampling_schedule(sampling)(torch.ones(()))
        sampling = replace(sampling, start=(noisiest.sigma * source.double()).float())  # as `Model.start` scales its own
    samples = [model.sample(count, replace(sampling, seed=sampling.seed + i), **conditions).float().cpu() for i in range(n)]
    own = model.units and model.units.given
    columns = [tiles(part, None, model.medium, own) for part in inputs.values()]
    columns += [tiles(part, None, model.medium, model.units) for part in (*samples, batch["x"].cpu())]
    over = [*inputs, *(f"sample {i + 1}" for i in range(n)), "truth"]
    names = [data.classes[i] for i in batch["label"].tolist()] if "label" in batch and data.classes else []
    if "text" in batch:
        names = [wrapped(text, WORDS) for text in batch["text"]]
    return strip([*zip(*columns, strict=True)], names, over)
