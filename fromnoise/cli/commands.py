"""The command line. Nothing heavy is imported before a command needs it, so that help is instant."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import Usage

app = typer.Typer(
    no_args_is_help=True, add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False,
    help="Train, sample, evaluate and understand diffusion models.\n\n"
    "First steps:  [bold]fromnoise train digits[/]   then   [bold]fromnoise sample runs/digits --out digits.png[/]",
    context_settings={"help_option_names": ["-h", "--help"]},
)  # fmt: skip
data_app = typer.Typer(no_args_is_help=True, help="Look at data before training on it.")
show_app = typer.Typer(
    no_args_is_help=True, help="Pictures that explain: the forward and reverse process, schedules, samplers side by side."
)
edit_app = typer.Typer(
    no_args_is_help=True, help="Pictures changed by a trained model: inpainted, inverted, interpolated, varied, steered."
)
app.add_typer(data_app, name="data")
app.add_typer(show_app, name="show")
app.add_typer(edit_app, name="edit")

RunArgument = Annotated[Path, typer.Argument(help="A run folder, such as runs/mnist.")]
Out = Annotated[Path, typer.Option("--out", "-o", help="Where the picture is written.")]
Sampler = Annotated[
    str | None,
    typer.Option(
        "--sampler", help="ddpm, ddim, euler, euler_ancestral, heun, edm, dpmpp_2m, dpmpp_3m, dpmpp_2m_sde, unipc, iadb, repaint."
    ),
]
Steps = Annotated[int | None, typer.Option("--steps", help="Steps of the sampler.")]
Guidance = Annotated[float | None, typer.Option("--guidance", "-g", help="Classifier-free guidance; 1 is none.")]
Seed = Annotated[int, typer.Option("--seed", help="The same seed gives the same samples, however they are batched.")]
LabelOption = Annotated[
    str | None,
    typer.Option("--label", "-l", help="A class: number or name; several with commas; 'none' for unconditional. Else every class in turn."),
]
TextOption = Annotated[
    list[str] | None, typer.Option("--text", "-t", help="A caption, in quotes; several in turn. 'none' for none. Else held-out ones.")
]
Negative = Annotated[str | None, typer.Option("--negative", help="A caption that guidance leads away from.")]
ImageOption = Annotated[
    Path | None,
    typer.Option(
        "--image",
        help="What to make the samples of: a picture, or a folder of them in turn; an ordinary one where the model was trained on hints "
        "(grey, low_resolution, masked), which are made from it. Held-out ones that the run remembers unless given.",
    ),
]
MaskOption = Annotated[Path | None, typer.Option("--mask", help="White where --image is to be made anew, for a model that fills holes.")]
Options = Annotated[list[str] | None, typer.Option("--option", help="A sampler's own option, such as eta=0.5; repeatable.")]
Device = Annotated[str | None, typer.Option("--device", help="cpu, cuda, mps; the best there is unless said.")]
Clip = Annotated[str | None, typer.Option("--clip", help="How x0 is held in range: none, static, dynamic.")]
Interval = Annotated[str | None, typer.Option("--interval", help="LOW,HIGH: guide only where sigma/alpha is between.")]
Rescale = Annotated[float | None, typer.Option("--rescale", help="0 to 1: how far guidance's exaggerated contrast is taken back.")]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against", help="Autoguidance: lead away from this weaker run, or from earlier weights, RUN/weights/step_…; not from no label."
    ),
]
Weights = Annotated[str, typer.Option("--weights", help="last, best (by held-out loss), or a name of the run's weights/.")]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter", help="RUN or RUN:SHARE: put what a run begun with this one has learnt on it, such as :0.7 of it; repeatable."
    ),
]
Trust = Annotated[bool, typer.Option("--trust", help="Allow parts of your own (module:Class) that the run names, which runs their code.")]
BaseTrust = Annotated[
    bool, typer.Option("--trust", help="Allow parts of its own (module:Class) to the run that `base` names, which runs their code.")
]


@app.command(
    epilog="Examples:  [cyan]fromnoise train digits[/]  ·  [cyan]fromnoise train mnist network.width=64 train.minutes=5[/]  ·  "
    "[cyan]fromnoise train my.yaml --out runs/mine[/]"
)
def train(
    recipe: Annotated[str, typer.Argument(help="A recipe that comes with fromnoise (`fromnoise list`), or a .yaml file.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings put over the recipe's, such as train.batch=64.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The run folder; runs/RECIPE unless said.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew; an earlier run there is renamed, not lost.")] = False,
    device: Device = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing while it goes well.")] = False,
    then: Annotated[
        bool, typer.Option("--evaluate", help="Then draw and measure the samples that the recipe's `evaluate` asks for.")
    ] = False,
    trust: BaseTrust = False,
) -> None:
    """Train a recipe, or go on with it: the same command resumes where it stopped."""
    from .. import config

    settings = config.load(recipe, overrides or [])
    out = out or Path("runs") / Path(recipe).stem
    from ..training.loop import train as run

    run(settings, out, fresh, quiet, device, trust, own_process=True)
    if then:
        from .words import measure_once

        measure_once(out, device)


@app.command(
    epilog="Examples:  [cyan]fromnoise estimate mnist[/]  ·  [cyan]fromnoise estimate my.yaml network=dit_b4 train.recompute=true[/]"
)
def estimate(
    recipe: Annotated[str, typer.Argument(help="A recipe that comes with fromnoise (`fromnoise list`), or a .yaml file.")],
    overrides: Annotated[list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Settings put over the recipe's.")] = None,
    seconds: Annotated[float, typer.Option("--seconds", help="How long to measure.")] = 10.0,
    device: Device = None,
    trust: BaseTrust = False,
) -> None:
    """What training a recipe will take here: parameters, operations, memory, examples a second, time to finish. Nothing is kept."""
    from .. import config
    from .words import print_estimate

    print_estimate(config.load(recipe, overrides or []), seconds, device, trust)


@app.command(
    epilog="Examples:  [cyan]fromnoise sample runs/mnist -n 64 --out digits.png[/]  ·  [cyan]fromnoise sample runs/mnist -n 10000 --out samples.npz[/]"
    "  ·  [cyan]fromnoise sample runs/mnist -n 8 --label 3 --sampler ddim --steps 50 --option eta=1 --gif --out three.gif[/]"
    "  ·  [cyan]fromnoise sample runs/shapes --control runs/control_edges=edges.png --control runs/control_colour=colours.png:0.8:0.5:80[/]"
    "  ·  [cyan]fromnoise sample runs/mnist --adapter runs/fashion_lora:0.7[/]"
)
def sample(
    run: RunArgument,
    n: Annotated[int, typer.Option("--number", "-n", help="How many.")] = 64,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    label: LabelOption = None,
    text: TextOption = None,
    negative: Negative = None,
    seed: Seed = 0,
    option: Options = None,
    clip: Clip = None,
    interval: Interval = None,
    rescale: Rescale = None,
    against: Against = None,
    init: Annotated[Path | None, typer.Option("--init", help="Start from this picture rather than from noise.")] = None,
    strength: Annotated[float, typer.Option("--strength", help="How far --init is taken back to noise, 0 to 1.")] = 0.6,
    image: ImageOption = None,
    mask: MaskOption = None,
    batch: Annotated[int | None, typer.Option("--batch", help="Samples at a time; it does not change them.")] = None,
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            "-o",
            help="FILE.png: a grid; FILE.npz: arr_0 uint8 NHWC, arr_1 labels; FILE.gif: the reverse process; FOLDER/: one file each.",
        ),
    ] = Path("samples.png"),
    gif: Annotated[bool, typer.Option("--gif", help="Also write the reverse process as a GIF beside --out.")] = False,
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            help="WHAT=HINT.png[:WEIGHT[:LOW:HIGH]]: WHAT is the run's own control, or a control run of the same base; heeded where"
            " sigma/alpha is between. Without =HINT.png, hints of held-out examples. Repeatable.",
        ),
    ] = None,
    weights: Weights = "last",
    adapter: Adapters = None,
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Draw samples from a run: a grid, an archive for evaluation suites, or single files."""
    from .words import write_samples

    write_samples(
        run,
        n,
        _walk(option, interval, sampler=sampler, steps=steps, guidance=guidance, clip=clip, rescale=rescale),
        label,
        text,
        negative,
        seed,
        init,
        strength,
        batch,
        out,
        gif,
        device,
        trust,
        weights,
        control or (),
        adapter,
        image,
        mask,
        against,
    )


