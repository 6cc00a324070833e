"""The options that commands share, each written once, and the values that they are read as."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar

from typer import Argument, Option

from ..errors import Usage
from . import lib, words
from .command import RUN, flag, names

RunArgument = Annotated[Path, Argument(help="A run folder, such as runs/mnist.")]
RunFolder = Annotated[Path, Option("--out", "-o", help="The run folder to write.")]
Out = Annotated[Path, Option("--out", "-o", help="Where the picture is written.")]
MANY, SHOWN, PANELS = ({"min": 1, "max": most} for most in (1_000_000, 10_000, 1_000))  # samples; those of a picture; its rows or columns
SEEDS = {"min": -(2**63), "max": 2**64 - 1}
Number = Annotated[int, Option("--number", "-n", help="How many.", **MANY)]
Shown = Annotated[int | None, Option("--number", "-n", help="How many samples; what fits the picture unless said.", **SHOWN)]
Seed = Annotated[int, Option("--seed", help="Of the noise.", **SEEDS)]
DEVICE = "cpu, cuda, mps; the best there is unless said."
Device = Annotated[str | None, Option("--device", help=DEVICE)]
TRUST = "Allow parts of your own (module:Class) that the run names, which runs their code."
Trust = Annotated[bool, Option("--trust", help=TRUST)]
CONTROL = ("WHAT=HINT.png[:WEIGHT[:LOW:HIGH]]: WHAT is the run's own control, or a control run of the same base; it acts where"
           " sigma/alpha is between. Without =HINT.png, hints of held-out examples. Repeatable.")  # fmt: skip
CONDITION = "Any condition, one of your own as well; several values with commas, in turn; 'none' for none; repeatable."


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """A trained run."""

    panel: ClassVar[str] = RUN
    run: RunArgument
    weights: str = flag("last, best (by held-out loss), or a name of the run's weights/.", default="last")
    adapter: list[str] | None = flag("RUN or RUN:SHARE: put on it what a run begun with it has learnt, such as :0.7 of that; repeatable.")
    device: str | None = flag(DEVICE)
    trust: bool = flag(TRUST, default=False)

    @cached_property
    def model(self) -> "lib.model.Model":
        """Its model, with what other runs have learnt on it."""
        how, others = (self.device, self.trust, self.weights), words.adapters(self.adapter)
        return lib.model.composed(self.run, others, *how) if others else lib.model.load(self.run, *how)

    @property
    def recipe(self) -> "lib.config.Recipe":
        """The recipe that it was trained by."""
        return lib.runs.Run(self.run).recipe(self.trust).with_defaults()

    def weaker(self, path: Path) -> "lib.model.Model":
        """The model that guidance leads away from: of a run folder, or of one of its weights/, such as runs/mnist/weights/step_00001000."""
        run, weights = (path.parent.parent, path.stem) if path.parent.name == "weights" else (path, "last")
        if (run.resolve(), weights, self.adapter or []) == (self.run.resolve(), self.weights, []):
            raise Usage(f"--against {path} is what is sampled, and nothing leads away from itself; name another run, or earlier weights, RUN/weights/step_…")
        return lib.model.load(run, self.device, self.trust, weights)


@dataclass(frozen=True, kw_only=True)
class DataOptions(RunOptions):
    """A trained run, and the data that it was trained on."""

    root: str | None = flag("Where the data lies, if not where training found it.")

    @cached_property
    def data(self) -> tuple["lib.data.Dataset", "lib.data.Dataset"]:
        """Training and held-out examples; raises Problem where they would run code of somebody's own that is not trusted."""
        recipe = self.recipe
        recipe.check_trusted(self.trust, self.run, data=True)
        if (node := lib.examples.with_root(recipe.data, self.root)) == recipe.data:
            words.unused("the run's data is there, or read from no files", root=self.root)
        classes = recipe.classes if recipe.base else ()
        train, test = (lib.data.in_classes(lib.examples.examples(node, split), classes) for split in ("train", "test"))
        return train, test


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
    interval: str | None = flag("With guidance: LOW,HIGH, to guide only where sigma/alpha is between.")
    rescale: float | None = flag("With guidance: 0 to 1, how far its exaggerated contrast is taken back.")
    against: Path | None = flag("Autoguidance: lead away from this weaker run, or earlier weights, RUN/weights/step_…; not from no label.")
    batch: int | None = flag("Samples at a time; it does not change them.")

    def sampling(self, run: RunOptions, **more: Any) -> "lib.model.Sampling":
        """How to draw, with more fields of `Sampling` that a command knows."""
        own = {key: getattr(self, key) for key in ("sampler", "steps", "guidance", "seed", "clip", "rescale", "batch")}
        own |= {"options": words.sampler_options(self.option), "weak": self.against and run.weaker(self.against)}
        if self.interval:
            own["low"], own["high"] = words.numbers(self.interval, "--interval is LOW,HIGH in units of sigma/alpha, such as 0.2,5", 2)
        return run.model.sampling.merged(own | more)

    def check_used(self, model: "lib.model.Model", how: "lib.model.Sampling") -> None:
        """Raises Usage for what acts on guidance where there is none, and for a seed where nothing is drawn by chance."""
        if how.guidance == 1:
            why = "it acts on guidance, and that is 1, which is none"
            words.unused(why, "add --guidance 3, say", interval=self.interval, rescale=self.rescale or None)
        elif self.interval:
            noises = [float(level.sigma / level.alpha) for level in model.sampling_schedule(how).levels(how.steps)[:-1]]
            within = any(how.low < noise <= how.high for noise in noises)
            why = f"none of the {len(noises)} steps lies in it; they go from {noises[0]:.3g} down to {noises[-1]:.3g}"
            words.unused(why, "widen it", interval=not within)
        if model.source.key is not None and not lib.samplers.draws_noise(how.sampler, how.options):
            words.unused(f"this model starts from data, and {how.sampler} draws no noise", "choose --sampler ddpm", seed=self.seed)


