"""`fromnoise sample`."""

import time
from pathlib import Path
from typing import Annotated, Any

from ..errors import Usage
from .command import app, command
from .options import DrawOptions, Number, Option

FILES = "FILE.png: a grid; FILE.npz: arr_0 uint8 NHWC, arr_1 labels; FILE.gif: the reverse process; FOLDER/: one file each."
Samples = Annotated[Path, Option("--out", "-o", help=FILES)]
Film = Annotated[bool, Option("--gif", help="Also write the reverse process as a GIF beside --out.")]
FRAMES = 64  # samples that a GIF shows, at most
COLUMNS = 16  # of classes in a grid, at most


@command(
    app, "sample runs/mnist -n 64 --out digits.png", "sample runs/mnist -n 10000 --out samples.npz",
    "sample runs/mnist -n 8 --label 3 --sampler ddim --steps 50 --option eta=1 --gif --out three.gif",
    "sample runs/shapes --control runs/control_edges=edges.png --control runs/control_colour=colours.png:0.8:0.5:80",
    "sample runs/mnist --adapter runs/fashion_lora:0.7",
)  # fmt: skip
def sample(draw: DrawOptions, n: Number = 64, out: Samples = Path("samples.png"), gif: Film = False) -> None:
    """Draw samples from a run: a grid, an archive for evaluation suites, or single files."""
    from ..figures import save
    from ..progress import bar, duration

    if n < 1:
        raise Usage(f"draw at least 1 sample, not {n}")
    check_out(out, ".npz", ".gif")
    model, (how, given) = draw.model, draw.chosen(n)
    began = time.perf_counter()
    if gif or out.suffix == ".gif":
        film(model, out if out.suffix == ".gif" else out.with_suffix(".gif") if out.suffix else out / "reverse.gif", n, how, given)
        if out.suffix == ".gif":
            return
    with bar("sampling", n) as advance:
        images = model.sample(n, how, progress=advance, **given).cpu().float()
    labels = model.with_defaults(n, given).get("label")
    columns = len(model.classes) if labels is not None and "label" not in given and len(model.classes) <= COLUMNS else None
    save(images, out, None if labels is None else labels.tolist(), columns)
    print(f"{out}: {n:,} samples in {duration(time.perf_counter() - began)}")


def film(model: Any, out: Path, n: int, how: Any, given: dict[str, Any]) -> None:
    """Writes the reverse process of the first samples."""
    from torch import Tensor

    from ..figures import reverse_gif

    shown = min(n, FRAMES)
    some = {key: value[:shown] if isinstance(value, (Tensor, list)) else value for key, value in given.items()}
    print(reverse_gif(model, out, shown, sampling=how, **some))


def check_out(out: Path, *others: str) -> None:
    """Raises Usage where `out` is no kind of picture, folder or other file that can be written, and Problem where nothing may be put there."""
    from ..figures import check
    from ..files import vacant

    if out.suffix == "":
        vacant(out)
    elif out.suffix not in others:
        check(out)
