"""`fromnoise show …`: pictures that explain."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import Usage
from .commands import (
    Against,
    Device,
    Guidance,
    LabelOption,
    Options,
    Out,
    RunArgument,
    Sampler,
    Seed,
    Steps,
    TextOption,
    Trust,
    _options,
    show_app,
)

Number = Annotated[int | None, typer.Option("--number", "-n", help="How many samples; what fits the picture unless said.")]


def _model(run: Path, device: str | None, trust: bool) -> Any:
    from ..model import load

    return load(run, device, trust)


def _asked(model: Any, n: int | None, label: str | None = None, text: list[str] | None = None, **walk: Any) -> dict[str, Any]:
    from .words import labels_of, texts_of

    return (
        {key: value for key, value in walk.items() if value is not None} | labels_of(model, label, n or 0) | texts_of(model, text, n or 0)
    )


def _write(picture: Any, out: Path) -> None:
    from ..figures import write

    print(write(picture, out))


def _data(recipe: str, trust: bool = False) -> Any:
    """The training data of a run folder or a recipe."""
    from .. import config
    from ..data.examples import examples
    from .words import run_data

    if (Path(recipe) / "config.yaml").is_file():
        return run_data(Path(recipe), None, trust)[0]
    return examples(config.load(recipe).get("data"), "train")


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show forward digits[/]  ·  [cyan]fromnoise show forward runs/mnist --noise table -o noising.png[/]"
)
def forward(
    recipe: Annotated[str, typer.Argument(help="A recipe or a run folder: whose data, and noise unless --noise is given.")],
    noise: Annotated[str | None, typer.Option("--noise", help="A schedule, such as cosine, flow, linear, table.")] = None,
    times: Annotated[int, typer.Option("--times", help="How many levels.")] = 8,
    n: Annotated[int, typer.Option("--number", "-n", help="How many samples.")] = 5,
    seed: Seed = 0,
    out: Out = Path("forward.png"),
    trust: Trust = False,
) -> None:
    """The forward process: samples by time, with their mean."""
    from .. import config
    from ..figures import forward as picture
    from ..model import schedule
    from ..runs.folder import Run

    theirs = (Path(recipe) / "config.yaml").is_file()  # a run may be anybody's: what it names is not imported unasked
    if noise is None:
        noise = (Run(recipe).config() if theirs else config.load(recipe)).get("noise", "cosine")
        curve = schedule(noise, plugins=trust or not theirs)
    else:
        curve = schedule(noise, plugins=True)
    _write(picture(_data(recipe, trust), curve, times, n, seed), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show reverse runs/mnist[/]  ·  [cyan]fromnoise show reverse runs/mnist --label 3 --sampler ddim --steps 50 -o three.gif[/]"
)
def reverse(
    run: RunArgument,
    n: Number = None,
    snapshots: Annotated[int, typer.Option("--snapshots", help="How many moments of the walk.")] = 9,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    label: LabelOption = None,
    text: TextOption = None,
    seed: Seed = 0,
    option: Options = None,
    out: Out = Path("reverse.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """The reverse process, from noise to data: a strip (.png) of x and its clean estimate, or a film (.gif)."""
    from ..figures import reverse as strip
    from ..figures import reverse_gif

    model = _model(run, device, trust)
    asked = _asked(model, n, label, text, sampler=sampler, steps=steps, guidance=guidance, options=_options(option))
    if out.suffix == ".gif":
        print(reverse_gif(model, out, n, seed=seed, **asked))
    else:
        _write(strip(model, n, snapshots, seed, **asked), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show schedules[/]  ·  [cyan]fromnoise show schedules cosine flow karras --data digits[/]"
)
def schedules(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Schedules, or tables by their betas (linear, cosine, quadratic, sigmoid); the common ones unless said."),
    ] = None,
    data: Annotated[str | None, typer.Option("--data", help="A recipe or run folder whose pictures are noised.")] = None,
    seed: Seed = 0,
    out: Out = Path("schedules.png"),
) -> None:
    """Schedules side by side: beta, alpha-bar, log-SNR, and pictures noised by each."""
    from ..diffusion import BETAS, Table
    from ..figures import schedules as picture
    from ..model import schedule

    names = names or ["linear", "cosine", "quadratic", "sigmoid", "flow"]
    compared = {name: Table(betas=name) if name in BETAS else schedule(name, plugins=True) for name in names}
    _write(picture(compared, _data(data) if data else None, seed=seed), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show compare runs/mnist[/]  ·  [cyan]fromnoise show compare runs/mnist ddpm:1000 ddim:50 dpmpp_2m:20 --label 3[/]"
)
def compare(
    run: RunArgument,
    specs: Annotated[list[str] | None, typer.Argument(metavar="[SAMPLER:STEPS]...", help="What to compare.")] = None,
    n: Number = None,
    guidance: Guidance = None,
    label: LabelOption = None,
    text: TextOption = None,
    seed: Seed = 0,
    out: Out = Path("compare.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Samplers side by side from the same noise, with evaluations and seconds."""
    from ..figures import compare as picture

    model = _model(run, device, trust)
    wanted = {"specs": [_spec(text) for text in specs]} if specs else {}
    _write(picture(model, n=n, seed=seed, **wanted, **_asked(model, n, label, text, guidance=guidance)), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show sweep runs/mnist guidance 0,1,2,4,7.5[/]  ·  [cyan]fromnoise show sweep runs/mnist eta 0,0.5,1[/]"
)
def sweep(
    run: RunArgument,
    option: Annotated[str, typer.Argument(help="guidance, or an option of the sampler such as eta.")],
    values: Annotated[str, typer.Argument(help="Values with commas.")],
    sampler: Annotated[str, typer.Option("--sampler", help="The sampler.")] = "ddim",
    steps: Steps = None,
    n: Number = None,
    guidance: Guidance = None,
    label: LabelOption = None,
    text: TextOption = None,
    seed: Seed = 0,
    out: Out = Path("sweep.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """One setting of sampling varied, the noise kept: a row a value."""
    from ..figures import sweep as picture

    try:
        numbers = [float(value) for value in values.split(",")]
    except ValueError:
        raise Usage(f"the values of a sweep are numbers with commas, such as 0,0.5,1, not {values!r}") from None
    model = _model(run, device, trust)
    _write(picture(model, option, numbers, sampler, steps, n, seed, **_asked(model, n, label, text, guidance=guidance)), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show guidance runs/mnist[/]  ·  [cyan]fromnoise show guidance runs/mnist --scales 1,2,4 --steps 5,20 --label 3[/]"
)
def guidance(
    run: RunArgument,
    scales: Annotated[str, typer.Option("--scales", help="Scales of guidance with commas: the rows.")] = "1,2,4,8",
    steps: Annotated[str, typer.Option("--steps", help="Numbers of steps with commas: the columns.")] = "5,10,20,50",
    n: Number = None,
    sampler: Sampler = None,
    label: LabelOption = None,
    text: TextOption = None,
    seed: Seed = 0,
    against: Against = None,
    out: Out = Path("guidance.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """The same seeds at several scales of guidance and numbers of steps."""
    from ..evaluation.sweep import counts
    from ..evaluation.sweep import scales as read
    from ..figures import guidance as picture
    from ..figures.picture import check
    from .words import weaker

    rows, columns = read(scales, "--scales"), counts(steps)
    check(out)
    model = _model(run, device, trust)
    asked = _asked(model, n, label, text, sampler=sampler, weak=weaker(against, device, trust))
    _write(picture(model, rows, columns, n, seed=seed, **asked), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show interpolate runs/mnist[/]  ·  [cyan]fromnoise show interpolate runs/mnist --seeds 0,1,2,3 --square[/]"
    "  ·  [cyan]fromnoise show interpolate runs/mnist --seeds 0,1,2,0 -o walk.gif[/]"
)
def interpolate(
    run: RunArgument,
    seeds: Annotated[str, typer.Option("--seeds", help="Seeds with commas, which the way leads through.")] = "0,1",
    n: Annotated[
        int | None, typer.Option("--number", "-n", help="How many from end to end, or along a side; 9, or 16 frames a piece.")
    ] = None,
    rows: Annotated[
        int | None, typer.Option("--rows", help="How many samples of the seeds take the way; 4, 16 in a film, 1 in a square.")
    ] = None,
    square: Annotated[bool, typer.Option("--square", help="Four seeds as the corners of a square.")] = False,
    way: Annotated[str, typer.Option("--way", help="slerp, along the great circle; or lerp, straight.")] = "slerp",
    sampler: Annotated[str, typer.Option("--sampler", help="The sampler; one that draws no noise of its own.")] = "ddim",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the sampler.")] = 50,
    guidance: Guidance = None,
    label: LabelOption = None,
    text: TextOption = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="FILE.png: rows, or a square; FILE.gif: a film.")] = Path("interpolate.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """What lies between seeds: rows from one to the next, a square of four, or a walk as a film."""
    from ..figures.process import number
    from .words import blend_of, noises_of, write_between

    blend = blend_of(way, out, square)
    model = _model(run, device, trust)
    rows = 1 if square else number(model.shape, rows, 16 if out.suffix == ".gif" else 4)
    noises, ends = noises_of(model, seeds, rows)
    asked = _asked(model, rows, label, text, sampler=sampler, steps=steps, guidance=guidance)
    write_between(model, noises, out, n, square, ends, blend=blend, **asked)


@show_app.command(epilog="Example:  [cyan]fromnoise show classes runs/mnist --rows 16[/]")
def classes(
    run: RunArgument,
    rows: Annotated[int, typer.Option("--rows", help="Samples of each class.")] = 8,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = 0,
    out: Out = Path("classes.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Samples with a class in every column."""
    from ..figures import by_class

    model = _model(run, device, trust)
    _write(by_class(model, rows, None, seed, **_asked(model, None, sampler=sampler, steps=steps, guidance=guidance)), out)


@show_app.command(epilog="Example:  [cyan]fromnoise show condition runs/openmoji_colour -n 4 --rows 6 -o strip.png[/]")
def condition(
    run: RunArgument,
    n: Annotated[int, typer.Option("--number", "-n", help="Samples of each row, from different noise.")] = 4,
    rows: Annotated[int, typer.Option("--rows", help="Held-out examples.")] = 6,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = 0,
    root: Annotated[str | None, typer.Option("--root", help="Where the data lies, if not where training found it.")] = None,
    out: Out = Path("condition.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """What a model makes of held-out examples: the picture that is asked, samples made of it, and the truth."""
    from ..figures import condition as picture
    from .words import run_data

    model = _model(run, device, trust)
    walk = {"sampler": sampler, "steps": steps, "guidance": guidance}
    _write(picture(model, run_data(run, root, trust)[1], n, rows, seed, **walk), out)


@show_app.command(epilog="Example:  [cyan]fromnoise show estimate runs/mnist[/]")
def estimate(run: RunArgument, index: Annotated[int, typer.Option("--index", help="Which training example.")] = 0, seed: Seed = 0, out: Out = Path("estimate.png"),
             device: Device = None, trust: Trust = False) -> None:  # fmt: skip
    """What the model makes of one example at several levels: x0, eps, x_t, the estimate, and the l1 errors."""
    from ..figures import estimate as picture

    model = _model(run, device, trust)
    _write(picture(model, _data(str(run), trust), index=index, seed=seed), out)


@show_app.command(
    epilog="Examples:  [cyan]fromnoise show control runs/control_edges[/]  ·  [cyan]fromnoise show control runs/control_edges -n 6 --rows 4[/]"
)
def control(
    run: RunArgument,
    n: Annotated[int, typer.Option("--number", "-n", help="Samples of each hint.")] = 4,
    rows: Annotated[int, typer.Option("--rows", help="How many hints.")] = 6,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = 0,
    out: Out = Path("control.png"),
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Hints of held-out examples, samples drawn to them, and the examples themselves."""
    from ..figures import control as picture
    from .words import run_data

    model = _model(run, device, trust)
    asked = _asked(model, None, sampler=sampler, steps=steps, guidance=guidance)
    _write(picture(model, run_data(run, None, trust)[1], rows, n, seed, **asked), out)


@show_app.command(epilog="Example:  [cyan]fromnoise show curves runs/mnist runs/mnist_ddpm[/]")
def curves(runs: Annotated[list[Path], typer.Argument(help="Run folders.")], out: Out = Path("curves.png")) -> None:
    """Loss, held-out loss, learning rate and speed of one or several runs."""
    from ..figures import curves as picture
    from ..runs.folder import Run

    for run in runs:
        Run(run).config()
    _write(picture(*runs), out)


@show_app.command(epilog="Example:  [cyan]fromnoise show progress runs/mnist -o progress.gif[/]")
def progress(run: RunArgument, out: Out = Path("progress.gif")) -> None:
    """The grids of a run, drawn from the same noise as it learned, as a film."""
    from ..figures import progress as film
    from ..runs.folder import Run

    Run(run).config()
    print(film(run, out))


@show_app.command(epilog="Example:  [cyan]fromnoise show report runs/mnist[/]")
def report(run: RunArgument) -> None:
    """Write the run's report.html anew, also of a run that goes on or was cut."""
    from ..figures import report as page
    from ..runs.folder import Run

    Run(run).config()
    print(page(run))


def _spec(text: str) -> tuple[str, int]:
    name, _, steps = text.partition(":")
    if not steps.isdigit():
        raise Usage(f"what to compare is SAMPLER:STEPS, such as ddim:50, not {text!r}")
    return name, int(steps)
