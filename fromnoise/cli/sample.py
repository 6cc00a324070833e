"""`fromnoise sample`."""

import sys
import time
from pathlib import Path
from typing import Annotated

from ..errors import Usage
from ..progress import bar, duration
from . import lib
from .command import app, command
from .options import DrawOptions, Number, Option
from .words import unused

FILES = "FILE.png: a grid; FILE.npz: arr_0 uint8 NHWC, arr_1 labels; FILE.gif: the reverse process (but of clips); FOLDER/: one file each. "
FILES += "Shapes in space: FILE.obj, .glb, .stl or .ply (clouds: .ply), side by side on one plane; FILE.png: seen from in front. "
FILES += "Sounds: FILE.wav, one after another. Text: FILE.txt, a line each. Clips: FILE.gif, .webp, .apng or .mp4, playing together; FILE.png: some of their frames."
FILES += " Signals: FILE.csv, .npy or .npz, in their own units. Scans: FILE.nii.gz, .npy or .npz, in theirs; FILE.png: their middle slices."
Samples = Annotated[Path, Option("--out", "-o", help=FILES)]
MOST = 64  # samples in a film
LOOSE = 1e-4  # of train.kl, whose default is less: latents are free of N(0, 1) then
Film = Annotated[bool, Option("--gif", help=f"Also write the reverse process, of the first {MOST}, as a GIF beside --out.")]


@command(
    app, "sample runs/mnist -n 64 --out digits.png", "sample runs/mnist -n 10000 --out samples.npz",
    "sample runs/mnist -n 8 --label 3 --sampler ddim --steps 50 --option eta=1 --gif --out three.gif",
    "sample runs/shapes --control runs/control_edges=edges.png --control runs/control_colour=colours.png:0.8:0.5:80",
    "sample runs/mnist --adapter runs/fashion_lora:0.7")  # fmt: skip
def sample(draw: DrawOptions, n: Number = 64, out: Samples = Path("samples.png"), gif: Film = False) -> None:
    """Draw samples from a run: a grid, an archive for evaluation suites, or single files. Of a variational autoencoder's: draws of its prior, decoded."""
    recipe = draw.run.recipe
    if recipe.reconstructs:
        return prior(draw, n, out, gif)
    own = lib.figures.endings(recipe.shape, recipe.medium)
    lib.figures.check(out, "", ".npz", ".gif", *own)
    process = out.suffix == ".gif" and ".gif" not in own
    if gif and out.suffix == ".gif" and not process:
        raise Usage(f"the reverse process would be {out.name} too, as which these samples play; end --out in .webp, or use `fromnoise show reverse`")
    if process:
        unused("--out is that film", gif=gif)
        if n > MOST:
            raise Usage(f"a film shows at most {MOST} samples, not {n}; give a smaller -n, or end --out in .png or .npz")
    model, (how, given) = draw.run.model, draw.chosen(n)
    began = time.perf_counter()
    if gif or process:
        shown = min(n, MOST)
        some = {key: value[:shown] if isinstance(value, (lib.torch.Tensor, list)) else value for key, value in given.items()}
        film = out.with_suffix(".gif") if out.suffix else out / "reverse.gif"
        print(lib.figures.reverse_gif(model, film, shown, sampling=how, **some))
        if out == film:
            return
    with bar("sampling", n) as advance:
        images = model.sample(n, how, progress=advance, **given).cpu().float()
    lib.figures.write_samples(images, out, model.with_defaults(n, given), model.classes, recipe)
    if printed := lib.figures.medium_of(model.shape, model.medium).printed:
        print(*printed(images, recipe), sep="\n")
    print(f"{out}: {n:,} samples in {duration(time.perf_counter() - began)}")


def prior(draw: DrawOptions, n: int, out: Path, gif: bool) -> None:
    """What an autoencoder decodes from z ~ N(0, 1)."""
    run, how, recipe = draw.run, draw.sampling, draw.run.recipe
    walk = {key: value for key, value in vars(how).items() if key not in ("seed", "batch")} | {"gif": gif, "adapter": run.adapter}
    unused("an autoencoder decodes draws of its prior, in one step and under no conditions", **walk, **vars(draw.conditions), **vars(draw.start))
    lib.figures.check(out, "", ".npz", *lib.figures.endings(recipe.shape, recipe.medium))
    if (weight := lib.config.call(lib.training.AutoencoderSettings, recipe.train, "train").kl) <= LOOSE:
        print(f"fromnoise: {run.run} hardly held its latents to N(0, 1) (train.kl {weight:g}); train a model on them to draw what it has seen", file=sys.stderr)
    images = lib.model.load_autoencoder(run.run, run.device, run.trust, run.weights).sample(n, how.seed or 0, how.batch or 256).cpu()
    lib.figures.write_samples(images, out, {}, (), recipe)
    print(f"{out}: {n:,} draws of the prior, decoded")
