"""A recipe that suits a set of pictures, with the reason for each setting."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from .inspect import Inspection

SIDES = (32, 64, 128, 256)
ON_CPU, ON_GPU = 64, 256  # the largest side proposed
LARGE_SET = 10_000
NOT_WORDS = ("true", "false", "null", "yes", "no", "on", "off")  # in YAML
SIDEWAYS = re.compile(r"\b(left|right|leftwards?|rightwards?|clockwise|counterclockwise|anticlockwise)\b", re.IGNORECASE)


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
    width, height = next(iter(found.sizes))
    sides = [height, width]
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
    batch, labelled = _batch(found.count, max(sides)), len(found.labels) > 1
    reasons.append(f"batch: {batch}, for {found.count:,} pictures of {sides[1]}x{sides[0]}")
    if found.captions:
        reasons.append(f"captions: {len(found.captions):,} are there; this recipe does not use them")
    lines = [
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:       {_flow(data)}",
        f"network:    {_flow(_network(max(sides)))}",
        *(["conditions: [{name: label, drop: 0.1}]"] if labelled else []),
        "predict:    v",
        "noise:      {name: cosine}",
        f"train:      {{minutes: 60, batch: {batch}, optimizer: muon, lr: 5.0e-3, warmup: {50 * batch}}}",
        f"sample:     {{name: dpmpp_2m, steps: 20{', guidance: 1.5' if labelled else ''}}}",
        "seed: 0",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _sides(sizes: Mapping[tuple[int, int], int], short_side: int, reasons: list[str]) -> list[int]:
    """[height, width] to train at."""
    import torch

    gpu = torch.cuda.is_available()
    most = ON_GPU if gpu else ON_CPU
    if len(sizes) == 1 and max(next(iter(sizes))) <= most:
        width, height = next(iter(sizes))
        reasons.append(f"size: all pictures are {width}x{height}, and stay so")
        return [height, width]
    side = max((s for s in SIDES if s <= min(short_side, most)), default=max(8, short_side // 4 * 4))
    capped = f"; more than {most} is slow without a GPU" if short_side > most and not gpu else ""
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


def _batch(count: int, side: int) -> int:
    """64; 128 for large sets of small pictures, fewer for small sets; never more than a train split of 90 % holds."""
    wanted = 128 if count >= LARGE_SET and side <= 32 else 64 if count >= 500 else 16
    return max(1, min(wanted, count * 9 // 10))


def _network(side: int) -> dict[str, Any]:
    patch = 1 if side <= 16 else 2 if side <= 64 else 4
    return {"name": "unet", "width": 64, "levels": [1, 2, 2] if side // patch >= 16 else [1, 2], "patch": patch}
