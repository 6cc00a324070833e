"""What pictures a model is told, and what it makes of them."""

from typing import TYPE_CHECKING, Any

from PIL import Image
from torch import Tensor

from ..errors import Usage
from .picture import tiles
from .process import examples
from .strip import strip

if TYPE_CHECKING:
    from ..data import Dataset
    from ..model import Model


def control(model: "Model", data: "Dataset", rows: int = 6, n: int = 4, seed: int = 0, **asked: Any) -> Image.Image:
    """Held-out examples in rows: the pictures that are asked of each, n samples drawn to them, and the example itself.

    What else the model is told, such as a label, is the example's too. asked: as in `Model.sample`.
    """
    if n < 1:
        raise Usage(f"draw at least 1 sample, not {n}")
    batch = examples(data, rows)
    values = {key: condition.read(batch) for key, condition in model.conditions.items()}
    told = {key: value for key, value in values.items() if isinstance(value, Tensor) and value.ndim == batch["x"].ndim}
    if not told:
        raise Usage("this model is told no picture; choose a run with a control branch, such as one of `fromnoise train control_edges`")
    count = len(batch["x"])
    each = {key: _each(value, n) for key, value in values.items()} | asked
    samples = tiles(model.sample(count * n, seed=seed, **each).cpu().float())
    columns = [*(tiles(value) for value in told.values()), *(samples[i::n] for i in range(n)), tiles(batch["x"])]
    lines = list(zip(*columns, strict=True))
    return strip(lines, columns=[*told, *["sample"] * n, "truth"])


def _each(value: Any, n: int) -> Any:
    """Every value n times over."""
    return value.repeat_interleave(n, 0) if isinstance(value, Tensor) else [item for item in value for _ in range(n)]
