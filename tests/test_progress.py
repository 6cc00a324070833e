import re
from pathlib import Path

import pytest

import fromnoise
from fromnoise import progress
from fromnoise.progress import bar, console, duration, track


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.234, "0.23 s"), (9.99, "9.99 s"), (45.4, "45 s"), (119, "119 s"), (120, "2 min"), (3599, "1 h 0 min"), (12_000, "3 h 20 min"), (3.6e7, "10,000 h 0 min")],
)  # fmt: skip
def test_durations(seconds, words):
    assert duration(seconds) == words


def shown(monkeypatch, terminal: bool) -> list[int | str]:
    """What a bar that is due at once is made to show."""
    seen: list[int | str] = []

    class Fake:
        task_ids = (0,)

        def update(self, task, completed):
            seen.append(completed)

        def stop(self):
            seen.append("stopped")

    monkeypatch.setattr(progress, "PATIENCE", -1.0)
    monkeypatch.setattr(progress, "_start", lambda words, total, size: Fake())
    monkeypatch.setattr("sys.stderr.isatty", lambda: terminal, raising=False)
    return seen


def test_a_bar_counts_and_goes_even_where_something_fails(monkeypatch):
    seen = shown(monkeypatch, terminal=True)
    assert list(track("abc", "letters", 3)) == ["a", "b", "c"] and seen == [1, 2, 3, "stopped"]
    seen.clear()
    assert list(track(["ab", "cde"], "bytes", 5, size=True)) == ["ab", "cde"] and seen == [2, 5, "stopped"]
    seen.clear()
    with pytest.raises(ZeroDivisionError), bar("dividing", 2) as advance:
        advance(1)
        1 / 0  # noqa: B018
    assert seen == [1, "stopped"]


def test_there_is_one_bar_at_a_time_and_it_goes_when_all_is_done(monkeypatch):
    """Rich before 14.1 cannot show two."""
    seen = shown(monkeypatch, terminal=True)
    with bar("outer", 2) as advance:
        advance(1)
        assert list(track("ab", "inner", 2)) == ["a", "b"] and seen == [1]
        advance(2)
        assert seen == [1, 2, "stopped"]
        assert list(track("ab", "inner", 2)) == ["a", "b"] and seen[3:] == [1, 2, "stopped"]
        advance(2)
    assert len(seen) == 6


def test_no_bar_without_a_terminal(monkeypatch):
    seen = shown(monkeypatch, terminal=False)
    assert list(track("abc", "letters", 3)) == ["a", "b", "c"] and not seen


def test_there_is_one_console_and_it_prints_words_as_they_are(capsys):
    """Markup in a caption is somebody's caption: nothing else may make a console, or a column that reads markup."""
    console(width=80).print("[/x] [bold]a[/bold] :smile: \\[v]", style="yellow")
    assert capsys.readouterr().out == "[/x] [bold]a[/bold] :smile: \\[v]\n"
    for file in Path(fromnoise.__file__).parent.rglob("*.py"):
        source = file.read_text()
        assert file.name == "progress.py" or not re.search(r"\bConsole\(|from rich import print|rich\.print|from rich\.progress import track", source), file
        assert all("markup=False" in line for line in source.splitlines() if "TextColumn(" in line), file
