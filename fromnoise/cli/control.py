"""Control branches when sampling: those of the run itself, and those of other runs that were trained on the same base."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from ..conditions import Control
from ..data.files.pictures import picture
from ..errors import Problem, Usage
from ..model import Model, digest, load
from ..runs.folder import Run

NUMBERS = re.compile(r"((?::[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf)(?:e[-+]?[0-9]+)?)*)$", re.IGNORECASE)


def heard(
    model: Model, run: Path, words: Sequence[str], n: int, device: str | None = None, trust: bool = False
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What `--control` asks of n samples, each word WHAT[=FILE][:WEIGHT[:LOW:HIGH]]: ({key: hint}, {key: [weight, low, high]}) for `Model.sample`.

    WHAT is a control of the model, or a run with one, whose branch is then added to the model.
    """
    own = _base(model, run)
    hints: dict[str, Any] = {}
    control: dict[str, Any] = {}
    for word in words:
        numbers = [float(number) for number in NUMBERS.search(word)[1].split(":")[1:]]
        what, equals, file = NUMBERS.sub("", word).partition("=")
        if len(numbers) not in (0, 1, 3) or not what or (equals and not file):
            raise Usage(f"--control is WHAT=HINT.png, WHAT=HINT.png:WEIGHT or WHAT=HINT.png:WEIGHT:LOW:HIGH, not {word!r}")
        key = _key(model, run, what, own, device, trust)
        if key in control:
            raise Usage(f"--control {key} is given twice; once is enough")
        control[key] = numbers or model.sampling.control.get(key, [1.0])
        if file:
            hints[key] = read_hint(Path(file), model.conditions[key]).expand(n, -1, -1, -1)
    if hints:  # other conditions then vary as they do by themselves, not as the remembered examples of the hints did
        for condition in model.conditions.values():
            condition.example_values = condition.example_values if condition.from_data else None
    return hints, {**model.sampling.control, **control}


def add(model: Model, path: str | Path, own: str, device: str | None = None, trust: bool = False) -> str:
    """Adds another run's branch to a model whose base has the digest `own`, and returns its key; raises Problem where the bases differ."""
    node = Run(path).config().get("base") or {}
    other = load(path, device, trust)
    keys = _controls(other)
    if len(keys) != 1:
        which = (
            f"several branches ({', '.join(keys)}); sample that run itself"
            if keys
            else "no control branch; choose a run that was trained with one"
        )
        raise Usage(f"{path} has {which}")
    if node.get("digest") != own:
        raise Problem(
            f"{path} was trained on {node.get('run')} ({node.get('weights')} weights), which are not the ones here; a branch fits its base alone"
        )
    (key,) = keys
    if key in model.conditions:
        raise Usage(
            f"two branches are called {key}; train one of them with another key, as in conditions=[{{name: control, hint: …, key: …}}]"
        )
    if extra := [name for name in other.conditions if name != key and name not in model.conditions]:
        raise Usage(f"{path} has also learnt to be told {extra[0]}, which the base was not; sample that run itself")
    model.conditions[key] = other.conditions[key]
    for name, condition in other.conditions.items():
        model.conditions[name].example_values = condition.example_values
    return key


def read_hint(path: Path, condition: Control) -> Tensor:
    """A picture file as a condition's hint (C', H, W); raises Usage where it has another size."""
    if len(condition.shape) != 3 or condition.shape[0] not in (1, 3, 4):
        raise Usage(f"the hint {condition.key} is of shape {condition.shape}, no picture that a file could hold; use Model.sample")
    channels, height, width = condition.shape
    hint = picture(path, channels)
    if hint.shape != (channels, height, width):
        cure = f"make one with `fromnoise data hint PICTURE {condition.hint or 'HINT'} --size {width}`"
        raise Usage(f"{path} is {hint.shape[2]}x{hint.shape[1]}, the hint {condition.key} {width}x{height}; {cure}")
    return hint


def _controls(model: Model) -> list[str]:
    return [key for key, condition in model.conditions.items() if isinstance(condition, Control)]


def _base(model: Model, run: Path) -> str:
    """The digest of the weights that branches of a model rest on: of its base, or of its own where it has none."""
    return Run(run).config()["base"]["digest"] if _controls(model) else digest(model.state_dict())


def _key(model: Model, run: Path, what: str, own: str, device: str | None, trust: bool) -> str:
    """The key of the control that is called so, added to the model where it is another run's."""
    mine = _controls(model)
    if what in mine:
        return what
    path = Path(what)
    if path.is_dir() and path.resolve() == run.resolve() and len(mine) == 1:
        return mine[0]
    if not path.is_dir():
        there = f"this run's are {', '.join(mine)}" if mine else "this run has none of its own"
        raise Usage(f"no control {what!r}: {there}, and there is no run folder of that name")
    return add(model, path, own, device, trust)
