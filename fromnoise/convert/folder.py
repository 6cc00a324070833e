"""Folders in diffusers' layout: what is in them, read and written without executing anything."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from ..diffusion import Schedule
from ..errors import Problem, Usage
from ..files import vacant
from . import autoencoder, dit, process, scheduler, unet, unet_condition, weights, words
from .field import checked, off, refuse_if
from .rows import to_ours, to_theirs
from .weights import read_json, write_json

Settings = Mapping[str, Any]
KINDS = {unet.CLASS: unet, dit.CLASS: dit, unet_condition.CLASS: unet_condition}
NETWORKS = {"unet": unet, "dit": dit}  # ours
PLACES = {unet.CLASS: "unet", dit.CLASS: "transformer", unet_condition.CLASS: "unet"}
PIPELINES = {"DDPMScheduler": "DDPMPipeline", "DDIMScheduler": "DDIMPipeline"}  # of a UNet2DModel; DiTPipeline wants an autoencoder as well
WHOLE = {unet.CLASS: ("LDMPipeline", "vqvae"), dit.CLASS: ("DiTPipeline", "vae"), unet_condition.CLASS: ("StableDiffusionPipeline", "vae")}  # with one
CLASSES = "classes alone, added to the time embedding"
CONDITIONED = {unet.CLASS: CLASSES, dit.CLASS: CLASSES, unet_condition.CLASS: "words alone, by cross-attention"}
GUIDED = ("DiTPipeline", "StableDiffusionPipeline")  # those that guide
SCHEDULER = f"scheduler/{scheduler.FILE}"
ABSENT = (None, False, [None, None])  # what an index says of a part that is not there


@dataclass(frozen=True)
class Loop:
    """What a pipeline is beside a network, an autoencoder and a scheduler: what it makes of the scheduler's settings, its own parts, those that change no
    picture or only withhold some and are left out, and how it draws unless it is said."""

    scheduler: Settings = field(default_factory=dict)
    parts: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    sample: Settings = field(default_factory=dict)


LOOPS = {
    "DDPMPipeline": Loop(), "DDIMPipeline": Loop({"_class_name": "DDIMScheduler"}), "PNDMPipeline": Loop({"_class_name": "PNDMScheduler"}),
    "DiTPipeline": Loop(), "LDMPipeline": Loop(),
    "StableDiffusionPipeline": Loop({"steps_offset": 1, "clip_sample": False}, tuple(words.PARTS),
                                    ("safety_checker", "feature_extractor", "image_encoder", "requires_safety_checker"), {"guidance": 7.5}),
}  # fmt: skip
PLAIN = Loop()


@dataclass(frozen=True)
class Taken:
    """A model taken from another library: a run's settings, its weights under our names, and what is to be said of it."""

    config: dict[str, Any]
    tensors: dict[str, Tensor]
    notes: tuple[str, ...] = ()  # what was chosen where there was a choice, and what was left


def is_foreign(path: str | Path) -> bool:
    """Whether a folder is laid out as diffusers does it: a pipeline's, a network's, or one with a network's in it."""
    path = Path(path)
    return (path / "model_index.json").is_file() or (bool(_parts(path)) and not (path / "config.yaml").is_file())


def _parts(path: Path) -> list[Path]:
    """Where a folder has networks: in parts of its own, or itself, as older pipelines with all files in one place."""
    found = [path / part for part in dict.fromkeys(PLACES.values()) if (path / part / "config.json").is_file()]
    return found or [path] * (path / "config.json").is_file()


