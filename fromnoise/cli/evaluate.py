"""`fromnoise evaluate`."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import Usage
from ..progress import bar, console
from . import lib
from .command import app, command, flag, names
from .options import DataOptions, SamplingOptions, parse_controls
from .words import unused

OF_SAMPLES = ("compare", "sweep", "sweep_steps", "clip_model", "likelihood", "pairs", "perceptual", "control", "extend", "given")
QUESTIONS = ("pairs", "compare", "sweep", "control", "likelihood", "extend")
CONTROL = "WHAT[:WEIGHT[:LOW:HIGH]], as in sample: how far samples follow the hints of held-out examples, in edges and colour. Repeatable."


@dataclass(frozen=True, kw_only=True)
class MeasureOptions:
    """What is measured."""

    n: int | None = flag("How many samples: evaluate.n, else 10,000; --likelihood 1,000, --control 500, --extend 200.", "--number", "-n", min=2, max=1_000_000)
    quick: bool = flag("A first look: 1,000 samples at most unless -n, and --features cnn_quick; kept apart from full figures.", default=False)
    features: str | None = flag(f"{names('evaluation.features.FEATURES')}, or a file of weights; cnn is trained on the run's data once, and kept.")
    compare: str | None = flag("SAMPLER:STEPS,… : time and quality side by side.")
    sweep: str | None = flag("SCALE,SCALE,… of guidance: accuracy, variety and distance at each, and their curve.")
    sweep_steps: str | None = flag("With --sweep: STEPS,STEPS,… of the sampler, a curve for each.")
    clip_model: str | None = flag("A CLIP model by name or folder: how well samples fit their captions, as well.")
    likelihood: bool = flag("Bits a dimension of held-out examples, in place of samples; --steps, --seed and --batch count alone.", default=False)
    pairs: bool = flag("For a model conditioned on pictures: how near samples come to held-out targets, pixel by pixel.", default=False)
    perceptual: str | None = flag("NETWORK.npz,WEIGHTS.safetensors: with --pairs, a distance like LPIPS (SqueezeNet 1.1) as well.")
    control: list[str] | None = flag(CONTROL)
    extend: int | None = flag("For clips: how held-out ones go on to so many frames, window after window, as edit extend makes them.", min=2, max=100_000)
    given: int | None = flag("With --extend: how many of their first frames are known; 4 unless said.", min=1)

    def __post_init__(self) -> None:
        if sum(bool(getattr(self, name)) for name in QUESTIONS) > 1:
            *names, last = (f"--{name}" for name in QUESTIONS)
            raise Usage(f"{', '.join(names)} and {last} are different questions; ask one at a time")
        if not self.extend:
            unused("it is of clips that go on", "add --extend FRAMES", given=self.given)
        if self.perceptual and not self.pairs:
            raise Usage("--perceptual measures pairs; add --pairs")
        if self.clip_model and (self.pairs or self.control or self.likelihood or self.extend):
            raise Usage("--clip-model measures captions, --pairs and --control pictures, --extend clips, --likelihood no samples; ask one at a time")
        if self.features and (alone := [name for name in ("quick", "pairs", "control", "likelihood") if getattr(self, name)]):
            why = "has a network of its own" if self.quick else "looks through no such network"
            unused(f"--{alone[0]} {why}", features=self.features)
        if self.quick and (self.pairs or self.control or self.likelihood):
            raise Usage("--quick is of what a network sees; --pairs, --control and --likelihood need none, and are quicker with a smaller -n")

    def check_used(self, model: "lib.model.Model", sampling: SamplingOptions, how: "lib.model.Sampling") -> None:
        """Raises Usage for an option that has no part in what is measured."""
        if self.likelihood:
            others = ("sampler", "guidance", "option", "clip", "interval", "rescale", "against")
            unused("a likelihood is the model's own, by Heun's method", **{key: getattr(sampling, key) for key in others})
        elif not self.sweep:
            sampling.check_used(model, how)
        if self.compare:
            unused("--compare names samplers and their steps", sampler=sampling.sampler, steps=sampling.steps, option=sampling.option)
        if self.sweep:
            unused("--sweep names the scales", guidance=sampling.guidance)
            unused("--sweep-steps names them", steps=sampling.steps if self.sweep_steps else None)
        if "text" not in model.conditions:
            unused("it measures captions, and this run has none", clip_model=self.clip_model)
        if lib.evaluation.card_of(model.shape, model.medium):
            unused("these examples are measured as they are, through no network", features=self.features)
            unused("these examples are measured through no network", "give a smaller -n", quick=self.quick)

    def protocol(self, own: Any, seed: int, device: str | None) -> "lib.evaluation.Protocol":
        """The protocol, `own` being the `evaluate` of the run's recipe."""
        compare = lib.evaluation.parse_samplers(self.compare) if self.compare else ()
        scales = lib.evaluation.parse_scales(self.sweep) if self.sweep else ()
        steps = lib.evaluation.parse_steps(self.sweep_steps) if self.sweep_steps else ()
        clip = lib.evaluation.ClipScore(self.clip_model, device) if self.clip_model else None
        own = own.quick if self.quick else own
        n, features = own.n if self.n is None else self.n, self.features or own.features
        return lib.evaluation.Protocol(n, features, seed, compare, scales, steps, clip)