@dataclass(frozen=True, kw_only=True)
class ConditionOptions:
    """What samples are drawn under."""

    panel: ClassVar[str] = "Conditions"
    label: str | None = flag("A class: number or name; several with commas, in turn; 'none' for no label. Else every class in turn (`edit`: none).", "-l")
    text: list[str] | None = flag("A caption, in quotes; repeatable, in turn; 'none' for none. Else held-out ones (`edit`: none).", "-t")
    negative: str | None = flag("A caption that guidance leads away from.")
    condition: list[str] | None = flag(CONDITION, metavar="NAME=VALUE")
    image: Path | None = flag("What to make samples of, or their hints: a picture, or a folder of them in turn. Else held-out ones.")
    mask: Path | None = flag("White where --image is to be made anew, for a model that fills holes.")
    control: list[str] | None = flag(CONTROL)

    def conditions(self, run: RunOptions, n: int | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """({key: values} of n samples, fields of `Sampling` that go with them, None as they are); where n is None, one value for all."""
        pairs = [("label", self.label)] if self.label is not None else []
        pairs += [("text", text) for text in self.text or []]
        pairs += [words.pair("--condition", pair, "angle=30") for pair in self.condition or []]
        values: dict[str, list[Any]] = {}
        for key, text in pairs:
            value = parse_condition(run.model, key, text)
            values.setdefault(key, []).extend(value if isinstance(value, list) else [value])
        found = {key: words.in_turn(key, own, n) for key, own in values.items()}
        if self.image or self.mask:
            found |= lib.pictures.images_of(run.model, self.image, self.mask, n or 1, run.recipe.data)
        hints, control = parse_controls(run, self.control)
        negative = None if self.negative is None else {"text": parse_condition(run.model, "text", self.negative)}
        return found | hints, {"negative": negative, "control": control}


@dataclass(frozen=True, kw_only=True)
class StartOptions:
    """What samples start from in place of noise."""

    panel: ClassVar[str] = "Start"
    init: Path | None = flag("Start from this picture rather than from noise.")
    strength: float | None = flag("How far --init is taken back to noise, 0 to 1; 0.6 unless said.")
    source: Path | None = flag("For a model from data to data: the picture to start from, or a folder of them in turn. Else held-out ones.")

    def sampling(self, run: RunOptions, n: int) -> dict[str, Any]:
        """Fields of `Sampling`; what the model's source is made of is handed to the model."""
        if not self.init:
            words.unused("it says how far --init is taken back to noise", "give --init", strength=self.strength)
        if not (self.init or self.source):
            return {}
        model, shape = run.model, run.model.shape
        if len(shape) != 3:
            raise Usage(f"this model makes examples of shape {shape}, no pictures, so it cannot start from one; leave --init and --source out")
        if self.source and model.source.key is None:
            raise Usage("this model starts from noise; leave --source out (--init starts from a picture)")
        if self.source:
            model.set_examples(model.examples() | {"source": lib.pictures.pictures(model, self.source, shape[0], run.recipe.data, n)})
        if not self.init:
            return {}
        init = lib.pictures.picture(self.init, shape[0], shape, run.recipe.data)[None]
        return {"init": init, "strength": 0.6 if self.strength is None else self.strength}


@dataclass(frozen=True, kw_only=True)
class DrawOptions:
    """Samples of a run: how they are drawn, under what, and from where."""

    run: RunOptions
    sampling: SamplingOptions
    conditions: ConditionOptions
    start: StartOptions

    def chosen(self, n: int | None, varied: bool = False, **more: Any) -> tuple["lib.model.Sampling", dict[str, Any]]:
        """(how to draw, the conditions of n samples), with more fields of `Sampling` that a command knows; where n is None, one value for all.

        varied: whether the command goes on to draw with other guidance.
        """
        conditions, own = self.conditions.conditions(self.run, n)
        how = self.sampling.sampling(self.run, **own, **self.start.sampling(self.run, n or 16), **more)
        given = {**dict.fromkeys(self.run.model.conditions, True), **conditions}
        if given and not any(value is not None for value in given.values()) and how.weak is None and not how.negative:
            if self.sampling.guidance not in (None, 1):
                raise Usage("guidance leads to a condition, and 'none' is given; give one, such as --label 3, or leave --guidance out")
        if not varied:
            self.sampling.check_used(self.run.model, how)
        return how, conditions

    def picture(self, figure: Callable[..., Any], out: Path, n: int | None, varied: bool = False, **more: Any) -> None:
        """Writes the picture that `figure` makes of n samples; varied: see `chosen`."""
        lib.figures.check(out)
        how, given = self.chosen(n, varied)
        print(lib.figures.write(figure(self.run.model, n=n, sampling=how, **more, **given), out))


def parse_condition(model: "lib.model.Model", key: str, text: str) -> Any:
    """A word as a value, or several, of a condition; 'none' is none."""
    if key not in model.conditions and key in ("label", "text"):
        what, options = {"label": ("labels", "--label"), "text": ("captions", "--text and --negative")}[key]
        raise Usage(f"this model was trained without {what}; leave {options} out")
    model.check_conditions({key: None})
    return None if text == "none" else model.conditions[key].parse(text)


def parse_controls(run: RunOptions, given: Sequence[str] | None) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """--control as ({key: hint}, {key: [weight, low, high]}), or ({}, None) without; a branch of another run is added to the model."""
    if not given:
        return {}, None
    model, hints, weights = run.model, {}, {}
    digest = lib.model.base_digest(model, run.run)
    for word in given:
        what, file, weight = words.control(word)
        key = lib.model.control_key(model, run.run, what, digest, run.device, run.trust)
        if key in weights:
            raise Usage(f"--control {key} is given twice; once is enough")
        weights[key] = weight or model.sampling.control.get(key, [1.0])
        if file:
            hints[key] = lib.pictures.read_hint(Path(file), model.conditions[key])[None]
    if hints:  # other conditions then vary as they do by themselves, not as the examples whose hints these would be
        examples = model.examples()
        model.set_examples({key: examples[key] for key in examples if key not in model.conditions or model.conditions[key].from_data})
    return hints, {**model.sampling.control, **weights}
