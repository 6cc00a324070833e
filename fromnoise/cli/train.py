"""`fromnoise train` and `fromnoise estimate`."""

from pathlib import Path
from typing import Annotated

from . import lib
from .command import app, command, print_table
from .options import Argument, Device, Option

Recipe = Annotated[str, Argument(help="A recipe that comes with fromnoise (`fromnoise list recipes`), or a .yaml file.")]
Overrides = Annotated[
    list[str] | None,
    Argument(metavar="[RECIPE]... [KEY=VALUE]...", help="Further recipes, each over those before it; and settings over all, such as train.batch=64."),
]
Out = Annotated[Path | None, Option("--out", "-o", help="The run folder; runs/RECIPE, of the first, unless said.")]
Fresh = Annotated[bool, Option("--fresh", help="Begin anew; an earlier run there is renamed, not lost.")]
Quiet = Annotated[bool, Option("--quiet", "-q", help="Print nothing while it goes well but what is left out of the data.")]
Evaluate = Annotated[bool, Option("--evaluate", help="Then draw and measure the samples that the recipe's `evaluate` asks for.")]
Seconds = Annotated[float, Option("--seconds", help="How long to measure.", min=0.1, max=86_400)]
BaseTrust = Annotated[bool, Option("--trust", help="Allow the run of `base` parts of its own (module:Class), which runs their code.")]


@command(app, "train digits", "train mnist network.width=64 train.minutes=5", "train mnist my.yaml --out runs/mine")
def train(recipe: Recipe, overrides: Overrides = None, out: Out = None, fresh: Fresh = False, device: Device = None, quiet: Quiet = False,
          then: Evaluate = False, trust: BaseTrust = False) -> None:  # fmt: skip
    """Train a recipe, or go on with it: the same command resumes where it stopped."""
    settings, out = lib.config.load(recipe, overrides or []), out or Path("runs") / Path(recipe).stem
    lib.training.train(settings, out, fresh, quiet, device, trust, own_process=True)
    if then:
        from .evaluate import measure_once

        measure_once(out, device)


@command(app, "estimate mnist", "estimate my.yaml network=dit_b4 train.recompute=true")
def estimate(recipe: Recipe, overrides: Overrides = None, seconds: Seconds = 10.0, device: Device = None, trust: BaseTrust = False) -> None:
    """What training a recipe will take here: parameters, operations, memory, examples a second, time to finish. Nothing is kept."""
    settings = lib.config.load(recipe, overrides or [])
    print_table(lib.training.estimate(settings, seconds, device, trust, own_process=True).lines())


@command(app, "encode cifar10_latent", "encode my.yaml autoencoder=runs/mine")
def encode(recipe: Recipe, overrides: Overrides = None, device: Device = None, trust: BaseTrust = False) -> None:
    """Encode a recipe's data through its autoencoder once and for all, as the first training on it would; flips as well, where the recipe asks for them."""
    settings = lib.config.load(recipe, overrides or []).with_defaults()
    print_table(lib.training.encode(settings, device, trust))
