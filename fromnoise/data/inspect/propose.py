"""A recipe that suits pictures, a machine and the minutes that there are, with the reason for each setting."""

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from .inspect import Inspection
from .latents import AUTOENCODER, TRAINING, Speed, Way, weighed

SIDES = (32, 64, 128, 256)
ON_CPU, ON_GPU = 64, 256  # the largest side proposed
NETWORKS = (  # (side of the grid that the first level works on, width, levels that attend, images that it should see at least)
    (16, 32, [], 0), (32, 32, [], 60_000), (32, 64, [1], 200_000), (64, 64, [1, 2], 1_000_000),
)  # fmt: skip
SMALLEST = {"name": "unet", "width": 32, "levels": [1, 2, 2], "blocks": 1}
STEPS, BATCHES = 1_200, (16, 32, 64, 128)  # at least so many steps, of the largest batch that leaves them
SPENT = 0.85  # of the minutes, on training itself; the rest goes to looks and to the end
COPIES, FEW = 400, 100  # times that a picture is seen, above which it comes back as it is, or may
NOT_WORDS = ("true", "false", "null", "yes", "no", "on", "off")  # in YAML
SIDEWAYS = re.compile(r"\b(left|right|leftwards?|rightwards?|clockwise|counterclockwise|anticlockwise)\b", re.IGNORECASE)


def proposals(found: Inspection, minutes: float, speed: Speed, name: str) -> dict[str, str]:
    """The recipes for what was found, by name, as YAML: one of pictures as they are; or, where these are large, many, and there is time, one of an autoencoder
    first, and then one of its latents."""
    way, why = weighed(found, minutes, speed, SMALLEST)
    if way is None:
        return {name: propose(found, minutes, speed, [why] * bool(why))}
    stage = f"{name}_ae"
    reasons, notes = [why], [f"train this first: the latents of {name} are its"]
    data, _ = _data(found, notes, way.side)
    own = {"minutes": way.minutes, **TRAINING, "warmup": min(50 * TRAINING["batch"], way.images // 20)}
    first = "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {note}" for note in notes),
        f"data:        {flow(data)}", f"autoencoder: {flow(AUTOENCODER)}", f"train:       {flow(own)}", "seed: 0\n",
    ])  # fmt: skip
    return {stage: first, name: propose(found, round(minutes - way.minutes, 1), speed, reasons, (f"runs/{stage}", way))}


def propose(found: Inspection, minutes: float, speed: Speed, reasons: Sequence[str] = (), through: tuple[str, Way] | None = None) -> str:
    """The recipe for what was found, as YAML, with the reasons as comments; `speed` measures networks, the cheapest first, until one is too slow.

    through: the run of an autoencoder, and the way through its latents.
    """
    reasons = list(reasons)
    data, shape = _data(found, reasons, through[1].side if through else None)
    shape = through[1].latent if through else shape
    labels = len(found.labels) if len(found.labels) > 1 else 0
    network, rate = _network(shape, labels, found.count, minutes, speed, reasons)
    images = max(1, int(SPENT * 60 * minutes * rate))
    own = train(found.count, images, reasons)
    if images / found.count > FEW:
        network["dropout"] = 0.1
    reasons.append(seen(found.count, images, minutes))
    if found.captions:
        reasons.append(f"captions: {len(found.captions):,} are there; this recipe does not use them")
    guided = ", guidance: 5, high: 10, rescale: 0.7" if labels else ""
    if labels:
        reasons.append("guidance: 5 makes classes plain, at some cost in variety; 2 to 3 once it has trained for hours")
    return "\n".join([
        "# Proposed by `fromnoise data inspect`; the reasons:", *(f"#   {reason}" for reason in reasons),
        f"data:       {flow(data)}", *([f"autoencoder: {through[0]}"] if through else []), f"network:    {flow(network)}",
        *(["conditions: [{name: label, drop: 0.1}]"] if labels else []), "predict:    x0", "noise:      {name: cosine}",
        f"train:      {flow({'minutes': minutes, **own})}",
        f"sample:     {{name: unipc, steps: 20{guided}}}", "seed: 0\n",
    ])  # fmt: skip


