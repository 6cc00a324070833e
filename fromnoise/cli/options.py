"""The options that commands share, each written once, and the values that they are read as."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from ..errors import Usage
from .command import RUN, flag, names

if TYPE_CHECKING:
    from ..config import Recipe
    from ..data import Dataset
    from ..model import Model, Sampling

Option, Argument = typer.Option, typer.Argument
RunArgument = Annotated[Path, Argument(help="A run folder, such as runs/mnist.")]
RunFolder = Annotated[Path, Option("--out", "-o", help="The run folder to write.")]
Out = Annotated[Path, Option("--out", "-o", help="Where the picture is written.")]
Number = Annotated[int, Option("--number", "-n", help="How many.")]
Shown = Annotated[int | None, Option("--number", "-n", help="How many samples; what fits the picture unless said.")]
Seed = Annotated[int, Option("--seed", help="Of the noise.")]
Device = Annotated[str | None, Option("--device", help="cpu, cuda, mps; the best there is unless said.")]
Trust = Annotated[bool, Option("--trust", help="Allow parts of your own (module:Class) that the run names, which runs their code.")]
FEW = 16  # pictures to start from, where the number of samples is left open
NUMBERS = re.compile(r"((?::[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+|inf)(?:e[-+]?[0-9]+)?)*)$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """A trained run."""

    panel: ClassVar[str] = RUN
    run: RunArgument
    weights: str = flag("last, best (by held-out loss), or a name of the run's weights/.", default="last")
    adapter: list[str] | None = flag("RUN or RUN:SHARE: put on it what a run begun with it has learnt, such as :0.7 of that; repeatable.")
    device: Device = None
    trust: Trust = False

    @cached_property
    def model(self) -> "Model":
        """Its model, with what other runs have learnt on it."""
        from ..model import composed, load

        how = self.device, self.trust, self.weights
        return composed(self.run, self.adapters(), *how) if self.adapter else load(self.run, *how)

    def adapters(self) -> list[tuple[Path, float]]:
        """--adapter as (run, share)."""
        found = []
        for word in self.adapter or []:
            run, share = (word, "1") if Path(word).exists() or ":" not in word else word.rsplit(":", 1)
            if not re.fullmatch(r"-?(\d+\.?\d*|\.\d+)", share):
                raise Usage(f"--adapter is RUN, or RUN:SHARE such as runs/fashion_lora:0.7, not {word!r}")
            found.append((Path(run), float(share)))
        return found

    @property
    def recipe(self) -> "Recipe":
        """The recipe that it was trained by."""
        from ..runs import Run

        return Run(self.run).recipe(self.trust).with_defaults()

    def weaker(self, path: Path | None) -> "Model | None":
        """The model that guidance leads away from: of a run folder, or of one of its weights/, such as runs/mnist/weights/step_00001000."""
        from ..model import load

        if path is None:
            return None
        inside = path.parent.name == "weights"
        return load(path.parent.parent if inside else path, self.device, self.trust, path.stem if inside else "last")


@dataclass(frozen=True, kw_only=True)
class DataOptions(RunOptions):
    """A trained run, and the data that it was trained on."""

    root: str | None = flag("Where the data lies, if not where training found it.")

    @cached_property
    def data(self) -> tuple["Dataset", "Dataset"]:
        """Training and held-out examples; raises Problem where they would run code of somebody's own that is not trusted."""
        from ..data.examples import examples, with_root

        recipe = self.recipe
        recipe.check_trusted(self.trust, self.run, data=True)
        node = with_root(recipe.data, self.root)
        return examples(node, "train"), examples(node, "test")


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How samples are drawn; what is not given is as the run's own settings say."""

    panel: ClassVar[str] = "Sampling"
    sampler: str | None = flag(f"{names('samplers.SAMPLERS')}.")
    steps: int | None = flag("Steps of the sampler.")
    guidance: float | None = flag("Classifier-free guidance; 1 is none.", "-g")
    seed: int | None = flag("The same seed gives the same samples, however they are batched; 0 unless said.")
    option: list[str] | None = flag("A sampler's own option, such as eta=0.5; repeatable.", metavar="NAME=VALUE")
    clip: str | None = flag(f"How x0 is held in range: {names('model.sampling.CLIPS')}.")
    interval: str | None = flag("LOW,HIGH: guide only where sigma/alpha is between.")
    rescale: float | None = flag("0 to 1: how far guidance's exaggerated contrast is taken back.")
    against: Path | None = flag("Autoguidance: lead away from this weaker run, or earlier weights, RUN/weights/step_…; not from no label.")
    batch: int | None = flag("Samples at a time; it does not change them.")

    def sampling(self, run: RunOptions, **words: Any) -> "Sampling":
        """How to draw, with more fields of `Sampling` that a command knows."""
        low, high = (
            numbers(self.interval, "--interval is LOW,HIGH in units of sigma/alpha, such as 0.2,5", 2) if self.interval else (None, None)
        )
        own = {key: getattr(self, key) for key in ("sampler", "steps", "guidance", "seed", "clip", "rescale", "batch")}
        own |= {"options": _options(self.option), "low": low, "high": high, "weak": run.weaker(self.against)}
        return run.model.sampling.merged(own | words)


