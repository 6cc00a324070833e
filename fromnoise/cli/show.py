"""`fromnoise show …`: pictures that explain."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from ..errors import Usage
from ..registry import lookup
from . import lib, words
from .command import command, flag, names, show_app
from .options import (
    PANELS,  # fmt: skip
    SEEDS,
    SHOWN,
    Argument,
    ConditionOptions,
    DataOptions,
    DrawOptions,
    Option,
    Out,
    RunArgument,
    SamplingOptions,
    Seed,
    Shown,
    Trust,
)

RecipeOrRun = Annotated[str, Argument(help="A recipe or a run folder: whose data, and noise unless --noise is given.")]
SCHEDULE = f"{names('diffusion.SCHEDULES')}; with settings of its own as in table:betas=sigmoid,steps=500 (betas: {names('diffusion.table.BETAS')})"
Noise = Annotated[str | None, Option("--noise", help=f"Another schedule: {SCHEDULE}.")]
Levels = Annotated[int, Option("--times", help="How many levels.", **PANELS)]
Samples = Annotated[int, Option("--number", "-n", help="How many samples.", **SHOWN)]
Snapshots = Annotated[int | None, Option("--snapshots", help="In a strip: how many moments of the walk; 9 unless said.", **PANELS)]
Compared = Annotated[list[str] | None, Argument(metavar="[NAME[:KEY=VALUE,…]]...", help=f"{SCHEDULE}; tables of all betas, and flow, unless said.")]
Noised = Annotated[str | None, Option("--data", help="A recipe or run folder whose pictures are noised.")]
NoiseSeed = Annotated[int | None, Option("--seed", help="Of the noise on the pictures of --data; 0 unless said.", **SEEDS)]
Specs = Annotated[list[str] | None, Argument(metavar="[SAMPLER:STEPS]...", help="What to compare.")]
Setting = Annotated[str, Argument(metavar="OPTION", help="guidance, steps, rescale, or an option of the sampler such as eta.")]
Values = Annotated[str, Argument(help="Values with commas.")]
Scales = Annotated[str, Option("--scales", help="Scales of guidance with commas: the rows.")]
Counts = Annotated[str, Option("--steps", help="Numbers of steps with commas: the columns.")]
Seeds = Annotated[str, Option("--seeds", help="Seeds with commas, which the way leads through.")]
WayRows = Annotated[int | None, Option("--rows", help="Not in a square: how many samples of the seeds take the way; 4, 16 in a film.", **PANELS)]
EachRow = Annotated[int | None, Option("--number", "-n", help="Samples of each row, from different noise; 4, 1 where all would be alike.", **PANELS)]
HeldOut = Annotated[int | None, Option("--rows", help="Held-out examples; 6 unless said.", **PANELS)]
Index = Annotated[int, Option("--index", help="Which training example, of pictures.", min=0)]


@dataclass(frozen=True, kw_only=True)
class WayOptions:
    """What lies between noises, as rows, a square or a film."""

    n: int | None = flag("How many from end to end, or along a side; 9, or 16 frames a piece.", "--number", "-n", min=2, max=1000)
    square: bool = flag("Four ends as the corners of a square.", default=False)
    way: str = flag(f"{names('editing.interpolate.BLENDS')}: along the great circle, or straight.", default="slerp")
    out: Path = flag("FILE.png: rows, or a square; FILE.gif: a film.", "--out", "-o", default=Path("interpolate.png"))

    def __post_init__(self) -> None:
        lookup(lib.editing.BLENDS, self.way, "way")
        if self.out.suffix != ".gif":
            lib.figures.check(self.out)
        elif self.square:
            raise Usage("a square is a picture, not a film; end --out in .png")

    def write(self, model: "lib.model.Model", noises: "lib.torch.Tensor", ends: list[str], **how: Any) -> None:
        """Writes what the model draws between noises (k, rows, C, *S), `ends` naming those; `how` are the sampling and conditions."""
        how["blend"] = lookup(lib.editing.BLENDS, self.way, "way")
        if self.out.suffix == ".gif":
            print(lib.figures.latent_walk(model, noises, self.out, 16 * (len(noises) - 1) if self.n is None else self.n, **how))
        else:
            picture = lib.figures.interpolate(model, noises, 9 if self.n is None else self.n, self.square, ends, **how)
            print(lib.figures.write(picture, self.out))


def recipe_of(recipe: str, trust: bool = False) -> "lib.config.Recipe":
    """A recipe by name or file, or that of a run folder, which may be anybody's: its own parts want trust."""
    if not (Path(recipe) / "config.yaml").is_file():
        return lib.config.load(recipe).with_defaults()
    found = lib.runs.Run(recipe).recipe(trust)
    found.check_trusted(trust, recipe, data=True)
    return found.with_defaults()


