"""`fromnoise data …`: data, looked at before training on it, and hints made of pictures."""

from pathlib import Path
from typing import Annotated

from ..errors import Problem, Usage, nearest
from ..registry import lookup
from . import lib, words
from .command import command, data_app, names
from .options import Argument, Option, Out

Data = Annotated[Path, Argument(help="A folder of pictures, clips, sounds, texts, signals, scans or meshes, MNIST-like or CIFAR files; an .npz, .npy, .csv, .txt.")]
Minutes = Annotated[float, Option("--minutes", "-m", help="How long training may take.", min=0.5, max=100_000)]
Picture = Annotated[Path, Argument(help="A picture file.")]
Hint = Annotated[str, Argument(metavar="HINT", help=f"{names('conditions.hints.HINTS')}.")]
Size = Annotated[str | None, Option("--size", help="WIDTHxHEIGHT, or a side: cropped and resized to it first; as it is unless said.")]
Column = Annotated[str | None, Option(help="The column; found by its usual names unless said.")]
Channels = Annotated[str, Option("--channels", help="How the picture is read: rgb or grey.")]


@command(data_app, "data inspect photos/", "data inspect photos/ --minutes 10 --out photos.yaml && fromnoise train photos.yaml")
def inspect(path: Data, minutes: Minutes = 10.0, out: Annotated[Path | None, Option("--out", "-o", help="Write the proposed recipe here.")] = None) -> None:
    """Count, measure and check data, and propose a recipe that trains on it as it is, in the time that there is; this machine is measured for it."""
    from ..data.inspect.report import report

    recipes = report(path, minutes, lib.training.speed, name=out and out.stem)
    files = {out.with_stem(name): recipe for name, recipe in recipes.items()} if out else {}
    if there := next((file for file in files if file.exists()), None):
        raise Problem(f"{there} is there already; choose another --out, or remove it")
    for file, recipe in files.items():
        with lib.files.replacing(file) as temporary:
            temporary.write_text(recipe)
        print(f"{file}: train it with  fromnoise train {file}")


@command(data_app, "data unpack train-00000-of-00001.parquet photos/", "data unpack celeba-parquet/ celeba/ && fromnoise train celeba64 data.path=celeba")
def unpack(source: Annotated[Path, Argument(help="A .parquet file, or a folder of them.")], folder: Annotated[Path, Argument(help="The folder to write.")],
           image: Column = None, label: Column = None, text: Column = None) -> None:  # fmt: skip
    """Lay out pictures that are published as parquet tables as a folder, bytes as they are: classes as sub-folders, captions in metadata.jsonl."""
    from ..data.files import parquet

    print(*parquet.unpack(source, folder, image, label, text), sep="\n")


@command(data_app, "data hint photo.jpg edges --size 32 -o edges.png")
def hint(picture: Picture, name: Hint, size: Size = None, channels: Channels = "rgb", out: Out = Path("hint.png")) -> None:
    """Make a hint of a picture, as `sample --control` takes it."""
    from ..conditions.hints import HINTS
    from ..data.files import pictures

    if channels not in pictures.CHANNELS:
        raise Usage(f"no channels {channels!r}{nearest(channels, pictures.CHANNELS)}")
    make, (_, count) = lookup(HINTS, name, "hint"), pictures.CHANNELS[channels]
    sides = size and words.size(size)
    lib.figures.check(out)
    print(lib.figures.save(make(pictures.picture(picture, count, sides)[None], None), out))
