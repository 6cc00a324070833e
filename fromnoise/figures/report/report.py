"""A run's report: one page that needs nothing but itself, written from whatever the run folder holds."""

import io
import json
import math
from collections.abc import Callable, Mapping
from functools import partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from PIL import Image, ImageSequence

from ...files import parse_json, replacing
from ...progress import duration
from ...runs.log import Log, read
from ..animation import gif
from ..curves import MEASURED, held_out, loss, measured
from ..figure import figure, short, svg
from ..media import MEDIA
from ..picture import evenly
from ..progress import grids
from . import page

GRIDS = 6  # over training
EVENTS = 100  # rows, at most
STATES = {"started": "not finished", "resumed": "not finished", "stopped": "stopped, can go on", "finished": "finished"}
PICTURE, ANIMATION, TRAINING = 450_000, 900_000, 120_000  # bytes that a final grid, a GIF and an earlier grid may take: under 3 MB in all


def report(run: str | Path) -> Path:
    """Writes `report.html` into a run folder, cut off at any moment, and returns its path: what was trained, how it went, what it makes, what is missing."""
    run = Path(run)
    log, config, environment = read(run), _text(run / "config.yaml"), _json(run / "environment.json")
    name, author = run.resolve().name, f"fromnoise {environment.get('version', '')}".strip()
    parts, sketch, settings = _configuration(config)
    body = [
        _headline(name, log, environment, _json(run / "summary.json"), sketch),
        page.section("Samples", _samples(run, parts)),
        page.section("Curves", _curves(log)),
        page.section("Over training", _training(run)),
        page.section("Evaluation", _evaluation(_json(run / "evaluation.json"))),
        page.section("Configuration", f"<pre>{escape(settings)}</pre>" if config else page.missing("config.yaml is missing.")),
        page.section("Machine and versions", page.facts(environment) if environment else page.missing("environment.json is missing.")),
        page.section("Events", _events(log)),
        f"<footer>Written by {escape(author)}. It loads nothing from elsewhere.</footer>",
    ]
    target = run / "report.html"
    with replacing(target) as temporary:
        temporary.write_text(page.page(f"{name} · fromnoise", body), encoding="utf-8")
    return target


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    except OSError:
        return ""


def _json(file: Path) -> dict[str, Any]:
    """The file's content where it is whole and a mapping, else an empty one."""
    try:
        found = parse_json(_text(file))
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _headline(name: str, log: Log, environment: dict, summary: dict, sketch: str) -> str:
    last, trained = log.last, log.training[-1] if log.training else {}
    found = {"steps": last.get("step"), "seconds": last.get("seconds"), "images": last.get("images")}
    held = log.held_out[-1]["held_out"] if log.held_out else None
    found |= {"images_per_second": trained.get("images_per_second"), "held_out": held} | summary
    figures = {
        "parameters": _number(found.get("parameters"), short),
        "steps": _number(found["steps"], "{:,.0f}".format),
        "images seen": _number(found["images"], short),
        "of training": _number(found["seconds"], duration),
        "images per second": _number(found["images_per_second"], "{:,.0f}".format),
        "held-out loss": _figure(found["held_out"]),
    }
    tiles = "".join(f"<div><b>{escape(value)}</b><span>{escape(label)}</span></div>" for label, value in figures.items() if value)
    where = [environment.get(key) for key in ("device", "machine", "started")]
    where += [f"commit {environment['commit']}"] if environment.get("commit") else []
    line = " · ".join(escape(str(part)) for part in where if part) or "environment.json is missing"
    box = f'<div class="tiles">{tiles}</div>' if tiles else page.missing("Nothing has been logged yet.")
    state = ["not finished", *(STATES[e["event"]] for e in log.events if e["event"] in STATES)][-1]
    words = f"<p>{escape(sketch)}</p>" if sketch else ""
    return f'<header><h1>{escape(name)}<span class="state">{state}</span></h1>{words}<p class="soft">{line}</p>{box}</header>'


def _configuration(config: str) -> tuple[dict[str, Any], str, str]:
    """The run's parts; in one line (data, autoencoder, network, prediction, schedule, sampler); and as a recipe is written, as they are where unreadable."""
    import yaml

    try:
        parts = yaml.safe_load(config)
    except yaml.YAMLError:
        return {}, "", config
    words = {"data": "{}", "autoencoder": "{}", "network": "{}", "predict": "predicts {}", "noise": "{} schedule", "sample": "drawn by {}"}
    parts = parts if isinstance(parts, dict) else {}
    nodes = [parts.get(key) for key in words]
    names = [node.get("name") if isinstance(node, dict) else node for node in nodes]
    plain = ("identity", None)  # pixels
    sketch = " · ".join(word.format(name) for word, name in zip(words.values(), names, strict=False) if isinstance(name, str) and name not in plain)
    return parts, sketch, yaml.safe_dump(parts, default_flow_style=None, sort_keys=False, allow_unicode=True, width=110) if parts else config


