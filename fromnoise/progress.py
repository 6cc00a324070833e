"""What is shown on a terminal: words as they are, progress bars, durations."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import rich.console

T = TypeVar("T")
PATIENCE = 1.0  # seconds before a bar appears
_shown: list[Any] = []  # the bar that is on the terminal: only one can be


@contextmanager
def bar(words: str, total: int, size: bool = False) -> Iterator[Callable[[int], None]]:
    """Within it, `advance(done)` moves a progress bar on stderr, which appears on a terminal after a second, unless another is there, and goes
    when all is done; `size` counts bytes."""
    shown, began = None, time.monotonic()

    def advance(done: int) -> None:
        nonlocal shown
        if shown is None and not _shown and (done < total or not total) and sys.stderr.isatty() and time.monotonic() - began > PATIENCE:
            shown = _start(words, total, size)
            _shown.append(shown)
        if shown is not None:
            shown.update(shown.task_ids[0], completed=done)
            if done >= total > 0:
                stop()

    def stop() -> None:
        nonlocal shown
        if shown is not None:
            shown.stop()
            _shown.remove(shown)
            shown = None

    try:
        yield advance
    finally:
        stop()


def track(items: Iterable[T], words: str, total: int, size: bool = False) -> Iterator[T]:
    """`items`, with a `bar` that counts them; `size` counts their lengths as bytes."""
    with bar(words, total, size) as advance:
        done = 0
        for item in items:
            yield item
            done += len(item) if size else 1  # type: ignore[arg-type]
            advance(done)


def console(**how: Any) -> "rich.console.Console":
    """The one console: words are printed as they are, since a caption or a folder may be called [/x] or :smile:; style is given by `style=` alone."""
    from rich.console import Console

    return Console(markup=False, emoji=False, highlight=False, **how)


def _start(words: str, total: int, size: bool):
    from rich.progress import BarColumn, DownloadColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    text, counted = TextColumn("{task.description}", markup=False), DownloadColumn() if size else MofNCompleteColumn()
    shown = Progress(text, BarColumn(), counted, TimeRemainingColumn(), console=console(stderr=True), transient=True)
    shown.add_task(words, total=total or None)
    shown.start()
    return shown


def duration(seconds: float) -> str:
    """0.23 s, 45 s, 12 min, 3 h 20 min."""
    if seconds < 119.5:
        return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.0f} s"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours:,} h {minutes} min" if hours else f"{minutes} min"


def byte_size(n: int) -> str:
    """Bytes in words, in GiB or MiB."""
    return f"{n / 2**30:,.2f} GiB" if n >= 2**30 else f"{n / 2**20:,.0f} MiB"