def read(path: str | Path) -> Taken:
    """The model of a folder in diffusers' layout, a pipeline's or a network's; raises Problem where it is none that we have."""
    path = Path(path)
    if not is_foreign(path):
        what = "is not there" if not path.exists() else "holds neither model_index.json nor config.json"
        raise Usage(f"{path} {what}; give a folder as diffusers' save_pretrained writes it")
    marks = ("model_index.json", SCHEDULER)
    home = next((folder for folder in (path, path.parent) if any((folder / mark).is_file() for mark in marks)), path)  # the pipeline's
    index = read_json(home / "model_index.json", True)
    notes = _check_index(path, index)
    place = _place(path, index)
    config = read_json(place / "config.json")
    kind = config.get("_class_name")
    if kind not in KINDS:
        raise Problem(f"{place} is a {kind or 'network without a name'}, which fromnoise has not; known are {', '.join(KINDS)}")
    if (named := index.get(place.name)) not in ABSENT and named[-1] != kind:
        raise Problem(f"{place} is a {kind}, and a {named[-1]} in model_index.json; restore the one that is wrong")
    part, (settings, more) = KINDS[kind], _scheduler(home, index)
    network, drawn = part.network(config), scheduler.read(settings)
    notes += [*more, *off("config.json", config, part.FIELDS), *scheduler.notes(settings)]
    notes += [f"{folder} beside it is left; import that for the averaged weights" for folder in [Path(f"{place}_ema")] if folder.is_dir()]
    config = checked("config.json", config, part.FIELDS)
    if config["out_channels"] not in (None, config["in_channels"]):
        notes.append(f"{place}: the variance in its {config['out_channels']} channels out is not kept, fromnoise draws without")
    classes, null = part.label(config)
    own = read_json(home / "fromnoise.json", True)
    if own.get("null") and not null and classes:
        classes, null = classes - 1, True
    size = config["sample_size"]
    refuse_if(size is None, config, "sample_size", "says nothing of the pictures' size; write it into the file, such as 32")
    shape = [config["in_channels"], *([size, size] if isinstance(size, int) else size)]
    names = own.get("classes") or _names(index, classes)
    conditions = [{"name": "label", "classes": classes, "drop": (own.get("drop") or 0.1) if null else 0.0}] if classes else []
    conditions += _words(home, index, config)
    drawn["sample"] |= {**({} if own else _loop(index).sample), **process.recalled(own, settings)}  # our own says all that is not as usual
    tensors, said = weights.read(place)
    named, stage = to_ours(part.rows(config), tensors), _stage(home, index)
    taken = {"network": network, "conditions": conditions, **drawn, "seed": 0, "shape": shape, "classes": names}
    if stage:
        refuse_if(stage.latent != shape[0], config, "in_channels", f"is not that of the latents of the autoencoder beside it, {stage.latent}")
        taken |= {"autoencoder": {"name": "run", "path": str(stage.path.resolve())}, "shape": [stage.channels, *(stage.factor * side for side in shape[1:])]}
        named |= {f"autoencoder.{name}": torch.tensor(values).expand(stage.latent).clone() for name, values in stage.scale._asdict().items()}
        notes += stage.notes
    return Taken(taken, named, (*notes, *said))


def _loop(index: Settings) -> Loop:
    return LOOPS.get(str(index.get("_class_name")), PLAIN)


def _words(home: Path, index: Settings, config: Settings) -> list[dict[str, Any]]:
    """The text condition of a pipeline, which a network that attends to words wants, and no other has."""
    node, wide = words.read(home, index), config.get("cross_attention_dim")
    if wide and not node:
        raise Problem(f"{home} has a {config['_class_name']}, which attends to words, and no text encoder; give the folder of a StableDiffusionPipeline, whole")
    if node and words.width(home) != wide:
        refuse_if(wide, config, "cross_attention_dim", f"is not the width of the text encoder beside it, {words.width(home)}")
        raise Problem(f"{home}: its {config.get('_class_name')} attends to no words, and there is a text encoder; import the network's folder alone")
    return [node] * bool(node)


def _stage(home: Path, index: Settings) -> "autoencoder.Taken | None":
    """The autoencoder of a pipeline, whose latents its network works on."""
    there = [name for name in autoencoder.PLACES if name and index.get(name) not in ABSENT]
    return autoencoder.read(home / there[0]) if there else None


def _check_index(path: Path, index: Settings) -> list[str]:
    """Raises Problem where a pipeline is more than a network and a scheduler; a line where it is of a class that may call them otherwise."""
    kind = index.get("_class_name", "this pipeline")
    kind = str(kind[-1] if isinstance(kind, list) and kind else kind)  # [module, class] where it is somebody's own
    loop, known = LOOPS.get(kind, PLAIN), (*PLACES.values(), *autoencoder.PLACES, "scheduler", "id2label")
    for name, value in index.items():
        if not (name in (*known, *loop.parts, *loop.left) or name.startswith("_") or value in ABSENT):
            raise Problem(f"{path}: {name} {value!r} of {kind} has no counterpart here; take a pipeline of a network and a scheduler alone")
    left = [name for name in loop.left if isinstance(index.get(name), list) and index[name] not in ABSENT]
    notes = [f"{', '.join(left)} of {kind} left out: pictures are drawn as they are, and none is withheld"] if left else []
    return notes + ([f"{kind} is none of {', '.join(LOOPS)}; its network and scheduler are taken"] if index and kind not in LOOPS else [])


def _place(path: Path, index: Settings) -> Path:
    """The folder of the only network of a pipeline."""
    found = _parts(path)
    if len(found) > 1:
        raise Problem(f"{path} has several networks, {', '.join(place.name for place in found)}; import one of these folders")
    if not found:
        missing = next((name for name in PLACES.values() if index.get(name, None) not in ABSENT), None)
        what = f"lacks {missing}/config.json, which its index names; download the folder whole"
        other = f"has none of the parts {', '.join(PLACES.values())}; the pipeline is of a kind that fromnoise has not"
        raise Problem(f"{path} {what if missing else other}")
    return found[0]


