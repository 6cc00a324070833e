"""What a model makes of what it is asked: the condition beside its samples and the truth."""

import textwrap
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

WORDS = 18  # letters of a line beside a row


def pictured(model: "Model", asked: dict[str, Any]) -> Tensor | None:
    """What the pictures among the values of conditions look like, (n, C', *S); None where there are none."""
    found = (condition.picture(asked[key]) for key, condition in model.conditions.items() if asked.get(key) is not None)
    return next((picture.float().cpu() for picture in found if picture is not None), None)


def alternating(asked: Tensor, made: Tensor, columns: int) -> Image.Image:
    """Rows of what was asked (n, C', *S), each with the row of what was made of it (n, C, *S) below."""
    above, below = tiles(asked), tiles(made)
    starts = range(0, len(below), columns)
    rows = [row for i in starts for row in (above[i : i + columns], below[i : i + columns], None)]
    return strip(rows[:-1], ["input", "sample"] * len(starts))


def condition(model: "Model", data: "Dataset", n: int = 4, rows: int = 6, seed: int = 0, **walk: Any) -> Image.Image:
    """Examples of the data a row each: the picture that is asked, n samples made of it from different noise, and the truth.

    A model that is told words or classes alone has them beside the rows. walk: sampler, steps, guidance, … as in `Model.sample`.
    """
    if n < 1 or rows < 1:
        raise Usage(f"show at least 1 sample of at least 1 row, not {n} of {rows}")
    if not model.conditions or len(model.shape) == 1:
        raise Usage(
            "this shows pictures beside what they were asked to be, and this model makes none or is asked nothing; use `fromnoise sample`"
        )
    batch = examples(data, rows)
    asked = model.asked(len(batch["x"]), {key: told.read(batch) for key, told in model.conditions.items()})
    picture = pictured(model, asked)
    samples = [model.sample(len(batch["x"]), seed=seed + i, **walk, **asked).float().cpu() for i in range(n)]
    columns = [*([] if picture is None else [tiles(picture)]), *map(tiles, samples), tiles(batch["x"].cpu())]
    over = [*([] if picture is None else ["input"]), *(f"sample {i + 1}" for i in range(n)), "truth"]
    return strip([list(row) for row in zip(*columns, strict=True)], _names(batch, data.classes), over)


def _names(batch: dict[str, Any], classes: tuple[str, ...]) -> list[str]:
    """Each example's caption, or its class."""
    if "text" in batch:
        return ["\n".join(textwrap.wrap(text, WORDS, max_lines=3, placeholder=" …")) or "" for text in batch["text"]]
    return [classes[i] for i in batch["label"].tolist()] if "label" in batch and classes else []
