"""`fromnoise import`, `export`, `merge` and `list`: runs as other folders, and what a recipe can be made of."""

from importlib import import_module
from pathlib import Path
from typing import Annotated

from ..errors import Usage, nearest
from . import lib, words
from .command import app, command, print_table
from .options import Argument, Option, RunFolder, RunOptions

REGISTRIES = {  # what `fromnoise list` prints: where the dict of each lies
    "recipes": "config:recipes", "data": "data:DATASETS", "networks": "networks:NETWORKS", "presets": "networks:PRESETS", "adapters": "networks:ADAPTERS",
    "conditions": "conditions:CONDITIONS", "hints": "conditions.hints:HINTS", "encoders": "conditions.text:ENCODERS", "predictions": "diffusion:PREDICT",
    "schedules": "diffusion:SCHEDULES", "tables": "diffusion:BETAS", "spacings": "diffusion:SPACINGS", "samplers": "samplers:SAMPLERS",
    "clips": "model:CLIPS", "weights": "diffusion:WEIGHTS", "distances": "diffusion:DISTANCES", "penalties": "diffusion:PENALTIES",
    "sources": "diffusion:SOURCES", "clocks": "diffusion:CLOCKS", "blends": "editing:BLENDS", "features": "evaluation.features:FEATURES",
    "optimizers": "training.optim:OPTIMIZERS", "rates": "training.optim:RATES", "trackers": "training.trackers:TRACKERS"}  # fmt: skip
Foreign = Annotated[Path, Argument(help="A folder as diffusers' save_pretrained writes it: a pipeline's, or a network's.")]
Layout = Annotated[str, Option("--to", help="The layout: diffusers.")]
Alone = Annotated[bool, Option("--adapter", help="Only what the run's adapter changes, as PEFT and diffusers name it; else all, merged.")]


@command(app, "import ddpm-cifar10-32/ --out runs/ddpm")
def import_(folder: Foreign, out: RunFolder) -> None:
    """Take over a model in diffusers' layout (UNet2DModel, DiTTransformer2DModel) as a run: sample it, evaluate it, with every sampler."""
    model = lib.model.import_run(folder, out)
    count = sum(p.numel() for p in model.parameters())
    print(f"{out}: {type(model.denoiser.network).__name__} of {count:,} parameters; draw from it with `fromnoise sample {out}`")


@command(app, "export runs/mnist mnist-diffusers/", without=("adapter", "device"))
def export(run: RunOptions, folder: Annotated[Path, Argument(help="To write.")], to: Layout = "diffusers", alone: Alone = False) -> None:
    """Write a run in diffusers' layout, which DDPMPipeline or DDIMPipeline read."""
    if to != "diffusers":
        raise Usage(f"--to is diffusers, not {to!r}")
    how = (run.run, folder, run.trust, run.weights)
    if alone:
        file, count = lib.model.export_adapter(*how)
        print(f"{file}: {count} layers, as PEFT and diffusers name them")
    else:
        kind, notes = lib.model.export_run(*how)
        place = "" if kind.endswith("Pipeline") else ", subfolder='transformer'"
        print(f"{folder}: reads as {kind}.from_pretrained({str(folder)!r}{place}) in diffusers")
        print("\n".join(f"  {note}" for note in notes))


@command(app, "merge runs/fashion_lora -o runs/fashion", "merge runs/mnist --adapter runs/fashion_lora:0.5 -o half", without=("device",))
def merge(run: RunOptions, out: RunFolder) -> None:
    """Put a run's adapter, or those of others, into its weights: a plain run, which needs no base."""
    model = lib.model.write_merged(run.run, words.adapters(run.adapter), out, run.trust, run.weights)
    print(f"{out}: a plain run of {sum(p.numel() for p in model.parameters()):,} parameters; draw from it with `fromnoise sample {out}`")


@command(app, "list", "list samplers")
def list_(what: Annotated[str | None, Argument(help=f"One part only: {', '.join(REGISTRIES)}.")] = None) -> None:
    """Print what can be combined: the recipes, and every name that they can be made of."""
    if what is not None and what not in REGISTRIES:
        raise Usage(f"no part {what!r}{nearest(what, REGISTRIES)}")
    for part in [what] if what else REGISTRIES:
        print_table([*lines(part).items()], part, 2)


def lines(part: str) -> dict[str, str]:
    """Its names, each with the first line of what it says of itself."""
    module, _, name = REGISTRIES[part].partition(":")
    found = getattr(import_module(f"..{module}", __package__), name)
    if part == "recipes":
        return {recipe: path.read_text().split("\n")[0].lstrip("# ") for recipe, path in found().items()}
    if part == "presets":  # the settings that they stand for
        return {preset: ", ".join(f"{key} {value}" for key, value in node.items() if key != "name") for preset, node in found.items()}
    return {key: (thing.__doc__ or "").strip().split("\n")[0] if callable(thing) else "" for key, thing in found.items()}
