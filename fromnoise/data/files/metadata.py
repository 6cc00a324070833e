"""What is written about pictures: rows of metadata.jsonl and its like, and a text beside each picture."""

import csv
import io
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from ...errors import Problem
from ...files import parse_json
from .header import ENDINGS

METADATA = tuple(f"{name}.{ending}" for name in ("metadata", "captions") for ending in ("jsonl", "csv", "json"))  # the best first
COLUMNS = {"file_name": ("file_name", "filename", "file", "image", "path"), "text": ("text", "caption", "prompt", "captions"), "label": ("label", "class")}
ANNOTATIONS = "annotations"  # the folder of COCO's captions, which are of pictures elsewhere
BESIDE = (".txt", ".caption")  # endings of a caption beside its picture
Row = tuple[str, str, dict[str, Any]]  # where it is written, the picture's name, what is said of it


def word(name: str) -> str:
    """A name as text, in one Unicode form however it is spelt on disk, bytes that are no UTF-8 written out."""
    return unicodedata.normalize("NFC", name).encode("utf-8", "backslashreplace").decode()


def bare(name: str) -> str:
    """A file's name without its ending, in one Unicode form."""
    return unicodedata.normalize("NFC", os.path.splitext(name)[0])


def described(root: Path, files: Iterable[str], metadata: Iterable[str]) -> tuple[list[Row], list[str], int]:
    """The rows about pictures below `root`, in the order of their names; the columns that mean nothing here; how many annotations are of no picture here.

    metadata: relative names; of one above `root`, only the rows about pictures below it. A picture that is not where its row says is looked for by its bare name
    below. Of several captions, each makes a row. Raises Problem where a row names no file, or one that is not there.
    """
    known, found, ignored, absent = {unicodedata.normalize("NFC", name): name for name in files}, list[Row](), dict[str, None](), 0
    lone = _by_last(known)
    for name in metadata:
        home, above = os.path.dirname(name), name.startswith("../")
        if apart := os.path.basename(home) == ANNOTATIONS:
            home = os.path.dirname(home)
        for where, row in _rows(root / name):
            said = {key: next((row[other] for other in names if row.get(other) is not None), None) for key, names in COLUMNS.items()}
            used = {next((other for other in names if row.get(other) is not None), None) for names in COLUMNS.values()}
            ignored |= dict.fromkeys(key for key, value in row.items() if key not in used and value is not None)
            if not isinstance(file := said["file_name"], str):
                raise Problem(f'{where}: no file_name; every row needs one, as in {{"file_name": "a.png", "text": "a cat"}}')
            relative = os.path.normpath(os.path.relpath(root / home / file, root) if above else os.path.join(home, file)).replace(os.sep, "/")
            if above and not apart and relative.startswith("../"):
                continue
            here = known.get(unicodedata.normalize("NFC", relative))
            if here is None and (apart or not (root / relative).is_file()):
                here = lone.get(unicodedata.normalize("NFC", os.path.basename(relative)))
                if here is None and apart:
                    absent += 1
                    continue
                if here is None or not (apart or here.startswith(home and f"{home}/")):
                    raise Problem(f"{where}: {file} does not exist; remove the row, or put the file there")
            texts = said["text"] if isinstance(said["text"], list) and said["text"] else [said["text"]]
            found += [(where, here or relative, said | {"text": text}) for text in texts]
        if not found and not above and not apart:
            raise Problem(f"{root / name} is empty; write a row for each picture, or remove it")
    return sorted(found, key=lambda row: row[1]), list(ignored), absent


def _by_last(known: Mapping[str, str]) -> dict[str, str]:
    """The files whose last name no other has, by that."""
    counts = Counter(map(os.path.basename, known))
    return {last: file for name, file in known.items() if counts[last := os.path.basename(name)] == 1}


def captions(path: Path) -> Iterator[str]:
    """All texts of a file of metadata, in its order, whatever pictures they are of; raises Problem where a row has none that is one."""
    for where, row in _rows(path):
        text = next((row[name] for name in COLUMNS["text"] if row.get(name) is not None), None)
        for one in text if isinstance(text, list) else [text]:
            if not isinstance(one, str):
                raise Problem(f"{where}: {'no text; every row needs one' if one is None else f'a caption is words in quotes, not {str(one)[:40]}'}")
            yield one


