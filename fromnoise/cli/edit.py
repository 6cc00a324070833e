"""`fromnoise edit …`: pictures changed by one's own model, without training it."""

from pathlib import Path
from typing import Annotated, Any

import typer

from ..errors import Usage
from .commands import Device, Guidance, Options, Out, RunArgument, Sampler, Seed, Steps, Trust, Weights, _options, edit_app

Number = Annotated[int, typer.Option("--number", "-n", help="How many results.")]
Images = Annotated[list[Path] | None, typer.Option("--image", "-i", help="A picture file, cropped and resized to the model's size.")]
Examples = Annotated[
    list[int] | None, typer.Option("--example", help="In place of --image: a held-out example of the run's data, by its number.")
]
Root = Annotated[str | None, typer.Option("--root", help="Where the data lies, if not where training found it.")]
Result = Annotated[
    Path, typer.Option("--out", "-o", help="FILE.png: the results beside the picture; FILE.npz or FOLDER/: the results alone.")
]
InvertSteps = Annotated[int, typer.Option("--steps", help="Steps of DDIM, up to the noise and back.")]
InvertGuidance = Annotated[float, typer.Option("--guidance", "-g", help="1 is exact; more pulls inversion and reconstruction apart.")]
EditLabel = Annotated[str | None, typer.Option("--label", "-l", help="A class: number or name; else nothing is asked.")]
EditLabels = Annotated[
    str | None, typer.Option("--label", "-l", help="A class: number or name; several with commas, in turn; else nothing is asked.")
]
EditTexts = Annotated[list[str] | None, typer.Option("--text", "-t", help="A caption, in quotes; several in turn; else nothing is asked.")]
EditText = Annotated[str | None, typer.Option("--text", "-t", help="A caption, in quotes; else nothing is asked.")]