@app.command(
    epilog="Examples:  [cyan]fromnoise evaluate runs/mnist[/]  ·  [cyan]fromnoise evaluate runs/mnist -n 2000 --sampler ddim --steps 50[/]"
    "  ·  [cyan]fromnoise evaluate runs/mnist --compare ddim:50,ddim:1000[/]  ·  [cyan]fromnoise evaluate runs/mnist --sweep 1,1.5,2,4[/]"
    "  ·  [cyan]fromnoise evaluate runs/shapes --control runs/control_edges --control runs/control_colour[/]"
    "  ·  [cyan]fromnoise evaluate runs/mnist --sweep 1,2,4 --interval 0.2,5 --against runs/mnist/weights/step_00001000[/]"
)
def evaluate(
    run: RunArgument,
    n: Annotated[int | None, typer.Option("--number", "-n", help="How many samples; the recipe's evaluate.n, else 10,000.")] = None,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    seed: Seed = 0,
    option: Options = None,
    clip: Clip = None,
    interval: Interval = None,
    rescale: Rescale = None,
    against: Against = None,
    features: Annotated[
        str | None, typer.Option("--features", help="cnn (trained once on the run's data and kept), or a file of weights.")
    ] = None,
    compare: Annotated[str | None, typer.Option("--compare", help="SAMPLER:STEPS,… : time and quality side by side.")] = None,
    sweep: Annotated[
        str | None, typer.Option("--sweep", help="SCALE,SCALE,… of guidance: accuracy, variety and distance at each, and their curve.")
    ] = None,
    pairs: Annotated[
        bool, typer.Option("--pairs", help="For a model that is told pictures: how near samples come to held-out targets, pixel by pixel.")
    ] = False,
    perceptual: Annotated[
        str | None,
        typer.Option("--perceptual", help="NETWORK.npz,WEIGHTS.safetensors: with --pairs, a distance like LPIPS (SqueezeNet 1.1) as well."),
    ] = None,
    sweep_steps: Annotated[
        str | None, typer.Option("--sweep-steps", help="With --sweep: STEPS,STEPS,… of the sampler, a curve for each.")
    ] = None,
    clip_model: Annotated[
        str | None, typer.Option("--clip-model", help="A CLIP model by name or folder: how well samples fit their captions, as well.")
    ] = None,
    control: Annotated[
        list[str] | None,
        typer.Option(
            "--control",
            help="WHAT[:WEIGHT[:LOW:HIGH]], as in sample: how far samples obey the hints of held-out examples, in edges and colour. Repeatable.",
        ),
    ] = None,
    root: Annotated[str | None, typer.Option("--root", help="Where the data lies, if not where training found it.")] = None,
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Measure a run's samples: Fréchet distance, KID, precision and recall, class accuracy, each beside what real data reaches."""
    from .words import measure

    measure(
        run,
        n,
        _walk(option, interval, sampler=sampler, steps=steps, guidance=guidance, clip=clip, rescale=rescale),
        seed,
        features,
        compare,
        root,
        device,
        trust,
        weights,
        sweep,
        pairs,
        perceptual,
        sweep_steps,
        against,
        clip_model,
        control or (),
    )


@app.command("import", epilog="Examples:  [cyan]fromnoise import ddpm-cifar10-32/ --out runs/ddpm[/]")
def import_(
    folder: Annotated[Path, typer.Argument(help="A folder as diffusers' save_pretrained writes it: a pipeline's, or a network's.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
) -> None:
    """Take over a model in diffusers' layout (UNet2DModel, DiTTransformer2DModel) as a run: sample it, evaluate it, with every sampler."""
    from .words import import_folder

    import_folder(folder, out)


@app.command(epilog="Examples:  [cyan]fromnoise export runs/mnist mnist-diffusers/[/]")
def export(
    run: RunArgument,
    folder: Annotated[Path, typer.Argument(help="The folder to write.")],
    to: Annotated[str, typer.Option("--to", help="The layout: diffusers.")] = "diffusers",
    weights: Weights = "last",
    adapter: Annotated[
        bool, typer.Option("--adapter", help="Only what the run's adapter changes, as PEFT and diffusers name it; else all, merged.")
    ] = False,
) -> None:
    """Write a run in diffusers' layout, which DDPMPipeline or DDIMPipeline read."""
    from .words import export_run

    if to != "diffusers":
        raise Usage(f"--to is diffusers, not {to!r}")
    export_run(run, folder, weights, adapter)


@app.command(
    epilog="Examples:  [cyan]fromnoise merge runs/fashion_lora --out runs/fashion[/]  ·  "
    "[cyan]fromnoise merge runs/mnist --adapter runs/fashion_lora:0.5 --out runs/half[/]"
)
def merge(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", "-o", help="The run folder to write.")],
    adapter: Adapters = None,
    weights: Weights = "last",
    trust: Trust = False,
) -> None:
    """Put a run's adapter, or those of others, into its weights: a plain run, which needs no base."""
    from .words import merge_run

    merge_run(run, adapter, out, weights, trust)


@app.command("list", epilog="Examples:  [cyan]fromnoise list[/]  ·  [cyan]fromnoise list samplers[/]")
def list_(what: Annotated[str | None, typer.Argument(help="One part only, such as samplers.")] = None) -> None:
    """Print what can be combined: recipes, data, networks, conditions, schedules, predictions, samplers, weights, clocks, optimizers."""
    from .words import print_parts

    print_parts(what)


@data_app.command(
    "inspect",
    epilog="Examples:  [cyan]fromnoise data inspect photos/[/]  ·  [cyan]fromnoise data inspect photos/ --out photos.yaml && fromnoise train photos.yaml[/]",
)
def inspect(
    path: Annotated[Path, typer.Argument(help="A folder of pictures, of MNIST-like or CIFAR files, or an .npz.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Write the proposed recipe here.")] = None,
) -> None:
    """Count, measure and check data, and propose a recipe that trains on it as it is."""
    from .words import inspect_data

    inspect_data(path, out)


@data_app.command("hint", epilog="Example:  [cyan]fromnoise data hint photo.jpg edges --size 32 -o edges.png[/]")
def hint(
    picture: Annotated[Path, typer.Argument(help="A picture file.")],
    name: Annotated[str, typer.Argument(metavar="HINT", help="edges, lines, segments, palette, … (`fromnoise list hints`).")],
    size: Annotated[int | None, typer.Option("--size", help="Cropped and resized to this side first; as it is unless said.")] = None,
    channels: Annotated[str, typer.Option("--channels", help="How the picture is read: rgb or grey.")] = "rgb",
    out: Annotated[Path, typer.Option("--out", "-o", help="Where the hint is written.")] = Path("hint.png"),
) -> None:
    """Make a hint of a picture, as `sample --control` takes it."""
    from .words import write_hint

    write_hint(picture, name, size, channels, out)


def _options(pairs: list[str] | None) -> dict[str, Any] | None:
    """key=value pairs as numbers and words."""
    if not pairs:
        return None
    values: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals:
            raise Usage(f"a sampler's option is key=value, such as eta=0.5, not {pair!r}")
        words = {"true": True, "false": False}
        try:
            values[key] = words[text.lower()] if text.lower() in words else float(text)
        except ValueError:
            raise Usage(f"option {key} is a number, or true or false, not {text!r}") from None
    return values


def _walk(option: list[str] | None, interval: str | None, **words: Any) -> dict[str, Any]:
    """The words about a walk as `Model.sample` takes them; None leaves it to the run."""
    low, high = _interval(interval)
    return words | {"options": _options(option), "low": low, "high": high}


def _interval(text: str | None) -> tuple[float | None, float | None]:
    if text is None:
        return None, None
    try:
        low, high = (float(part) for part in text.split(","))
        return low, high
    except ValueError:
        raise Usage(f"--interval is LOW,HIGH in units of sigma/alpha, such as 0.2,5, not {text!r}") from None