def run_of(run: Path) -> Path:
    """A run folder; raises Usage or Problem where it is none."""
    lib.runs.Run(run).recipe(trust=True)
    return run


@command(show_app, "show forward digits", "show forward runs/mnist --noise table:betas=cosine,steps=500 -o noising.png")
def forward(recipe: RecipeOrRun, noise: Noise = None, times: Levels = 8, n: Samples = 5, seed: Seed = 0, out: Out = Path("forward.png"),
            trust: Trust = False) -> None:  # fmt: skip
    """The forward process: samples by time, with their mean."""
    own = recipe_of(recipe, trust)
    data, schedule = lib.examples.examples(own.data, "train"), lib.model.schedule(words.schedule(noise) if noise else own.noise)
    print(lib.figures.write(lib.figures.forward(data, schedule, times, n, seed), out))


@command(show_app, "show reverse runs/mnist", "show reverse runs/mnist --label 3 --sampler ddim --steps 50 -o three.gif")
def reverse(draw: DrawOptions, n: Shown = None, snapshots: Snapshots = None, out: Out = Path("reverse.png")) -> None:
    """The reverse process, from noise to data: a strip (.png) of x and its clean estimate, or a film (.gif)."""
    if out.suffix == ".gif":
        words.unused("it is of a strip, and --out is a film", snapshots=snapshots)
        how, given = draw.chosen(n)
        print(lib.figures.reverse_gif(draw.run.model, out, n, sampling=how, **given))
    else:
        draw.picture(lib.figures.reverse, out, n, snapshots=9 if snapshots is None else snapshots)


@command(show_app, "show schedules", "show schedules cosine flow table:end=0.01 --data digits")
def schedules(compared: Compared = None, data: Noised = None, seed: NoiseSeed = None, out: Out = Path("schedules.png"), trust: Trust = False) -> None:
    """Schedules side by side: beta, alpha-bar, log-SNR, and pictures noised by each."""
    if not data:
        words.unused("it is of the pictures that are noised", "name their recipe or run by --data", trust=trust, seed=seed)
    usual = [*(f"table:betas={name}" for name in lib.diffusion.BETAS), "flow"]
    found = {name: lib.model.schedule(words.schedule(name)) for name in compared or usual}
    noised = lib.examples.examples(recipe_of(data, trust).data, "train") if data else None
    print(lib.figures.write(lib.figures.schedules(found, noised, seed=seed or 0), out))


@command(show_app, "show compare runs/mnist", "show compare runs/mnist ddpm:1000 ddim:50 --label 3", without=("sampler", "steps", "option"))
def compare(draw: DrawOptions, specs: Specs = None, n: Shown = None, out: Out = Path("compare.png")) -> None:
    """Samplers side by side from the same noise, with evaluations and seconds."""
    wanted = {"specs": lib.evaluation.parse_samplers(",".join(specs), "show compare RUN")} if specs else {}
    draw.picture(lib.figures.compare, out, n, **wanted)


@command(show_app, "show sweep runs/mnist guidance 0,1,2,4,7.5", "show sweep runs/mnist eta 0,0.5,1", sampler="ddim")
def sweep(draw: DrawOptions, setting: Setting, values: Values, n: Shown = None, out: Out = Path("sweep.png")) -> None:
    """One setting of sampling varied, the noise kept: a row a value."""
    wanted = words.numbers(values, "the values of a sweep are numbers with commas, such as 0,0.5,1")
    own = words.sampler_options(draw.sampling.option) or {}
    given = {setting: getattr(draw.sampling, setting) if setting in lib.figures.SWEPT else None, f"option {setting}": own.get(setting)}
    words.unused(f"the sweep sets {setting}", **given)
    draw.picture(lib.figures.sweep, out, n, setting == "guidance", option=setting, values=wanted)


@command(show_app, "show guidance runs/mnist", "show guidance runs/mnist --scales 1,2,4 --steps 5,20 --label 3", without=("guidance",))
def guidance(draw: DrawOptions, scales: Scales = "1,2,4,8", steps: Counts = "5,10,20,50", n: Shown = None,
             out: Out = Path("guidance.png")) -> None:  # fmt: skip
    """The same seeds at several scales of guidance and numbers of steps."""
    rows, columns = lib.evaluation.parse_scales(scales, "--scales"), lib.evaluation.parse_steps(steps)
    draw.picture(lib.figures.guidance, out, n, True, scales=rows, steps=columns)