def _data(found: Inspection, reasons: list[str], side: int | None = None) -> tuple[dict[str, Any], tuple[int, ...]]:
    """(the data of the recipe, the shape of an example), at the side that is said, or the largest that is not slow."""
    data: dict[str, Any] = {"name": found.kind, ("path" if found.kind in ("folder", "npz") else "root"): str(found.path)}
    sides, channels = [*next(iter(found.sizes))[::-1]], (3 if found.colour else 1) + (found.alpha and found.kind != "folder")  # [height, width]
    if found.kind == "folder":
        sides = [side, side] if side else _sides(found.sizes, found.short_side, reasons)
        data |= {"size": sides if sides[0] != sides[1] else sides[0], "fit": _fit(found.sizes, sides, found.alpha, reasons)}
        if found.alpha:
            data, channels = data | {"channels": "rgb", "background": "white"}, 3
            reasons.append("channels: transparent pictures are laid on white; take that setting away to learn the transparency too")
        if found.broken:
            data["skip_broken"] = True
            reasons.append("skip_broken: some files cannot be read and are left out")
    data["flip"] = mirrored(found.colour, found.short_side, found.captions, reasons)
    return data, (channels, *sides)


def _network(shape: tuple[int, ...], labels: int, count: int, minutes: float, speed: Speed, reasons: list[str]) -> tuple[dict[str, Any], float]:
    """(the largest network that sees enough images in the minutes that there are, images a second)."""
    side, chosen, measured = max(shape[1:]), ({}, 0.0), []
    for grid, width, attention, wanted in NETWORKS:
        patch = 2 ** max(0, round(math.log2(side / grid)))
        network = {"name": "unet", "width": width, "levels": [1, 2, 2] if side // patch >= 16 else [1, 2], "blocks": 1, "patch": patch}
        network |= {"attention": attention} if attention else {}
        if network == chosen[0]:
            continue
        recipe = {"network": network, "conditions": [{"name": "label"}] if labels else [], "predict": "x0", "train": train(count, STEPS * BATCHES[-2], [])}
        rate = speed(recipe, shape, labels)
        measured.append(f"{width} wide on {-(-side // patch)} x {-(-side // patch)}: {rate:,.0f} images/s")
        if chosen[0] and SPENT * 60 * minutes * rate < wanted:
            break
        chosen = network, rate
    reasons.append(f"network: the largest of these that sees enough pictures in {minutes:g} minutes, as measured here: {'; '.join(measured)}")
    if chosen[0]["patch"] > 1:
        cost = f"patch: {chosen[0]['patch']} folds pixels into channels, for speed; diffusers has no such UNet, so the run cannot be exported to it"
        reasons.append(f"{cost} (patch: 1 with compat: {{groups: 16}} can, and is far slower)")
    reasons.append("predict: x0, with a weight on errors that are seen, which learns fastest in few steps")
    return chosen


def train(count: int, images: int, reasons: list[str]) -> dict[str, Any]:
    """The settings of training on `count` examples, so many seen in all, but for its length."""
    batch = max(1, min(max((b for b in BATCHES if images >= STEPS * b), default=BATCHES[0]), count * 9 // 10))  # no more than a train split holds
    warmup = min(50 * batch, images // 20)
    reasons.append(f"batch: {batch}, so that about {images:,} images make {images // batch:,} steps; warm-up over a twentieth of them, or 50 steps")
    return {"batch": batch, "optimizer": "muon", "lr": 5e-3, "warmup": warmup, "weight": "sigmoid"}


def seen(count: int, images: int, minutes: float, what: str = "picture") -> str:
    """What so many pictures allow."""
    times = images / count
    often = f"minutes: {minutes:g} show each of {count:,} {what}s about {times:,.0f} times"
    if times > COPIES:
        return f"{often}: expect copies of them, not new ones; add {what}s, train shorter, or begin with another run (base, adapter: lora)"
    return often + (": some may come back nearly as they are; dropout is there against it" if times > FEW else f": new {what}s, not copies; longer is better")


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


def mirrored(colour: bool, short_side: int, captions: Sequence[str], reasons: list[str]) -> bool:
    """Whether mirrored pictures are as good, so that a set of them doubles."""
    if not colour and short_side <= 64:
        reasons.append("flip: false, since small grey pictures may be digits or letters; set it to true for anything else")
        return False
    if any(SIDEWAYS.search(caption) for caption in captions):
        reasons.append("flip: false, since captions speak of left and right")
        return False
    reasons.append("flip: mirrored pictures double the set; set it to false where left and right matter, as in text")
    return True


def flow(section: Mapping[str, Any]) -> str:
    """Settings in YAML's flow style."""
    return "{" + ", ".join(f"{key}: {_scalar(value)}" for key, value in section.items()) + "}"


def _scalar(value: Any) -> str:
    """A value in YAML's flow style; strings are quoted as in JSON, which YAML reads, unless they are plain words."""
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z/][\w./-]*", value) and value.lower() not in NOT_WORDS:
        return value
    return json.dumps(value, ensure_ascii=False)
