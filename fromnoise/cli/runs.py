"""`fromnoise import`, `export`, `merge` and `list`: runs as other folders, and what a recipe can be made of."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from ..errors import Usage, nearest
from . import lib, words
from .command import app, command, paged, print_table
from .options import Argument, Option, RunFolder, RunOptions

REGISTRIES = {  # what `fromnoise list` prints: where the dict of each lies
    "recipes": "config:recipes", "data": "data:DATASETS", "networks": "networks:NETWORKS", "presets": "networks:PRESETS", "adapters": "networks:ADAPTERS",
    "activations": "networks.layers.attention:ACTIVATIONS", "embeddings": "networks.layers.embed:EMBEDDINGS",
    "autoencoders": "autoencoders:AUTOENCODERS", "discriminators": "autoencoders:DISCRIMINATORS", "conditions": "conditions:CONDITIONS",
    "hints": "conditions.hints:HINTS",
    "encoders": "conditions.text:ENCODERS", "predictions": "diffusion:PREDICT", "schedules": "diffusion:SCHEDULES", "tables": "diffusion:BETAS",
    "spacings": "diffusion:SPACINGS", "frames": "diffusion.level:LENGTH", "clocks": "diffusion:CLOCKS", "sources": "diffusion:SOURCES",
    "samplers": "samplers:SAMPLERS", "clips": "model:CLIPS", "weights": "diffusion:WEIGHTS", "distances": "diffusion:DISTANCES",
    "penalties": "diffusion:PENALTIES", "optimizers": "training.optim:OPTIMIZERS", "rates": "training.optim:RATES",
    "trackers": "training.trackers:TRACKERS", "blends": "editing:BLENDS", "features": "evaluation.features:FEATURES",
    "media": "figures:MEDIA"}  # fmt: skip
SETTINGS = {  # and the denoiser's, and those of an autoencoder's training
    "train": "training:TrainSettings", "autoencoder": "training:AutoencoderSettings", "sample": "model:Sampling", "evaluate": "evaluation:EvaluateSettings"
}  # fmt: skip
GIVEN = ("split", "x0", "x", "level", "data_std", "weak", "guide", "init", "first", "draws", "done", "a", "b")  # not by a recipe
OF_OTHERS = {  # by what names them: the schedule `table`, and `train`
    "tables": ("n", "start", "end"), "spacings": ("n", "steps"), "discriminators": ("channels", "axes"),
    "optimizers": ("lr", "betas", "weight_decay", "amsgrad", "maximize", "foreach", "capturable", "differentiable", "fused", "decoupled_weight_decay"),
}  # fmt: skip
Foreign = Annotated[Path, Argument(help="A folder as diffusers' save_pretrained writes it: a pipeline's, or a network's.")]
Layout = Annotated[str, Option("--to", help="The layout: diffusers.")]
Alone = Annotated[bool, Option("--adapter", help="Only what the run's adapter changes, as PEFT and diffusers name it; else all, merged.")]


@command(app, "import ddpm-cifar10-32/ --out runs/ddpm")
def import_(folder: Foreign, out: RunFolder) -> None:
    """Take over a model in diffusers' layout (UNet2DModel, DiTTransformer2DModel; LDM, DiT and Stable Diffusion pipelines) as a run: sample it, evaluate it,
    with every sampler."""
    model = lib.model.import_run(folder, out)
    count = sum(p.numel() for p in model.parameters())
    print(f"{out}: {type(model.denoiser.network).__name__} of {count:,} parameters; draw from it with `fromnoise sample {out}`")


@command(app, "export runs/mnist mnist-diffusers/", without=("adapter", "device"))
def export(run: RunOptions, folder: Annotated[Path, Argument(help="To write.")], to: Layout = "diffusers", alone: Alone = False) -> None:
    """Write a run in diffusers' layout, which its pipelines read: DDPM, DDIM, and in latents LDM, DiT and Stable Diffusion; or an autoencoder's run."""
    if to != "diffusers":
        raise Usage(f"--to is diffusers, not {to!r}")
    how = (run.run, folder, run.trust, run.weights)
    if alone:
        file, count = lib.model.export_adapter(*how)
        print(f"{file}: {count} layers, as PEFT and diffusers name them")
    else:
        kind, notes = lib.model.export_run(*how)
        place = ", subfolder='transformer'" if (folder / "transformer").is_dir() and not kind.endswith("Pipeline") else ""
        print(f"{folder}: reads as {kind}.from_pretrained({str(folder)!r}{place}) in diffusers")
        print("\n".join(f"  {note}" for note in notes))


@command(app, "merge runs/fashion_lora -o runs/fashion", "merge runs/mnist --adapter runs/fashion_lora:0.5 -o half", without=("device",))
def merge(run: RunOptions, out: RunFolder) -> None:
    """Put a run's adapter, or those of others, into its weights: a plain run, which needs no base."""
    model = lib.model.write_merged(run.run, words.adapters(run.adapter), out, run.trust, run.weights)
    print(f"{out}: a plain run of {sum(p.numel() for p in model.parameters()):,} parameters; draw from it with `fromnoise sample {out}`")


