"""An inspection as text for the terminal, and a recipe that suits the pictures, with the reason for each setting."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from ... import progress
from .inspect import Inspection, inspect

SHOWN = 12  # classes listed by name
SIDES = (32, 64, 128, 256)
ON_CPU, ON_GPU = 64, 256  # the largest side proposed
NOT_WORDS = ("true", "false", "null", "yes", "no", "on", "off")  # in YAML
SIDEWAYS = re.compile(r"\b(left|right|leftwards?|rightwards?|clockwise|counterclockwise|anticlockwise)\b", re.IGNORECASE)


def report(path: str | Path, console: Console | None = None) -> str:
    """Inspect `path`, print what it holds, and return the proposed recipe (YAML)."""
    found, console = inspect(path), console or progress.console()
    rows = Table(show_header=False, box=None, pad_edge=False)
    rows.add_column(style="bold", no_wrap=True)
    rows.add_column(overflow="fold")
    for question, answer in _rows(found):
        rows.add_row(question, answer)
    console.print(rows)
    for warning in found.warnings():
        console.print(f"! {warning}", style="yellow", soft_wrap=True)
    recipe = propose(found)
    console.print(f"\n{recipe}", soft_wrap=True, end="")
    return recipe


def _rows(found: Inspection) -> list[tuple[str, str]]:
    """What the set holds, a row for each question."""
    sizes = [f"{width}x{height}" for width, height in sorted(found.sizes.elements(), key=lambda size: size[0] * size[1])]
    (width, height), times = found.sizes.most_common(1)[0]
    ratios = sorted(width / height for width, height in found.sizes.elements())
    return [
        ("path", f"{found.path} ({found.kind})"),
        ("pictures", f"{found.count:,}" + (f" and {found.held_out:,} in a test folder" if found.held_out else "")),
        ("size", sizes[0] if len(found.sizes) == 1 else f"{sizes[0]} to {sizes[-1]}, median {sizes[len(sizes) // 2]}"),
        ("most common", f"{width}x{height}, {times / len(sizes):.0%} of them"),
        ("width/height", f"{ratios[0]:.2f} to {ratios[-1]:.2f}, median {ratios[len(ratios) // 2]:.2f}"),
        ("mode", _counted(found.modes)),
        ("bits", _counted({str(depth): n for depth, n in found.depths.items()})),
        ("values", f"{found.low:.3f} to {found.high:.3f} of full scale, mean {found.mean:.3f}"),
        ("labels", f"{len(found.labels)} classes: {_counted(found.labels)}" if found.labels else "none"),
        ("captions", f"{len(found.captions):,}, such as {found.captions[0]!r}" if found.captions else "none"),
        ("broken", str(len(found.broken))),
        ("duplicates", str(sum(len(group) - 1 for group in found.duplicates))),
        ("one colour", str(len(found.constant))),
    ]


def _counted(counts: Mapping[str, int]) -> str:
    shown = ", ".join(f"{name} {n:,}" for name, n in list(counts.items())[:SHOWN])
    return shown + (f", and {len(counts) - SHOWN} more" if len(counts) > SHOWN else "")


def _flow(section: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in section.items()) + "}"


def _scalar(value: Any) -> str:
    """A value in YAML's flow style; strings are quoted as in JSON, which YAML reads, unless they are plain words."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w./-]*", value) and value.lower() not in NOT_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)


def propose(found: Inspection) -> str:
    """The recipe that suits what was found, as YAML, with the reasons as comments."""
    reasons: list[str] = []
    data: dict[str, Any] = {"name": found.kind, ("path" if found.kind in ("folder", "npz") else "root"): str(found.path)}
    sides = [*next(iter(found.sizes))[::-1]]  # [height, width]
    if found.kind == "folder":
        sides = _sides(found.sizes, found.short_side, reasons)
        data |= {"size": sides if sides[0] != sides[1] else sides[0], "fit": _fit(found.sizes, sides, found.alpha, reasons)}
        if found.alpha:
            data |= {"channels": "rgb", "background": "white"}
            reasons.append("channels: transparent pictures are laid on white; take that setting away to learn the transparency too")
        if found.broken:
            data["skip_broken"] = True
            reasons.append("skip_broken: some files cannot be read and are left out")
    data["flip"] = _flip(found.colour, found.short_side, found.captions, reasons)
    side, labelled = max(sides), len(found.labels) > 1
    wanted = 128 if found.count >= 10_000 and side <= 32 else 64 if found.count >= 500 else 16
    batch = max(1, min(wanted, found.count * 9 // 10))  # no more than a train split of 90 % holds
    patch = 1 if side <= 16 else 2 if side <= 64 else 4
    network = {"name": "unet", "width": 64, "levels": [1, 2, 2] if side // patch >= 16 else [1, 2], "patch": patch}
    reasons.append(f"batch: {batch}, for {found.count:,} pictures of {sides[1]}x{sides[0]}")
    if found.captions:
        reasons.append(f"captions: {len(found.captions):,} are there; this recipe does not use them")
    return "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:       {_flow(data)}", f"network:    {_flow(network)}",
        *(["conditions: [{name: label, drop: 0.1}]"] if labelled else []), "predict:    v", "noise:      {name: cosine}",
        f"train:      {{minutes: 60, batch: {batch}, optimizer: muon, lr: 5.0e-3, warmup: {50 * batch}}}",
        f"sample:     {{name: dpmpp_2m, steps: 20{', guidance: 1.5' if labelled else ''}}}", "seed: 0\n",
    ])  # fmt: skip


def _sides(sizes: Mapping[tuple[int, int], int], short_side: int, reasons: list[str]) -> list[int]:
    """[height, width] to train at."""
    most = ON_GPU if torch.cuda.is_available() else ON_CPU
    if len(sizes) == 1 and max(next(iter(sizes))) <= most:
        width, height = next(iter(sizes))
        reasons.append(f"size: all pictures are {width}x{height}, and stay so")
        return [height, width]
    side = max((s for s in SIDES if s <= min(short_side, most)), default=max(8, short_side // 4 * 4))
    capped = f"; more than {most} is slow without a GPU" if short_side > most and most == ON_CPU else ""
    reasons.append(f"size: {side}, the largest of {', '.join(map(str, SIDES))} not above the median short side {short_side}{capped}")
    return [side, side]


def _fit(sizes: Mapping[tuple[int, int], int], sides: list[int], alpha: bool, reasons: list[str]) -> str:
    odd = sum(n for (width, height), n in sizes.items() if not 0.9 < width / height * sides[0] / sides[1] < 1.1)
    if alpha and odd:
        reasons.append(f"fit: pad, so that nothing is cut off {odd:,} pictures of another shape")
        return "pad"
    if odd:
        reasons.append(f"fit: crop cuts the ends off {odd:,} pictures of another shape; pad would show all of them, with bars")
    return "crop"


def _flip(colour: bool, short_side: int, captions: Sequence[str], reasons: list[str]) -> bool:
    if not colour and short_side <= 64:
        reasons.append("flip: false, since small grey pictures may be digits or letters; set it to true for anything else")
        return False
    if any(SIDEWAYS.search(caption) for caption in captions):
        reasons.append("flip: false, since captions speak of left and right")
        return False
    reasons.append("flip: mirrored pictures double the set; set it to false where left and right matter, as in text")
    return True