def _samples(run: Path, parts: Mapping[str, Any]) -> str:
    if "network" not in parts and "autoencoder" in parts:  # it is trained to reconstruct
        final = page.picture(run / "samples" / "final.png", "Held-out pictures, their reconstructions, and the difference.", PICTURE)
        latents = page.picture(run / "latents.png", "What the latents are like.", PICTURE)
        return f'<div class="row">{final or ""}{latents or ""}</div>' + ("" if latents else page.missing("`fromnoise evaluate RUN` adds what the latents are like."))
    words = "From noise to data: what is being denoised (left), and the model's estimate of the end (right)."
    found = {
        "samples/final.png": page.picture(run / "samples" / "final.png", "Samples from fixed noise, at the end of training.", PICTURE),
        "samples/reverse.gif": _animation(run / "samples" / "reverse.gif", words),
    }
    medium = MEDIA.get(str(parts.get("medium")))
    if medium and medium.player and (file := run / "samples" / f"final{medium.kept}").is_file():
        found[f"samples/{file.name}"] = medium.player(file)
    drawn = "".join(part for part in found.values() if part)
    gone = ", ".join(name for name, part in found.items() if not part)
    note = page.missing(f"Missing, since drawn when training finishes: {gone}.") if gone else ""
    return (f'<div class="row">{drawn}</div>' if drawn else "") + note


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
        with TemporaryDirectory() as folder:
            data = gif([_grey(frames[i]) for i in evenly(len(frames), count)], Path(folder) / "light.gif").read_bytes()
    return page.image(data, "gif", size, caption)


def _grey(frame: Image.Image) -> Image.Image:
    """The frame as L where it holds no colour."""
    red, green, blue = frame.split()
    return red if red.tobytes() == green.tobytes() == blue.tobytes() else frame


def _curves(log: Log) -> str:
    if not log.training and not log.held_out:
        return page.missing("No loss has been logged yet.")
    logs = {"run": log}
    panels: list[tuple[str, str, Callable]] = [("loss", "Training and held-out loss", lambda axes: loss(axes, logs))]
    if any(entry.get("held_out_by_level") for entry in log.held_out):
        panels.append(("levels", "Held-out loss by noise level", lambda axes: held_out(axes, log)))
    if log.training:
        panels += [(key, title, partial(measured, logs=logs, key=key)) for key, (title, _) in MEASURED.items()]
    drawn = ""
    for salt, words, draw in panels:
        made, (axes,) = figure()
        draw(axes)
        drawn += f'<figure role="img" aria-label="{escape(words)}">{svg(made, salt)}</figure>'
    note = "" if log.held_out else page.missing("No held-out loss has been taken yet.")
    return f'<div class="row">{drawn}</div>{note}'


def _training(run: Path) -> str:
    found = grids(run)
    chosen = [found[i] for i in evenly(len(found), GRIDS)] if found else []
    drawn = [part for step, file in chosen if (part := page.picture(file, f"step {step:,}", TRAINING))]
    if not drawn:
        return page.missing("No grid has been drawn yet.")
    return f'<p class="soft">The same noise, sampled as training went on.</p><div class="row small">{"".join(drawn)}</div>'


def _evaluation(card: dict) -> str:
    rows = [row for row in _list(card.get("rows")) if isinstance(row, dict)]
    if not rows:
        return page.missing("Not evaluated yet: `fromnoise evaluate RUN` adds its card here.")
    cells = [(row.get("metric", ""), _with_error(row, "value", "error"), _with_error(row, "floor", "floor_error")) for row in rows]
    sampling = card["sampling"] if isinstance(card.get("sampling"), dict) else {}
    when = [_number(card.get("step"), "at step {:,}".format), f"{card['weights']} weights" if card.get("weights") else ""]
    when += [f"{key} {value}" for key, value in sampling.items()]
    said = [", ".join(filter(None, [str(card.get("title", "")), *when])), card.get("protocol"), *_list(card.get("notes"))]
    notes = "".join(page.missing(str(words)) for words in said if words)
    return page.table(("metric", "value", "real against real"), cells, right=(1, 2)) + notes


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _events(log: Log) -> str:
    others = [event for event in log.events if event["event"] != "saved"]
    rows = [(f"{e['step']:,}", _number(e.get("seconds"), duration), e["event"], e.get("why") or "") for e in others]
    saved = len(log.events) - len(others)
    if not rows:
        return page.missing("Nothing out of the ordinary." if log.training else "None yet.")
    note = f'<p class="soft">The last {EVENTS} of {len(rows):,}.</p>' if len(rows) > EVENTS else ""
    note += f'<p class="soft">Saved {saved:,} times.</p>' if saved else ""
    return note + page.table(("step", "time", "event", "why"), rows[-EVENTS:], right=(0, 1))


def _with_error(row: dict, key: str, error: str) -> str:
    return _figure(row.get(key)) + _number(row.get(error), " ± {:.1g}".format)


def _number(value: Any, written: Callable[[Any], str]) -> str:
    """A number as it is written; nothing where it is none."""
    finite = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return written(value) if finite else ""


def _figure(value: Any) -> str:
    return "" if value is None else _number(value, "{:.4g}".format) or str(value)
