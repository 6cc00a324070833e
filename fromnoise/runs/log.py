"""A run's log.jsonl, read as what it says: training, held-out loss, events."""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..files import parse_json

Entry = dict[str, Any]


@dataclass(frozen=True)
class Log:
    """The lines of a log, by kind. Where a run went back and lived steps again, only the later life is kept, and all of the events."""

    training: list[Entry] = field(default_factory=list)
    held_out: list[Entry] = field(default_factory=list)
    events: list[Entry] = field(default_factory=list)

    @property
    def last(self) -> Entry:
        """The line that is furthest, {} in an empty log."""
        return max(self.training + self.held_out + self.events, key=lambda entry: entry["step"], default={})


def entries(file: Path) -> Iterator[Entry]:
    """The lines of a log.jsonl; those that cannot be read, such as a half-written last one, are left out, and a missing file has none."""
    if not file.is_file():
        return
    for line in file.read_text(errors="replace").splitlines():
        try:
            entry = parse_json(line)
            json.dumps(entry, ensure_ascii=False).encode()  # half a letter, which no file can hold
        except (json.JSONDecodeError, UnicodeEncodeError):
            continue
        if isinstance(entry, dict) and isinstance(entry.get("step"), (int, float)) and isinstance(entry.get("event", ""), str):
            yield entry


def finite(node: Any) -> Any:
    """The node with null for every number that is not finite, which JSON does not have."""
    if isinstance(node, Mapping):
        return {key: finite(value) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [finite(value) for value in node]
    return None if isinstance(node, float) and not math.isfinite(node) else node


def read(run: str | Path) -> Log:
    """The log of a run folder."""
    log = Log()
    for entry in entries(Path(run) / "log.jsonl"):
        if "event" in entry:
            log.events.append(entry)
        for key, kind in (("loss", log.training), ("held_out", log.held_out)):
            if isinstance(entry.get(key), (int, float)):
                while kind and kind[-1]["step"] >= entry["step"]:
                    kind.pop()
                kind.append(entry)
    return log