@command(show_app, "show interpolate runs/mnist", "show interpolate runs/mnist --seeds 0,1,2,3 --square",
         "show interpolate runs/mnist --seeds 0,1,2,0 -o walk.gif", without=("seed", "init", "strength", "source"), sampler="ddim", steps=50)  # fmt: skip
def interpolate(draw: DrawOptions, way: WayOptions, seeds: Seeds = "0,1", rows: WayRows = None) -> None:
    """What lies between seeds: rows from one to the next, a square of four, or a walk as a film. The sampler is one that draws no noise of its own."""
    if way.square:
        words.unused("a square is of one sample of each seed", rows=rows)
    count = 1 if way.square else lib.figures.process.number(draw.run.model.shape, rows, 16 if way.out.suffix == ".gif" else 4)
    noises, ends = lib.pictures.noises_of(draw.run.model, seeds, count)
    how, given = draw.chosen(count)
    if lib.samplers.draws_noise(how.sampler, how.options):
        said, others = "".join(f" with {key}={value:g}" for key, value in how.options.items()), lib.samplers.noiseless()
        others.sort(key=lambda name: name != how.sampler)
        why = f"{how.sampler}{said} draws noise on its way, so nothing lies between two of its samples"
        raise Usage(f"{why}; choose, with the options that it has unless said, {', '.join(others)}")
    way.write(draw.run.model, noises, ends, sampling=how, **given)


@command(show_app, "show classes runs/mnist --rows 16", without=("label",))
def classes(draw: DrawOptions, rows: Annotated[int, Option("--rows", help="Samples a class.", **PANELS)] = 8, out: Out = Path("classes.png")) -> None:
    """Samples with a class in every column."""
    how, given = draw.chosen(rows * len(draw.run.model.classes))
    words.unused("every class is drawn in its column", "draw one with `sample`", **{"condition label": "label" in given})
    print(lib.figures.write(lib.figures.by_class(draw.run.model, rows, None, how, **given), out))


@command(show_app, "show condition runs/openmoji_colour -n 4 --rows 6 -o strip.png", "show condition runs/control_edges")
def condition(run: DataOptions, sampling: SamplingOptions, n: EachRow = None, rows: HeldOut = None, out: Out = Path("condition.png")) -> None:
    """What a model makes of held-out examples: their pictures, hints or captions, samples drawn to these, and the truth."""
    lib.figures.check(out)
    how = sampling.sampling(run)
    sampling.check_used(run.model, how)
    print(lib.figures.write(lib.figures.condition(run.model, run.data[1], n, rows, how), out))


@command(show_app, "show estimate runs/mnist", without=("negative",))
def estimate(run: DataOptions, conditions: ConditionOptions, index: Index = 0, seed: Seed = 0, out: Out = Path("estimate.png")) -> None:
    """What the model makes of one example at several levels: x0, eps, x_t, the estimate, and the l1 errors."""
    lib.figures.check(out)
    if len(run.model.shape) == 1:
        words.unused("a cloud is of many points", index=index or None)
    weights = [weight for word in conditions.control or [] if (weight := words.control(word)[2])]
    words.unused("an estimate is made with whole hints", **{"control WEIGHT": weights})
    given, _ = conditions.conditions(run, None)
    print(lib.figures.write(lib.figures.estimate(run.model, run.data[0], index=index, seed=seed, **given), out))


@command(show_app, "show curves runs/mnist runs/mnist_ddpm")
def curves(runs: Annotated[list[Path], Argument(help="Run folders.")], out: Out = Path("curves.png")) -> None:
    """Loss, held-out loss, learning rate and speed of one or several runs."""
    print(lib.figures.write(lib.figures.curves(*map(run_of, runs)), out))


@command(show_app, "show progress runs/mnist -o progress.gif")
def progress(run: RunArgument, out: Out = Path("progress.gif")) -> None:
    """The grids of a run, drawn from the same noise as it learned, as a film."""
    if out.suffix != ".gif":
        raise Usage(f"{out} is no film; end --out in .gif")
    print(lib.figures.progress(run_of(run), out))


@command(show_app, "show report runs/mnist")
def report(run: RunArgument) -> None:
    """Write the run's report.html anew, also of a run that goes on or was cut."""
    print(lib.figures.report(run_of(run)))