def _scheduler(path: Path, index: Settings) -> tuple[dict[str, Any], list[str]]:
    """The scheduler_config.json of a pipeline, of the class that the pipeline makes of it; of a network alone DDPM's defaults, which is said."""
    file = next((file for file in (path / SCHEDULER, path / scheduler.FILE) if file.is_file()), None)
    named = index.get("scheduler")
    if file is None and named not in ABSENT:
        raise Problem(f"{path / SCHEDULER} is missing; download the folder whole")
    if file is None:
        return {}, ["no scheduler is beside it; DDPMScheduler's defaults are taken: epsilon, 1000 even betas from 0.0001 to 0.02"]
    settings = read_json(file)
    own = named[1] if isinstance(named, list) and len(named) == 2 and named[1] else settings.get("_class_name", "DDPMScheduler")
    forced = _loop(index).scheduler
    made = forced.get("_class_name", own)
    notes = [f"its {own} is drawn with as the {made} that {index['_class_name']} makes of it"] if made != own else []
    fields = scheduler.SCHEDULERS[made][1] if made in scheduler.SCHEDULERS else {}
    forced = {key: value for key, value in forced.items() if key in fields and settings.get(key, fields[key].default) != value}
    notes += [f"{scheduler.FILE}: {key} is {value}, as {index['_class_name']} makes it" for key, value in forced.items()]
    return {**settings, **forced, "_class_name": made}, notes


def write(
    path: str | Path, config: Settings, node: Settings, tensors: Mapping[str, Tensor], schedule: Schedule, stage: "autoencoder.Stage | None" = None
) -> str:
    """A run in diffusers' layout; the class of the pipeline that reads it, or of the network where there is none.

    config: the run's settings, with the shape of what is diffused;  node: its network's, written out;  tensors: its weights;  stage: its first stage.
    Raises Problem where diffusers has no such model.
    """
    path = vacant(path)
    part, theirs, null = counterpart(config, node, tensors)
    noise, _ = process.write(config, schedule)
    tensors, pipeline = to_theirs(part.rows(theirs), tensors), pipeline_of(part, noise, stage)
    stage = stage and autoencoder.folded(stage)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as beside:  # whole, or not at all
        whole = Path(beside) / path.name
        place = whole / PLACES[part.CLASS]
        write_json(place / "config.json", theirs)
        weights.write(place / f"{weights.NAME}.safetensors", tensors)
        write_json(whole / SCHEDULER, noise)
        write_json(whole / "fromnoise.json", {"null": null, "classes": list(config.get("classes") or ()), **process.remembered(config)})
        parts = {PLACES[part.CLASS]: ["diffusers", part.CLASS], "scheduler": ["diffusers", noise["_class_name"]]}
        if stage:
            name = WHOLE[part.CLASS][1]
            parts[name] = ["diffusers", autoencoder.write(whole / name, *stage)]
        if part is unet_condition:
            parts |= words.write(words.check(config["conditions"][0], part.CLASS), whole)
            parts |= {"safety_checker": [None, None], "feature_extractor": [None, None], "requires_safety_checker": False}
        if pipeline:
            write_json(whole / "model_index.json", {"_class_name": pipeline, **parts})
        whole.replace(path)
    return pipeline or part.CLASS


def pipeline_of(part: ModuleType, noise: Settings, stage: Any) -> str | None:
    """The class of the pipeline that reads a network of this kind with this scheduler, and with an autoencoder where there is one; None where none does."""
    if stage:
        return WHOLE[part.CLASS][0]
    if part is unet_condition:
        raise Problem("diffusers' StableDiffusionPipeline draws in the latents of an autoencoder, this run in pixels; train with autoencoder=FOLDER to export")
    return PIPELINES[noise["_class_name"]] if part is unet else None


def unsaid(config: Settings, schedule: Schedule, pipeline: str = "") -> list[str]:
    """How the pipeline of an exported run is to be called so that it draws as the run does, and what it does otherwise all the same."""
    sample = dict(config.get("sample") or {})
    guidance = sample.pop("guidance", 1.0) if pipeline in GUIDED else None
    noise, (call, *notes) = process.write({**config, "sample": sample}, schedule)
    if guidance is not None:
        call += f", guidance_scale={guidance:g}"
    if pipeline == "DiTPipeline" and guidance != 1 and len(config["classes"]) != 1000:
        notes.append(f"it takes class 1000 for none, and this run has {len(config['classes'])}; draw with guidance_scale=1")
    forced = LOOPS[pipeline].scheduler if pipeline in LOOPS else {}
    read = scheduler.read(noise)
    changed = {key: value for key, value in forced.items() if key != "_class_name" and scheduler.read({**noise, key: value}) != read}
    notes += [f"it draws with {key}={value} whatever its scheduler says, the run with {noise.get(key)}" for key, value in changed.items()]
    by_class = [node for node in config.get("conditions") or [] if node["name"] == "label"] and pipeline != "DiTPipeline"
    return [call, *notes] + (["its pipeline names no class; give the network class_labels"] if by_class else [])