@dataclass(frozen=True, kw_only=True)
class ConditionOptions:
    """What samples are drawn under."""

    panel: ClassVar[str] = "Conditions"
    label: str | None = flag(
        "A class: number or name; several with commas, in turn; 'none' for no label. Else every class in turn (`edit`: none).", "-l"
    )
    text: list[str] | None = flag("A caption, in quotes; repeatable, in turn; 'none' for none. Else held-out ones (`edit`: none).", "-t")
    negative: str | None = flag("A caption that guidance leads away from.")
    condition: list[str] | None = flag(
        "Any condition, one of your own as well; several values with commas, in turn; 'none' for none; repeatable.", metavar="NAME=VALUE"
    )
    image: Path | None = flag(
        "What to make the samples of: a picture, or a folder of them in turn; where the model was trained on a hint, the picture to make it of. "
        "Held-out ones that the run keeps unless given."
    )
    mask: Path | None = flag("White where --image is to be made anew, for a model that fills holes.")
    control: list[str] | None = flag(
        "WHAT=HINT.png[:WEIGHT[:LOW:HIGH]]: WHAT is the run's own control, or a control run of the same base; it acts where"
        " sigma/alpha is between. Without =HINT.png, hints of held-out examples. Repeatable."
    )

    def conditions(self, run: RunOptions, n: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """({key: values} of n samples, fields of `Sampling` that go with them); where n is None, one value for all."""
        words = [("label", self.label)] if self.label is not None else []
        words += [("text", text) for text in self.text or []] + [_pair("--condition", pair, "angle=30") for pair in self.condition or []]
        values: dict[str, list[Any]] = {}
        for key, text in words:
            value = _parsed(run.model, key, text)
            values[key] = values.get(key, []) + (value if isinstance(value, list) else [value])
        found, sampling = {key: _in_turn(key, own, n) for key, own in values.items()}, {}
        if self.negative is not None:
            sampling["negative"] = {"text": _parsed(run.model, "text", self.negative)}
        if self.image or self.mask:
            from .pictures import images_of

            found |= images_of(run.model, self.image, self.mask, n or 1, run.recipe.data)
        if self.control:
            hints, sampling["control"] = parse_controls(run, self.control)
            found |= hints
        return found, sampling


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What samples start from in place of noise."""

    panel: ClassVar[str] = "Start"
    init: Path | None = flag("Start from this picture rather than from noise.")
    strength: float = flag("How far --init is taken back to noise, 0 to 1.", default=0.6)
    source: Path | None = flag("For a model from data to data: the picture to start from, or a folder of them in turn. Else held-out ones.")

    def words(self, run: RunOptions, n: int) -> dict[str, Any]:
        """Fields of `Sampling`; what the model's source is made of is handed to the model."""
        if not (self.init or self.source):
            return {}
        from .pictures import picture, pictures

        if len(run.model.shape) != 3:
            raise Usage(
                f"this model makes examples of shape {run.model.shape}, no pictures, so it cannot start from one; leave --init and --source out"
            )
        if self.source and run.model.source.key is None:
            raise Usage("this model starts from noise; leave --source out (--init starts from a picture)")
        how = run.model.shape[0], run.model.shape, run.recipe.data
        if self.source:
            run.model.set_examples(run.model.examples() | {"source": pictures(self.source, *how, n)})
        return {"init": picture(self.init, *how)[None], "strength": self.strength} if self.init else {}


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """Samples of a run: how they are drawn, under what, and from where."""

    run: RunOptions
    sampling: SamplingOptions
    conditions: ConditionOptions
    start: StartOptions

    @property
    def model(self) -> "Model":
        return self.run.model

    def chosen(self, n: int | None, **words: Any) -> tuple["Sampling", dict[str, Any]]:
        """(how to draw, the conditions of n samples), with more fields of `Sampling` that a command knows; where n is None, one value for all."""
        conditions, own = self.conditions.conditions(self.run, n)
        return self.sampling.sampling(self.run, **own, **self.start.words(self.run, n or FEW), **words), conditions


def parse_controls(run: RunOptions, words: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """--control WHAT[=FILE][:WEIGHT[:LOW:HIGH]]: ({key: hint}, {key: [weight, low, high]}).

    WHAT is a control of the model, or a run with one, whose branch is then added to the model.
    """
    from ..model import base_digest
    from .pictures import read_hint

    model = run.model
    own, hints, weights = base_digest(model, run.run), {}, {}
    for word in words:
        parts = [float(number) for number in NUMBERS.search(word)[1].split(":")[1:]]  # type: ignore[index]
        what, equals, file = NUMBERS.sub("", word).partition("=")
        if len(parts) not in (0, 1, 3) or not what or (equals and not file):
            raise Usage(f"--control is WHAT=HINT.png, WHAT=HINT.png:WEIGHT or WHAT=HINT.png:WEIGHT:LOW:HIGH, not {word!r}")
        key = _control(run, what, own)
        if key in weights:
            raise Usage(f"--control {key} is given twice; once is enough")
        weights[key] = parts or model.sampling.control.get(key, [1.0])
        if file:
            hints[key] = read_hint(Path(file), model.conditions[key])[None]
    if hints:  # other conditions then vary as they do by themselves, not as the examples whose hints these would be
        examples = model.examples()
        model.set_examples({key: examples[key] for key in examples if key not in model.conditions or model.conditions[key].from_data})
    return hints, {**model.sampling.control, **weights}


def _control(run: RunOptions, what: str, own: str) -> str:
    """The key of the control that is called so, added to the model where it is another run's."""
    from ..model import add_control, controls

    mine, path = controls(run.model), Path(what)
    if what in mine:
        return what
    if path.is_dir() and path.resolve() == run.run.resolve() and len(mine) == 1:
        return mine[0]
    if not path.is_dir():
        there = f"this run's are {', '.join(mine)}" if mine else "this run has none of its own"
        raise Usage(f"no control {what!r}: {there}, and there is no run folder of that name")
    return add_control(run.model, path, own, run.device, run.trust)


def _parsed(model: "Model", key: str, text: str) -> Any:
    """A word as a value, or several, of a condition; 'none' is none."""
    if key not in model.conditions and key in ("label", "text"):
        what, options = {"label": ("labels", "--label"), "text": ("captions", "--text and --negative")}[key]
        raise Usage(f"this model was trained without {what}; leave {options} out")
    model.check_conditions({key: None})
    return None if text == "none" else model.conditions[key].parse(text)


def _in_turn(key: str, values: list[Any], n: int | None) -> Any:
    """One value, or n of them in turn."""
    if len(values) == 1:
        return values[0]
    if None in values:
        raise Usage(f"several values of {key} are given, and 'none' among them; draw those apart")
    if n is None:
        raise Usage(f"several values of {key} are taken by several samples in turn; this takes one")
    return [values[i % len(values)] for i in range(n)]


def _pair(what: str, text: str, example: str) -> tuple[str, str]:
    """NAME=VALUE."""
    key, equals, value = text.partition("=")
    if not equals:
        raise Usage(f"{what} is key=value, such as {example}, not {text!r}")
    return key, value


def _options(pairs: list[str] | None) -> dict[str, Any] | None:
    """A sampler's own options, as numbers, true and false; None where there are none."""
    values: dict[str, Any] = {}
    for key, text in (_pair("--option", pair, "eta=0.5") for pair in pairs or []):
        try:
            values[key] = {"true": True, "false": False}[text.lower()] if text.lower() in ("true", "false") else float(text)
        except ValueError:
            raise Usage(f"option {key} is a number, or true or false, not {text!r}") from None
    return values or None


def numbers(text: str, what: str, count: int | None = None, kind: type = float) -> list[Any]:
    """Numbers with commas, so many of them if it is said; `what` says what they should be."""
    try:
        found = [kind(part) for part in text.split(",")]
    except ValueError:
        found = []
    if not found or count not in (None, len(found)):
        raise Usage(f"{what}, not {text!r}")
    return found