def column(rows: Sequence[Row], key: str) -> list[Any] | None:
    """The values of one column, or None where no row has it. Raises Problem where only some have, or a text is none."""
    values = [row[key] for _, _, row in rows]
    if all(value is None for value in values):
        return None
    if None in values:
        raise Problem(f"{rows[values.index(None)][0]}: no {key}, though other rows have one; give it to every row, or to none")
    if key == "text" and (bad := next(((where, row[key]) for where, _, row in rows if not isinstance(row[key], str)), None)):
        raise Problem(f"{bad[0]}: a caption is words in quotes, not {str(bad[1])[:40]}")
    return values


def beside(root: Path, files: Sequence[str], texts: Mapping[str, str]) -> tuple[str, ...]:
    """The caption of each picture from the text of its name, empty where there is none; raises Problem where one cannot be read."""
    found = []
    for name in files:
        text = texts.get(bare(name))
        found.append(" ".join(content_of(root / text).split()) if text else "")
    return tuple(found)


def content_of(path: Path) -> str:
    """A file's text, which is UTF-8 with a mark of its order or without; raises Problem where it is not, or cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise Problem(f"{path} is not UTF-8 text; save it as UTF-8") from error
    except OSError as error:
        raise Problem(f"cannot read {path}: {error.strerror}") from error


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """(where, row) of a file of metadata: CSV, JSON objects one a line, or one JSON document."""
    content = content_of(path)
    if path.suffix.lower() == ".csv":
        return _cells(path, io.StringIO(content, newline=""))
    document = document_of(content) if path.suffix.lower() == ".json" else None
    return _lines(path, io.StringIO(content, newline="")) if document is None else _entries(path, document)


def document_of(content: str) -> Any:
    """A JSON document of rows, as COCO's captions are too, or of a mapping from pictures to what is said of them; None where it is another text."""
    try:
        document = parse_json(content)
    except ValueError:
        return None
    if isinstance(document, dict) and {"images", "annotations"} <= set(document):
        with suppress(KeyError, TypeError):  # it is something else then
            names = {image["id"]: image["file_name"] for image in document["images"]}
            return [{"file_name": names.get(said["image_id"], str(said["image_id"])), "text": said["caption"]} for said in document["annotations"]]
    return None if isinstance(document, dict) and any(key in document for key in COLUMNS["file_name"]) else document


def is_about_pictures(path: Path) -> bool:
    """Whether a .json of that name holds rows, or a mapping from pictures, rather than settings of somebody's; other endings always do."""
    try:
        document = document_of(path.read_text(encoding="utf-8-sig")) if path.suffix.lower() == ".json" else None
    except (OSError, UnicodeDecodeError):
        return True  # what is wrong is said when it is read
    return not isinstance(document, dict) or any(key.lower().endswith(ENDINGS) for key in document)


def _entries(path: Path, document: Any) -> Iterator[tuple[str, dict[str, Any]]]:
    pairs = document.items() if isinstance(document, dict) else enumerate(document, 1) if isinstance(document, list) else [(1, document)]
    for key, value in pairs:
        row = {"text": value} if isinstance(value, str) and isinstance(key, str) else value
        if not isinstance(row, dict):
            raise Problem(f'{path} entry {key}: no JSON object; write {{"file_name": ..., "text": ...}} for each picture')
        yield f"{path} entry {key}", ({"file_name": key} if isinstance(key, str) else {}) | row


def _lines(path: Path, lines: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    for i, line in enumerate(lines, 1):
        try:
            row = parse_json(line) if line.strip() else {}
        except json.JSONDecodeError as error:
            raise Problem(f"{path} line {i}: {error.msg} in column {error.colno}; every line must be one JSON object") from error
        if not isinstance(row, dict):
            raise Problem(f'{path} line {i} is no JSON object; write {{"file_name": ..., "text": ...}} on each line')
        if line.strip():
            yield f"{path} line {i}", row


def _cells(path: Path, lines: io.StringIO) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of a CSV, separated by what its first line holds most of, without blanks around names and values; an empty label is none."""
    first = lines.readline()
    lines.seek(0)
    rows = csv.DictReader(lines, delimiter=max(",;\t", key=first.count))
    try:
        for row in rows:
            if any(row.get(None) or ()):  # type: ignore[call-overload]
                raise Problem(f"{path} line {rows.line_num}: more cells than columns; put a text with commas in quotes")
            cells = {key.strip(): value.strip() for key, value in row.items() if key is not None and value is not None}
            yield f"{path} line {rows.line_num}", {key: value for key, value in cells.items() if value or key in COLUMNS["text"]}
    except csv.Error as error:
        raise Problem(f"{path} line {rows.reader.line_num}: {error}; look for a quote that is never closed") from error