@command(
    app, "evaluate runs/mnist", "evaluate runs/mnist -n 2000 --sampler ddim --steps 50", "evaluate runs/mnist --compare ddim:50,ddim:1000",
    "evaluate runs/mnist --sweep 1,1.5,2,4", "evaluate runs/shapes --control runs/control_edges --control runs/control_colour",
    "evaluate runs/moving_digits --extend 64 --given 4",
    "evaluate runs/mnist --sweep 1,2,4 --interval 0.2,5 --against runs/mnist/weights/step_00001000", without=("adapter",))  # fmt: skip
def evaluate(run: DataOptions, sampling: SamplingOptions, what: MeasureOptions) -> None:
    """Measure a run's samples: Fréchet distance, KID, precision and recall, class accuracy, each beside what real data reaches. Of an autoencoder: its
    reconstructions the same way, and whether its latents can be diffused."""
    if run.recipe.reconstructs:
        return reconstructions(run, sampling, what)
    folder, own = lib.runs.Run(run.run), lib.config.call(lib.evaluation.EvaluateSettings, run.recipe.evaluate, "evaluate")
    distance = lib.evaluation.load_perceptual(what.perceptual) if what.perceptual else None
    hints, control = parse_controls(run, what.control)
    if hints:
        raise Usage("evaluate shows branches the hints of held-out examples; name them without files, as in --control edges:0.8")
    if control:  # branches that it does not name are left out
        control = {key: [0.0] for key in lib.model.controls(run.model)} | control
    how = sampling.sampling(run, control=control)
    what.check_used(run.model, sampling, how)
    protocol, (train, test) = what.protocol(own, how.seed, run.device), run.data
    with bar("evaluating, %", 100) as advance:

        def progress(done: int, total: int) -> None:
            advance(100 * done // total)

        if what.likelihood:
            found: Any = lib.evaluation.likelihood(run.model, test, what.n or 1000, how, seed=how.seed, progress=progress)
        elif what.control:
            found = lib.evaluation.control_adherence(run.model, test, what.n or 500, how, progress)
        elif what.extend:
            found = extension(run, how, what, protocol, progress)
        elif what.pairs:
            found = lib.evaluation.score_pairs(run.model, train, test, protocol.n, how, distance, progress)
        else:
            found = lib.evaluation.evaluate(run.model, train, test, protocol, how, progress)
    if what.likelihood or what.control:
        print("\n".join(found.lines()))
    else:
        console(width=max(100, console().width)).print(found.table())
    measured = lib.evaluation.measured_of(folder, how, protocol.features, run.weights, sampling.against)
    file = run.run / lib.evaluation.write_result(folder, found, measured)
    if isinstance(found, lib.evaluation.Sweep):
        print(lib.figures.tradeoff(found, file.with_suffix(".png")))
    quick = file.name.startswith("quick")
    if isinstance(found, lib.evaluation.Card) and not quick:
        print(f"{lib.figures.report(run.run)} now holds these figures")
    else:
        print(f"{file} holds these figures{'; they are quick ones, and the report shows full ones alone' if quick else ''}")


def extension(run: DataOptions, how: "lib.model.Sampling", what: MeasureOptions, protocol: Any, progress: Any) -> Any:
    """How clips go on from the first frames of held-out examples."""
    model, (train, test), frames, given = run.model, run.data, what.extend or 0, 4 if what.given is None else what.given
    lib.evaluation.check_data(model, test)
    if len(model.shape) != 4:
        raise Usage("--extend is of clips, and this model makes none; leave it out")
    if not given < model.shape[1] <= frames:
        raise Usage(f"--extend is {model.shape[1]} frames or more, the model's own length, and --given fewer than that, not {frames} and {given}")
    n = min(what.n or 200, len(test))
    batch = test.get(lib.evaluation.spread(n, len(test)))
    conditions = lib.evaluation.read_conditions(model, batch)
    clips = lib.editing.extend(model, batch["x"][:, :, :given], frames, n, None, how, lambda done: progress(done, frames), **conditions)
    return lib.evaluation.score_extension(model, train, test, clips.float().cpu(), given, protocol, conditions)


def reconstructions(run: DataOptions, sampling: SamplingOptions, what: MeasureOptions) -> None:
    """What an autoencoder keeps of held-out examples, and what its latents are like."""
    unused("an autoencoder draws no samples", **{key: getattr(sampling, key) for key in vars(sampling)})
    unused("an autoencoder's latents are measured, with -n, --quick and --features", **{key: getattr(what, key) for key in OF_SAMPLES})
    folder, own = lib.runs.Run(run.run), lib.config.call(lib.evaluation.EvaluateSettings, run.recipe.evaluate, "evaluate")
    model, protocol, (train, test) = lib.model.load_autoencoder(run.run, run.device, run.trust, run.weights), what.protocol(own, 0, run.device), run.data
    with bar("evaluating, %", 100) as advance:
        page = lib.evaluation.latent_page(model, test, protocol.n, lambda done, total: advance(100 * done // total))
    out, how = console(width=max(100, console().width)), {"step": lib.evaluation.last_step(folder), "weights": run.weights, "network": protocol.features}
    out.print(page.table())
    print(lib.figures.write(lib.figures.latents(model, test, page), run.run / "latents.png"))
    lib.evaluation.write_result(folder, page, how)
    if len(model.shape) == 3:
        card = lib.evaluation.score_reconstructions(model, train, test, protocol)
        out.print(card.table())
        print(f"{run.run / lib.evaluation.write_result(folder, card, how)} holds these figures")


def measure_once(path: Path, device: str | None) -> None:
    """`fromnoise train --evaluate`: the evaluation that the run's own settings ask for, unless it has been made of these weights."""
    run, recipe = lib.runs.Run(path), lib.runs.Run(path).recipe(trust=True)
    own = lib.config.call(lib.evaluation.EvaluateSettings, recipe.evaluate, "evaluate")
    if lib.evaluation.is_evaluated(run, own, lib.model.Sampling.of(recipe.sample or {})):
        print(f"{path / lib.evaluation.result_file(lib.evaluation.Card, own.features)} holds the evaluation of step {lib.evaluation.last_step(run):,} already")
    elif os.environ.get("RANK", "0") == "0":  # one process of a distributed run measures
        evaluate(DataOptions(run=path, device=device, trust=True), SamplingOptions(), MeasureOptions())