def counterpart(config: Settings, node: Settings, tensors: Mapping[str, Tensor]) -> tuple[ModuleType, dict[str, Any], bool]:
    """Their network that a run's is: the module of this package that knows it, its config.json, and whether the labels have a row for none."""
    part, conditions = NETWORKS.get(str(node.get("name"))), config.get("conditions") or []
    if part is None:
        raise Problem(f"diffusers has no counterpart of the network {node.get('name')}; exported can be {', '.join(NETWORKS)}")
    if part is unet and any(c["name"] == "text" and c.get("enter") in (None, "cross") for c in conditions):
        part = unet_condition
    for key, only in (("frame", "vp"), ("data_std", 1.0), ("clock", None), ("self_condition", False)):
        if (value := config.get(key, only)) != only:
            what = f"the schedule's own {key}" if only is None else f"{key}={only}"
            raise Problem(f"diffusers' networks have {what}, this run has {key}={value}; train with that to export")
    shape = list(config["shape"])
    if len(shape) != 3:
        raise Problem(f"diffusers' {part.CLASS} is for pictures (C, H, W), not for examples of shape {tuple(shape)}")
    table = tensors.get("conditions.label.embed.weight")
    for c in conditions:
        if part is unet_condition and c["name"] == "text" and len(conditions) == 1:
            words.check(c, part.CLASS)
        elif part is unet_condition or c["name"] != "label" or c.get("enter") not in (None, "add", "adaln"):
            own = c["name"] if c["name"] != "label" else f"label by {c['enter']}" if c.get("enter") else "label and text"
            raise Problem(f"diffusers' {part.CLASS} is conditioned on {CONDITIONED[part.CLASS]}; this run on {own}")
    null = bool(conditions) and conditions[0].get("drop", 0.1) > 0
    return part, part.config(node, shape, 0 if table is None else len(table) - null, null), null


def _names(index: Settings, classes: int) -> list[str]:
    """The classes' names, where the pipeline's index has them."""
    named = index.get("id2label")
    if not isinstance(named, dict) or sorted(named) != sorted(map(str, range(classes))):
        return [str(i) for i in range(classes)]
    return [str(named[str(i)]) for i in range(classes)]


def write_adapter(path: str | Path, config: Settings, node: Settings, tensors: Mapping[str, Tensor], changes: Mapping[str, Tensor]) -> Path:
    """Writes changes to a run's weights, by our names, into a folder as `pytorch_lora_weights.safetensors`; that file.

    One layer of ours may be several of theirs, so each of theirs gets factors of its own, `unet.….lora_A.weight` and `lora_B.weight`, with B A
    the change, and alpha the rank. config, node, tensors: as in `write`, the weights without the changes.
    """
    file = vacant(path) / "pytorch_lora_weights.safetensors"
    part, theirs, _ = counterpart(config, node, tensors)
    rows = [row for row in part.rows(theirs) if row.ours in changes]
    if not rows:
        raise Problem("no change is to a weight that diffusers' model has; train the adapter on other layers to export it")
    named = {}
    for name, change in to_theirs(rows, changes).items():
        a, b = factors(change.detach())
        if len(a):
            layer = f"{PLACES[part.CLASS]}.{name.removesuffix('.weight')}"
            named |= {f"{layer}.lora_A.weight": a, f"{layer}.lora_B.weight": b}
    if not named:
        raise Problem("the adapter has not changed any weight yet; train it first")
    weights.write(file, named)
    return file


def factors(change: Tensor, least: float = 1e-5) -> tuple[Tensor, Tensor]:
    """A (rank, in, *taps) and B (out, rank, *1) with B A the change (out, in, *taps), by its singular values above `least` of the largest."""
    u, s, v = torch.linalg.svd(change.flatten(1).double(), full_matrices=False)
    rank, ones = int((s > least * s[0]).sum()), [1] * (change.ndim - 2)
    a, b = s[:rank, None].sqrt() * v[:rank], u[:, :rank] * s[:rank].sqrt()
    return a.float().view(rank, *change.shape[1:]), b.float().view(len(change), rank, *ones)