@edit_app.command(epilog="Example:  [cyan]fromnoise edit sdedit runs/mnist --image sketch.png --strength 0.5 --label 3[/]")
def sdedit(
    run: RunArgument,
    image: Images = None,
    example: Examples = None,
    strength: Annotated[float, typer.Option("--strength", help="How far the picture is taken back to noise, 0 to 1.")] = 0.6,
    n: Number = 8,
    sampler: Sampler = None,
    steps: Steps = None,
    guidance: Guidance = None,
    label: EditLabels = None,
    text: EditTexts = None,
    seed: Seed = 0,
    option: Options = None,
    root: Root = None,
    out: Result = Path("sdedit.png"),
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """A picture noised part of the way and drawn anew from there (Meng et al. 2022): its layout stays, its details are the model's."""
    _ending(out)
    model = _model(run, device, trust, weights)
    asked = _asked(model, n, label, text, sampler=sampler, steps=steps, guidance=guidance, options=_options(option))
    picture = _pictures(model, run, image, example, root, trust, 1)
    _write(model.sample(n, init=picture, strength=strength, seed=seed, **asked), out, picture)


@edit_app.command(
    epilog="Examples:  [cyan]fromnoise edit inpaint runs/mnist --example 0 --mask 0,14,28,14[/]  ·  "
    "[cyan]fromnoise edit inpaint runs/faces --image me.png --mask hole.png --sampler ddim[/]"
)
def inpaint(
    run: RunArgument,
    mask: Annotated[str, typer.Option("--mask", help="X,Y,W,H: a box of the model's pixels to make new; or a picture file, bright there.")],
    image: Images = None,
    example: Examples = None,
    n: Number = 8,
    sampler: Annotated[
        str, typer.Option("--sampler", help="repaint goes back and forth until both parts agree; others are faster.")
    ] = "repaint",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the sampler.")] = 50,
    guidance: Guidance = None,
    label: EditLabels = None,
    text: EditTexts = None,
    seed: Seed = 0,
    option: Options = None,
    root: Root = None,
    out: Result = Path("inpaint.png"),
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """A part of a picture made new, n times; the rest stays as it is, pixel for pixel."""
    from ..editing import inpaint as made

    _ending(out)
    model = _model(run, device, trust, weights)
    hole = _mask(mask, model.shape, run)
    asked = _asked(model, n, label, text, sampler=sampler, steps=steps, guidance=guidance, options=_options(option))
    picture = _pictures(model, run, image, example, root, trust, 1)
    _write(made(model, picture, hole, n, seed=seed, **asked), out, picture, picture * (1 - hole))


@edit_app.command(epilog="Example:  [cyan]fromnoise edit invert runs/mnist --example 0 --example 1[/]")
def invert(
    run: RunArgument,
    image: Images = None,
    example: Examples = None,
    steps: InvertSteps = 50,
    iterations: Annotated[int, typer.Option("--iterations", help="Evaluations a step on the way up; 1 is plain DDIM inversion.")] = 5,
    guidance: InvertGuidance = 1.0,
    label: EditLabel = None,
    text: EditText = None,
    root: Root = None,
    out: Out = Path("invert.png"),
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Pictures, the noise that DDIM would draw them from, and what it draws from it, with the PSNR."""
    from ..editing import invert as noise_of
    from ..editing import psnr
    from ..figures import strip, tiles, write
    from ..figures.picture import check
    from ..figures.process import shown

    check(out)
    model = _model(run, device, trust, weights)
    asked = _inverted(model, label, text, steps, guidance)
    pictures = _pictures(model, run, image, example, root, trust)
    noise = noise_of(model, pictures, iterations=iterations, **asked)
    back = model.sample(len(noise), start=noise, sampler="ddim", clip="none", options={}, **asked).float().cpu()
    decibels = [f"{value:.1f} dB" for value in psnr(back, pictures).tolist()]
    grey = shown(noise, model.grid.levels(steps)[0]) / 3  # over three standard deviations
    rows = [*zip(tiles(pictures), tiles(grey), tiles(back), strict=True)]
    print(write(strip(rows, columns=("picture", "noise", "reconstruction"), captions=[("", "", said) for said in decibels]), out))
    print(f"PSNR of the reconstruction: {', '.join(decibels)}")


@edit_app.command(
    epilog="Examples:  [cyan]fromnoise edit interpolate runs/mnist --example 0 --example 3[/]  ·  "
    "[cyan]fromnoise edit interpolate runs/mnist --image a.png --image b.png -o walk.gif[/]"
)
def interpolate(
    run: RunArgument,
    image: Images = None,
    example: Examples = None,
    seeds: Annotated[str | None, typer.Option("--seeds", help="In place of pictures: seeds with commas, as in `show interpolate`.")] = None,
    n: Annotated[
        int | None, typer.Option("--number", "-n", help="How many from end to end, or along a side; 9, or 16 frames a piece.")
    ] = None,
    square: Annotated[bool, typer.Option("--square", help="Four ends as the corners of a square.")] = False,
    way: Annotated[str, typer.Option("--way", help="slerp, along the great circle; or lerp, straight.")] = "slerp",
    steps: InvertSteps = 50,
    guidance: InvertGuidance = 1.0,
    label: EditLabel = None,
    text: EditText = None,
    root: Root = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="FILE.png: a row, or a square; FILE.gif: a film.")] = Path("interpolate.png"),
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """What lies between pictures: each is taken up to its noise, and samples are drawn between those noises."""
    from ..editing import invert as noise_of
    from .words import blend_of, noises_of, write_between

    blend = blend_of(way, out, square)
    model = _model(run, device, trust, weights)
    asked = _inverted(model, label, text, steps, guidance)
    if seeds is not None:
        if image or example:
            raise Usage("interpolate between pictures or between seeds; leave one of them out")
        noises, ends = noises_of(model, seeds, 1)
    else:
        pictures = _pictures(model, run, image, example, root, trust)
        if len(pictures) < 2:
            raise Usage("name at least two pictures: --image or --example twice, or --seeds 0,1")
        noises, ends = noise_of(model, pictures, **asked)[:, None], []
    write_between(model, noises, out, n, square, ends, blend=blend, sampler="ddim", clip="none", options={}, **asked)


@edit_app.command(epilog="Example:  [cyan]fromnoise edit vary runs/mnist --example 0 --strength 0.3[/]")
def vary(
    run: RunArgument,
    image: Images = None,
    example: Examples = None,
    strength: Annotated[
        float, typer.Option("--strength", help="How far its noise is turned to fresh noise: 0 the picture, 1 another.")
    ] = 0.2,
    n: Number = 8,
    steps: InvertSteps = 50,
    label: EditLabel = None,
    text: EditText = None,
    seed: Seed = 0,
    root: Root = None,
    out: Result = Path("vary.png"),
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Variations of a picture: taken up to its noise, the noise changed a little, and drawn again."""
    from ..editing import vary as varied

    _ending(out)
    model = _model(run, device, trust, weights)
    asked = _inverted(model, label, text, steps)
    picture = _pictures(model, run, image, example, root, trust, 1)
    _write(varied(model, picture, n, strength, seed=seed, **asked), out, picture)


@edit_app.command(epilog="Example:  [cyan]fromnoise edit steer runs/unconditional --label 3,8 -n 16 --scale 5[/]")
def steer(
    run: RunArgument,
    label: Annotated[str, typer.Option("--label", "-l", help="A class of the run's data: number or name; several with commas, in turn.")],
    scale: Annotated[float, typer.Option("--scale", "-s", help="How loud the classifier is; 1 is Bayes' rule.")] = 5.0,
    n: Number = 16,
    features: Annotated[
        str, typer.Option("--features", help="The classifier: cnn (trained once on the run's data and kept), or weights.")
    ] = "cnn",
    sampler: Annotated[str, typer.Option("--sampler", help="The sampler.")] = "ddpm",
    steps: Annotated[int, typer.Option("--steps", help="Steps of the sampler.")] = 50,
    seed: Seed = 0,
    option: Options = None,
    root: Root = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="FILE.png, FILE.npz or FOLDER/, as for `sample`.")] = Path("steer.png"),
    weights: Weights = "last",
    device: Device = None,
    trust: Trust = False,
) -> None:
    """Classifier guidance: samples of a class, led by the classifier that `evaluate` uses; the model itself need not know classes."""
    import torch

    from ..editing import steer as steered
    from ..evaluation import fits, load_features
    from ..figures import save
    from .words import class_numbers, run_data

    _ending(out)
    model = _model(run, device, trust, weights)
    if n < 1:
        raise Usage(f"draw at least 1 sample, not {n}")
    train, test = run_data(run, root, trust)
    fits(model, train)
    if len(train.classes) < 2:
        raise Usage("the run's data has no classes, so there is nothing to steer to")
    numbers = class_numbers(label, train.classes)
    if not all(0 <= number < len(train.classes) for number in numbers):
        raise Usage(f"the data knows the classes 0 to {len(train.classes) - 1}, not {label}")
    labels = torch.tensor([numbers[i % len(numbers)] for i in range(n)])
    asked = {"sampler": sampler, "steps": steps, "guidance": 1.0, "options": _options(option), "seed": seed}
    model.plan(sampler, steps=steps, options=asked["options"])  # what cannot be is said before a classifier is trained
    net = load_features(features, train, test, model.device)
    if net.classes != len(train.classes):
        raise Usage(f"{features} does not tell the {len(train.classes)} classes of {train.name} apart; use --features cnn")
    made = steered(model, labels, lambda x: net(x)[1], scale, **asked).float().cpu()
    save(made, out, labels=labels.tolist())
    print(out)


def _model(run: Path, device: str | None, trust: bool, weights: str) -> Any:
    from ..model import load

    model = load(run, device, trust, weights)
    if len(model.shape) != 3:
        raise Usage(f"this model makes examples of shape {model.shape}, no pictures, so there are none to edit")
    return model


def _asked(model: Any, n: int, label: str | None, text: list[str] | None, **walk: Any) -> dict[str, Any]:
    """The words of a walk, and its conditions: nothing unless said, and where nothing is asked there is nothing to guide by."""
    from .words import labels_of, texts_of

    conditions = {key: None for key in model.conditions} | labels_of(model, label, n) | texts_of(model, text, n)
    unguided = {"guidance": 1.0} if all(value is None for value in conditions.values()) else {}
    if unguided and walk.get("guidance") not in (None, 1.0):
        raise Usage("guidance leads to what is asked; ask something by --label or --text, or leave --guidance out")
    return unguided | {key: value for key, value in walk.items() if value is not None} | conditions


def _inverted(model: Any, label: str | None, text: str | None, steps: int, guidance: float | None = None) -> dict[str, Any]:
    """The words of an inversion and of the way back."""
    told = _asked(model, 0, label, [text] if text else None, guidance=guidance)
    return {key: value for key, value in told.items() if key != "guidance" or guidance is not None} | {"steps": steps}


def _pictures(
    model: Any, run: Path, images: list[Path] | None, examples: list[int] | None, root: str | None, trust: bool, count: int | None = None
) -> Any:
    """The pictures named by file and by number, (n, C, H, W) in [-1, 1]."""
    import torch

    from ..runs.folder import Run
    from .pictures import picture
    from .words import run_data

    images, examples = images or [], examples or []
    found = len(images) + len(examples)
    if not found or count not in (None, found):
        raise Usage(
            f"name {'one picture' if count == 1 else 'a picture'}: --image FILE, or --example NUMBER{f', not {found} of them' if found else ''}"
        )
    data = Run(run).config().get("data") if images else None
    parts = [picture(path, model.shape[0], model.shape, data)[None] for path in images]
    if examples:
        held_out = run_data(run, root, trust)[1]
        for number in examples:
            if not 0 <= number < len(held_out):
                raise Usage(f"there is no held-out example {number}: {held_out.name} has 0 to {len(held_out) - 1:,}")
        parts.append(held_out.get(torch.tensor(examples))["x"].float().cpu())
    return torch.cat(parts)


def _mask(text: str, shape: tuple[int, ...], run: Path) -> Any:
    """1 where a box X,Y,W,H or the bright part of a picture file says "make new", (1, 1, H, W)."""
    import re

    import torch

    from ..runs.folder import Run
    from .pictures import hole

    _, height, width = shape
    mask = torch.zeros(1, 1, height, width)
    if re.fullmatch(r"[-+0-9., ]+", text):
        box = [int(part) for part in text.split(",")] if re.fullmatch(r" *\d+ *(, *\d+ *){3}", text) else []
        if len(box) != 4 or box[0] + box[2] > width or box[1] + box[3] > height or not box[2] * box[3]:
            raise Usage(f"a box is X,Y,WIDTH,HEIGHT within the model's {width} x {height} pixels, not {text!r}")
        x, y, w, h = box
        mask[..., y : y + h, x : x + w] = 1
        return mask
    mask[0] = hole(Path(text), shape, Run(run).config().get("data"))
    if not mask.any():
        raise Usage(f"{text} is dark everywhere, so nothing is to be made new; draw that part white")
    return mask


def _ending(out: Path) -> None:
    from ..figures.picture import check
    from ..files import vacant

    if out.suffix == "":
        vacant(out)
    if out.suffix not in ("", ".npz"):
        check(out)


def _write(made: Any, out: Path, *beside: Any) -> None:
    """The results alone in an archive or a folder; in a picture, what they were made from on the left."""
    from ..figures import save, strip, tiles, write

    made = made.float().cpu()
    if out.suffix in ("", ".npz"):
        print(save(made, out))
        return
    across = 8
    lots = [tiles(part) for part in made.split(across)]
    first = [tiles(part)[0] for part in beside]
    blank = [tile.copy() for tile in first]
    for tile in blank:
        tile.paste("white", (0, 0, *tile.size))
    rows = [[*(first if i == 0 else blank), *lot] for i, lot in enumerate(lots)]
    print(write(strip(rows, columns=("picture", "kept")[: len(beside)]), out))
