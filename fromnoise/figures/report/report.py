"""A run's report: one page that needs nothing but itself, written from whatever the run folder holds."""

import io
import json
import math
from html import escape
from pathlib import Path
from typing import Any

from PIL import Image, ImageSequence

from ...files import replacing
from ...progress import duration
from ...runs.log import Log, read
from ..animation import gif
from ..curves import held_out, loss, rate, speed
from ..figure import figure, short, svg
from ..process import evenly
from ..progress import grids
from . import page

GRIDS = 6  # over training
EVENTS = 100  # rows, at most
PICTURE, ANIMATION, TRAINING = 450_000, 900_000, 120_000  # bytes that a final grid, a GIF and an earlier grid may take: under 3 MB in all


def report(run: str | Path) -> Path:
    """Writes `report.html` into a run folder and returns its path: what was trained, on what, how it went, and what it makes.

    Works on a run cut off at any moment: what is not there yet is said to be missing.
    """
    run = Path(run)
    log, config = read(run), _text(run / "config.yaml")
    environment, summary = _json(run / "environment.json", dict), _json(run / "summary.json", dict)
    name, author = run.resolve().name, f"fromnoise {environment.get('version', '')}".strip()
    body = [
        _headline(name, log, environment, summary, config),
        page.section("Samples", _samples(run)),
        page.section("Curves", _curves(log)),
        page.section("Over training", _training(run)),
        page.section("Evaluation", _evaluation(_json(run / "evaluation.json", dict))),
        page.section("Configuration", f"<pre>{escape(_tidy(config))}</pre>" if config else page.missing("config.yaml is missing.")),
        page.section("Machine and versions", _environment(environment)),
        page.section("Events", _events(log)),
        f"<footer>Written by {escape(author)}. It loads nothing from elsewhere.</footer>",
    ]
    target = run / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page.page(f"{name} · fromnoise", body), encoding="utf-8")
    return target


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def _json(file: Path, kind: type) -> Any:
    """The file's content where it is whole and of this type, else an empty one."""
    try:
        found = json.loads(_text(file) or "null")
    except json.JSONDecodeError:
        return kind()
    return found if isinstance(found, kind) else kind()


def _headline(name: str, log: Log, environment: dict, summary: dict, config: str) -> str:
    last = log.last
    trained = log.training[-1] if log.training else {}
    held = summary.get("held_out", log.held_out[-1]["held_out"] if log.held_out else None)
    seconds, images = summary.get("seconds", last.get("seconds")), summary.get("images", last.get("images"))
    pace = summary.get("images_per_second", trained.get("images_per_second"))
    figures = [
        ("parameters", _count(summary.get("parameters"))),
        ("steps", _whole(summary.get("steps", last.get("step")))),
        ("images seen", _count(images)),
        ("of training", _duration(seconds)),
        ("images per second", _whole(pace)),
        ("held-out loss", _figure(held)),
    ]
    tiles = "".join(f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for label, value in figures if value)
    where = [environment.get("device"), environment.get("machine"), environment.get("started")]
    commit = environment.get("commit")
    where += [f"commit {commit}"] if commit else []
    line = " · ".join(escape(str(part)) for part in where if part) or "environment.json is missing"
    box = f'<div class="tiles">{tiles}</div>' if tiles else page.missing("Nothing has been logged yet.")
    sketch = _sketch(config)
    words = f"<p>{escape(sketch)}</p>" if sketch else ""
    return f'<header><h1>{escape(name)}<span class="state">{escape(_state(log))}</span></h1>{words}<p class="soft">{line}</p>{box}</header>'


def _state(log: Log) -> str:
    said = [e["event"] for e in log.events if e["event"] in ("started", "resumed", "stopped", "finished")]
    last = said[-1] if said else ""
    return {"finished": "finished", "stopped": "stopped, can go on"}.get(last, "not finished")


def _sketch(config: str) -> str:
    """The run in one line: data, network, prediction, schedule, sampler."""
    import yaml

    try:
        parts = yaml.safe_load(config)
    except yaml.YAMLError:
        return ""
    if not isinstance(parts, dict):
        return ""
    found = []
    for key, words in (("data", "{}"), ("network", "{}"), ("predict", "predicts {}"), ("noise", "{} schedule"), ("sample", "drawn by {}")):
        node = parts.get(key)
        value = node.get("name") if isinstance(node, dict) else node
        found += [words.format(value)] if isinstance(value, str) else []
    return " · ".join(found)


def _tidy(config: str) -> str:
    """The settings as a recipe is written, one line a choice; as they are where they cannot be read."""
    import yaml

    try:
        return yaml.safe_dump(yaml.safe_load(config), default_flow_style=None, sort_keys=False, allow_unicode=True, width=110)
    except yaml.YAMLError:
        return config


def _samples(run: Path) -> str:
    final = page.picture(run / "samples" / "final.png", "Samples from fixed noise, at the end of training.", PICTURE)
    words = "From noise to data: what is being denoised (left), and the model's estimate of the end (right)."
    moving = _animation(run / "samples" / "reverse.gif", words)
    drawn = [part for part in (final, moving) if part]
    gone = [what for what, part in (("samples/final.png", final), ("samples/reverse.gif", moving)) if not part]
    note = page.missing(f"Missing, since drawn when training finishes: {', '.join(gone)}.") if gone else ""
    return (f'<div class="row">{"".join(drawn)}</div>' if drawn else "") + note


