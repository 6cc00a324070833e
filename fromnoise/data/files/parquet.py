"""Parquet tables of pictures, as data sets on the web are often published, laid out as a folder that `folder` reads."""

import io
import json
import re
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image

from ...errors import Problem, Usage
from ...files import vacant
from ...progress import track
from .folder import named
from .header import DAMAGE
from .metadata import COLUMNS

IMAGES, LABELS = ("image", "img", "picture", "jpg", "png"), ("label", "labels", "class", "fine_label")  # columns, the likeliest first
SPLIT = re.compile(r"(?:^|[-_./])(train|test|validation|valid|val)(?=[-_./0-9]|$)")
TESTS = ("test", "validation", "valid", "val")
AT_ONCE = 256  # rows


def pyarrow() -> Any:
    """The library's part that reads these files. Raises Problem where it is not installed."""
    try:
        import pyarrow.parquet
    except ImportError as error:
        raise Problem('parquet files need pyarrow; run pip install "fromnoise[parquet]"') from error
    return pyarrow.parquet


def unpack(source: str | Path, target: str | Path, image: str | None = None, label: str | None = None, text: str | None = None) -> list[str]:
    """Writes the pictures of a parquet file, or of all below a folder, into a folder, bytes as they are, with class folders and metadata.jsonl; what was done.

    The files of a split, by their names, go into train/ and test/, where there are both. image, label, text: the columns, found by their names unless they are
    said; label "" takes none. Raises Problem where there is no such column, or none of the pictures can be read.
    """
    source, target = Path(source).expanduser(), Path(target).expanduser()
    files = sorted(source.rglob("*.parquet")) if source.is_dir() else [source]
    if not files or not files[0].is_file():
        raise Problem(f"{source}: no parquet file; name one, or a folder of them")
    splits = {file: split_of(file.relative_to(source) if file != source else Path(file.name)) for file in files}
    both = {*splits.values()} >= {"train", "test"}
    counts, broken, ignored = Counter[str](), dict[str, str](), dict[str, None]()
    vacant(target).parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as place:
        for file in files:
            columns, split = Columns(file, image, label, text), splits[file] if both else ""
            ignored |= dict.fromkeys(columns.others)
            counts[split] += columns.unpack(Path(place, target.name, split), broken)
        if not counts.total():
            raise Problem(f"none of the {len(broken)} pictures of {source} can be read ({named(broken)}); look at its columns, and say --image COLUMN")
        Path(place, target.name).replace(target)
    lines = [f"{target}: {counts.total():,} pictures" + (f" ({counts['train']:,} train, {counts['test']:,} test)" if both else "")]
    lines += [f"left out: {len(broken):,} rows that hold no picture ({named(broken)})"] if broken else []
    return lines + ([f"not used: the column{'s' * (len(ignored) > 1)} {', '.join(ignored)}"] if ignored else [])


def split_of(name: Path) -> str:
    """The split that a file's name is of, train or test; train where it says none."""
    found = SPLIT.findall(name.with_suffix("").as_posix().lower())
    return "test" if found and found[-1] in TESTS else "train"


class Columns:
    """What the columns of a file are, and its rows."""

    def __init__(self, file: Path, image: str | None, label: str | None, text: str | None):
        try:
            self.table = pyarrow().ParquetFile(file)
        except (OSError, ValueError) as error:  # pyarrow's own are of these
            raise Problem(f"{file} is no parquet file, or cut short; fetch it again") from error
        self.file, self.names, self.count = file, self.table.schema_arrow.names, self.table.metadata.num_rows
        self.image = self.column("image", image, IMAGES)
        self.label, self.text = self.column("label", label, LABELS, False), self.column("text", text, COLUMNS["text"], False)
        if self.image is None:
            raise Problem(f"{file} has no column of pictures ({', '.join(self.names)}); say which one holds them, as in --image COLUMN")
        self.others = [name for name in self.names if name not in (self.image, self.label, self.text)]
        self.classes = self._classes()

    def column(self, what: str, said: str | None, usual: tuple[str, ...], needed: bool = True) -> str | None:
        """The column that is said, or else the first of the usual names that there is."""
        if said and said not in self.names:
            raise Usage(f"{self.file} has no column {said!r} for --{what}; it has {', '.join(self.names)}")
        return said if said is not None else next((name for name in usual if name in self.names), None)

    def _classes(self) -> list[str]:
        """The names of class numbers, which `datasets` keeps in the file."""
        with suppress(KeyError, TypeError, ValueError):
            features = json.loads((self.table.schema_arrow.metadata or {})[b"huggingface"])["info"]["features"]
            return [str(name) for name in features[self.label]["names"]]
        return []

    def unpack(self, home: Path, broken: dict[str, str]) -> int:
        """Writes all pictures, and what is said of them, into a folder; how many. Rows without one go into `broken`, with the reason."""
        home.mkdir(parents=True, exist_ok=True)
        wanted, count = [name for name in (self.image, self.label, self.text) if name], 0
        parts = self.table.iter_batches(AT_ONCE, columns=wanted)
        with open(home / "metadata.jsonl", "a", encoding="utf-8") as rows:
            for number, row in enumerate(track((row for part in parts for row in part.to_pylist()), self.file.name, self.count)):
                try:
                    content, ending = self.picture(row)
                except DAMAGE as error:
                    broken[f"{self.file.name} row {number}"] = str(error) or type(error).__name__
                    continue
                name = f"{self.folder(row)}{self.file.stem}-{number:06d}{ending}"
                (home / name).parent.mkdir(exist_ok=True)
                (home / name).write_bytes(content)
                words = row.get(self.text) if self.text else None
                if words is not None:
                    rows.write(json.dumps({"file_name": name, "text": words if isinstance(words, list) else str(words)}, ensure_ascii=False) + "\n")
                count += 1
        if not (home / "metadata.jsonl").stat().st_size:
            (home / "metadata.jsonl").unlink()
        return count

    def picture(self, row: Mapping[str, Any]) -> tuple[bytes, str]:
        """A row's picture, and the ending of its file. Raises one of DAMAGE where there is none."""
        value = row[self.image]
        content = value.get("bytes") if isinstance(value, Mapping) else value
        if not isinstance(content, bytes):
            raise ValueError("it holds no bytes of a picture")
        with Image.open(io.BytesIO(content)) as opened:
            return content, {"JPEG": ".jpg", "TIFF": ".tif"}.get(opened.format or "", f".{(opened.format or 'png').lower()}")

    def folder(self, row: Mapping[str, Any]) -> str:
        """The folder of a row's class, with its slash; "" where it has none."""
        value = row.get(self.label) if self.label else None
        if value is None:
            return ""
        known = isinstance(value, int) and 0 <= value < len(self.classes)
        return (re.sub(r"[^\w .-]", "_", self.classes[value] if known else str(value)).strip(". ") or "_") + "/"