@command(app, "list", "list samplers", "list unet", "list train")
def list_(what: Annotated[str | None, Argument(help="A group, such as samplers; or a part, such as unet, train or dpmpp_2m, with its settings.")] = None) -> None:
    """Print what can be combined: the recipes, and every name that they can be made of; a group with a line for each; or a part's settings."""
    group, found = next((name for name in (what, f"{what}s") if name in REGISTRIES), None), [*parts(what)]
    if not (what is None or group or found):
        known = {*REGISTRIES, *SETTINGS, *(name for part in REGISTRIES for name in named(part))}
        near = nearest(what, sorted(known))
        raise Usage(f"nothing is called {what!r}{near if 'did you mean' in near else '; `fromnoise list` prints what there is'}")
    with paged():
        if what is None:
            print_table([(part, ", ".join(lines(part))) for part in REGISTRIES] + [("settings", ", ".join(SETTINGS))])
            print("\n`fromnoise list samplers` says a line of each, `fromnoise list unet` a part's settings.")
        if group:
            print_table([*lines(group).items()], group, 2)
        for title, thing in found:
            _print_part(title, thing)


def named(part: str) -> Mapping[str, Any]:
    """A group's names, and what they name."""
    found = _thing(REGISTRIES[part])
    return found() if callable(found) else found


def lines(part: str) -> dict[str, str]:
    """Its names, each with the first line of what it says of itself, or with the settings that it stands for."""
    found = named(part)
    if part == "recipes":
        return {recipe: path.read_text().split("\n")[0].lstrip("# ") for recipe, path in found.items()}
    return {key: _of(thing) if isinstance(thing, Mapping) else _says(thing).split("\n")[0] for key, thing in found.items()}


def parts(name: str | None) -> Iterator[tuple[str, Any]]:
    """(what it is, the thing) of everything of this name."""
    if name in SETTINGS:
        yield f"settings: {name}", _thing(SETTINGS[name])
    yield from ((f"{part}: {name}", named(part)[name]) for part in REGISTRIES if name in named(part))


def _thing(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(f"..{module}", __package__), name)


def _says(thing: Any) -> str:
    """The docstring of a part, or of what it fills in."""
    return (getattr(thing, "func", thing).__doc__ or "").strip()


def _of(node: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in node.items() if key != "name")


def settings_of(group: str, thing: Any) -> dict[str, str]:
    """A part's settings, each with its words."""
    given: tuple[str, ...] = (*GIVEN, *OF_OTHERS.get(group, ()))
    for shape in ((1, 8), (1, 8, 8)) if hasattr(thing, "fitting") else ():  # of points and of pictures: some take one of them alone
        with suppress(Usage):
            given = tuple(thing.fitting(shape))
    try:
        return lib.config.settings(thing, given)
    except (ValueError, TypeError):  # written in C: nothing to set
        return {}


def _print_part(title: str, thing: Any) -> None:
    """Prints a part's words and its settings; or the file of a recipe, or what a preset stands for."""
    if isinstance(thing, Path):
        print(f"{title}\n\n{thing.read_text()}")
    elif isinstance(thing, Mapping):
        print(f"{title}: {thing.get('name')}, {_of(thing)}")
    else:
        rows = settings_of(title.partition(":")[0], thing)
        print(f"{title}: {' '.join(_says(thing).split(chr(10) * 2)[0].split())}")
        print_table([*rows.items()] or [("", "it has no settings")], pad=2)