def _animation(file: Path, caption: str) -> str | None:
    """A GIF as a figure; a heavy one loses frames until it is light enough. None where it cannot be read, or stays heavy."""
    try:
        data = file.read_bytes()
        with Image.open(io.BytesIO(data)) as opened:
            size = opened.size
            frames = [frame.convert("RGB") for frame in ImageSequence.Iterator(opened)] if len(data) > ANIMATION else []
    except (OSError, SyntaxError, ValueError, EOFError):
        return None
    count = len(frames)
    while len(data) > ANIMATION:
        count = int(count * min(0.8, ANIMATION / len(data)))
        if count < 4:
            return None
        light = file.with_name(".report.gif")
        try:
            data = gif([_grey(frames[i]) for i in evenly(len(frames), count)], light).read_bytes()
        finally:
            light.unlink(missing_ok=True)
    return page.image(data, "gif", size, caption)


def _grey(frame: Image.Image) -> Image.Image:
    """The frame as L where it holds no colour."""
    red, green, blue = frame.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else frame


def _curves(log: Log) -> str:
    if not log.training and not log.held_out:
        return page.missing("No loss has been logged yet.")
    logs = {"run": log}
    panels = [("loss", "Training and held-out loss", lambda axes: loss(axes, logs))]
    if any(entry.get("held_out_by_level") for entry in log.held_out):
        panels.append(("levels", "Held-out loss by noise level", lambda axes: held_out(axes, log)))
    if log.training:
        panels.append(("rate", "Learning rate", lambda axes: rate(axes, logs)))
        panels.append(("speed", "Images per second", lambda axes: speed(axes, logs)))
    drawn = []
    for salt, words, draw in panels:
        made, (axes,) = figure()
        draw(axes)
        drawn.append(page.plot(svg(made, salt), words))
    note = "" if log.held_out else page.missing("No held-out loss has been taken yet.")
    return f'<div class="row">{"".join(drawn)}</div>{note}'


def _training(run: Path) -> str:
    found = grids(run)
    chosen = [found[i] for i in evenly(len(found), GRIDS)] if found else []
    drawn = [page.picture(file, f"step {step:,}", TRAINING) for step, file in chosen]
    drawn = [part for part in drawn if part]
    if not drawn:
        return page.missing("No grid has been drawn yet.")
    return f'<p class="soft">The same noise, sampled as training went on.</p><div class="row small">{"".join(drawn)}</div>'


def _evaluation(card: dict) -> str:
    rows = [row for row in _list(card.get("rows")) if isinstance(row, dict)]
    if not rows:
        return page.missing("Not evaluated yet: `fromnoise evaluate RUN` adds its card here.")
    pairs = (("value", "error"), ("floor", "floor_error"))
    cells = [(row.get("metric", ""), *(_with_error(row.get(key), row.get(error)) for key, error in pairs)) for row in rows]
    sampling = card.get("sampling") if isinstance(card.get("sampling"), dict) else {}
    when = [f"at step {card['step']:,}"] if _is_number(card.get("step")) else []
    when += [f"{card['weights']} weights"] if card.get("weights") else []
    when += [f"{key} {value}" for key, value in sampling.items()]
    said = [", ".join([str(card.get("title", "")), *when]).strip(", "), card.get("protocol"), *_list(card.get("notes"))]
    notes = "".join(page.missing(str(words)) for words in said if words)
    return page.table(("metric", "value", "real against real"), cells, right=(1, 2)) + notes


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _with_error(value: Any, error: Any) -> str:
    return _figure(value) + (f" ± {error:.1g}" if _is_number(error) else "")


def _environment(environment: dict) -> str:
    if not environment:
        return page.missing("environment.json is missing.")
    return page.facts([(str(key), str(value)) for key, value in environment.items() if value is not None])


def _events(log: Log) -> str:
    rows = [(f"{e['step']:,}", _duration(e.get("seconds")), e["event"], e.get("why") or "") for e in log.events if e["event"] != "saved"]
    saved = sum(e["event"] == "saved" for e in log.events)
    if not rows:
        return page.missing("Nothing out of the ordinary." if log.training else "None yet.")
    left = len(rows) - EVENTS
    note = f'<p class="soft">The last {EVENTS} of {len(rows):,}.</p>' if left > 0 else ""
    note += f'<p class="soft">Saved {saved:,} times.</p>' if saved else ""
    return note + page.table(("step", "time", "event", "why"), rows[-EVENTS:], right=(0, 1))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _figure(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.4g}" if _is_number(value) else str(value)


def _duration(value: Any) -> str:
    return duration(value) if _is_number(value) else ""


def _count(value: Any) -> str:
    return short(value) if _is_number(value) else ""


def _whole(value: Any) -> str:
    return f"{value:,.0f}" if _is_number(value) else ""
