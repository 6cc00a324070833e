"""A progress bar for what turns out to take long."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")
PATIENCE = 1.0  # seconds before a bar appears


def track(items: Iterable[T], words: str, total: int, size: bool = False) -> Iterator[T]:
    """`items`, with a rich progress bar on stderr once they take longer than a second; `size` counts their lengths as bytes."""
    bar, done, began = None, 0, time.monotonic()
    try:
        for item in items:
            yield item
            done += len(item) if size else 1  # type: ignore[arg-type]
            if bar is None and sys.stderr.isatty() and time.monotonic() - began > PATIENCE:
                bar = _bar(words, total, size)
            if bar is not None:
                bar.update(bar.task_ids[0], completed=done)
    finally:
        if bar is not None:
            bar.stop()


def _bar(words: str, total: int, size: bool):
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), DownloadColumn() if size else MofNCompleteColumn(), TimeRemainingColumn()
    bar = Progress(*columns, console=Console(stderr=True), transient=True)
    bar.add_task(words, total=total or None)
    bar.start()
    return bar
