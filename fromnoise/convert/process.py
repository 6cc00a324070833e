"""Our process as a scheduler of diffusers: levels, prediction and clip in its scheduler_config.json, and in words what the file cannot say."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from ..diffusion import Level, Schedule, Table
from ..errors import Problem
from .scheduler import BETAS, PREDICTIONS, STEPS

Node = Mapping[str, Any]
SPACINGS = {"DDPMScheduler": ("leading", "trailing", "linspace"), "DDIMScheduler": ("leading", "trailing")}
ETA = {"ddim": 0.0, "euler": 0.0, "iadb": 0.0, "euler_ancestral": 1.0}  # samplers that are DDIM, with this eta unless it is said
WALK = ("spacing", "offset", "final_one", "rho", "whole")  # of a table: which of its levels a sampler visits
NOISE = ("gaussian", "coupled")  # sources from which samples start by noise
DYNAMIC = {"share": 0.995, "bound": 1.0, "most": 1e9}
SAID = ("name", "steps", "options", "clip", "schedule", "seed", "batch")  # of a recipe's `sample`; the rest a pipeline does not do


def write(config: Node, schedule: Schedule) -> tuple[dict[str, Any], list[str]]:
    """(scheduler_config.json, what its pipeline's loop does otherwise than the run unless it is called so) of a run's settings and sampling schedule.

    At every index the network answers as it does here, for the levels there are those at which its clock shows that index. Raises Problem where
    no config says so.
    """
    sample, names = config.get("sample") or {}, {ours: theirs for theirs, ours in PREDICTIONS.items()}
    sampler, options, predict = sample.get("name", "dpmpp_2m"), sample.get("options") or {}, config.get("predict", "v")
    if predict not in names:
        raise Problem(f"diffusers' schedulers know predict={', '.join(names)}, not {predict}; train with one of them to export")
    _check_trained(_node(config.get("noise") or "cosine"), sample.get("schedule"))
    source = _node(config.get("source") or "gaussian")
    if source["name"] not in NOISE:
        raise Problem(f"diffusers' pipelines start from noise, this run from source={source['name']}; train with source=gaussian to export")
    kind = _class(sampler)
    clip, unsaid = _clip(_node(sample.get("clip", "none")))
    theirs = {"_class_name": kind, "prediction_type": names[predict], **_levels(schedule), **_walk(schedule, kind, bool(options.get("large"))), **clip}
    keeps, call = bool(_node(sample.get("clip", "none")).get("keep_eps")), {"num_inference_steps": sample.get("steps", 20)}
    if sampler in ETA:
        call |= {"eta": eta} if (eta := options.get("eta", ETA[sampler])) else {}
    elif sampler != "ddpm":
        unsaid.append(f"its pipeline draws by DDIM, the run by {sampler}{f' with {dict(options)}' if options else ''}")
    if kind == "DDIMScheduler" and (clip["clip_sample"] or clip.get("thresholding")) and not keeps:
        call["use_clipped_model_output"] = True
    trained, steps, offset = theirs["num_train_timesteps"], call["num_inference_steps"], theirs["steps_offset"]
    if (first := (steps - 1) * (trained // steps) + offset) >= STEPS:
        what = f"diffusers' {kind} begins at index {first} of {STEPS} with noise.offset={offset} and sample.steps={steps}"
        raise Problem(f"{what}; set fewer of either in the run's config.yaml to export")
    if kind == "DDIMScheduler" and theirs["timestep_spacing"] == "trailing" and trained % steps:
        unsaid.append(f"its steps are {trained // steps} indices long, its indices {trained / steps:.4g} apart; take a number of steps that divides {trained}")
    if source.get("offset"):
        unsaid.append(f"it starts from standard noise, the run from source.offset={source['offset']:g}")
    if kind == "DDPMScheduler" and keeps:
        unsaid.append("it derives eps anew after clipping, the run keeps it")
    if not isinstance(schedule, Table):
        unsaid.append(f"its 1000 levels stand for a curve: it starts at t = {(theirs['num_train_timesteps'] - 1) / STEPS:g}, the run at {schedule.high:g}")
    unsaid += [f"it knows no {key}, the run draws with {value}" for key, value in sample.items() if key not in SAID and value is not None]
    return theirs, [f"draw with {', '.join(f'{key}={value}' for key, value in call.items())}", *unsaid]


def remembered(config: Node) -> dict[str, Any]:
    """What of a run diffusers' files have no place for: how often it left its label out, and by which sampler, options and steps it draws."""
    sample, drops = config.get("sample") or {}, [node.get("drop", 0.1) for node in config.get("conditions") or []]
    return {"drop": max(drops, default=0.0), "sample": {key: sample[key] for key in ("name", "steps", "options", "clip", "guidance") if key in sample}}


def recalled(own: Node, scheduler: Node) -> dict[str, Any]:
    """The sample settings that an exported run's folder remembers, where its scheduler is still what they were written as."""
    sample = dict(own["sample"]) if isinstance(own.get("sample"), Mapping) else {}
    name, clip = str(sample.get("name", "dpmpp_2m")), _node(sample.get("clip", "none"))
    if not sample or ":" in f"{name}{clip['name']}" or scheduler.get("_class_name") != _class(name):  # a name with a colon is code
        return {}
    if not _clip(clip)[0].items() <= scheduler.items():
        sample.pop("clip", None)
    return sample


def _class(sampler: str) -> str:
    return "DDPMScheduler" if sampler == "ddpm" else "DDIMScheduler"


def _node(node: Any) -> Node:
    return node if isinstance(node, Mapping) else {"name": node}


def _check_trained(noise: Node, own: Any) -> None:
    """Raises Problem where samples are drawn at other levels than those of training, of which the network's clock is."""
    own = noise if own is None else _node(own)
    walk = WALK if noise["name"] == own["name"] == "table" else ()
    if any(noise.get(key) != own.get(key) for key in {*noise, *own} - {*walk}):
        what = f"sample.schedule is {own['name']} with settings of its own"
        raise Problem(f"diffusers' schedulers draw at the levels of training, and {what}; leave it out of the run's config.yaml to export")


def _walk(schedule: Schedule, kind: str, large: bool) -> dict[str, Any]:
    """Which indices a scheduler visits; raises Problem where this class visits others. A curve is walked from its last index."""
    table = isinstance(schedule, Table)
    spacing, offset, final_one = (schedule.spacing, schedule.offset, schedule.final_one) if table else ("trailing", 0, True)
    at_zero = spacing == "linspace" or (spacing == "leading" and not offset)
    for wrong, what, cure in (
        (spacing not in SPACINGS[kind], f"spacing {spacing}", "noise.spacing=leading"),
        (table and schedule.rho, "Karras' levels", "noise.rho=0"),
        (offset and spacing != "leading", f"offset with spacing {spacing}", "noise.offset=0"),
        (kind == "DDPMScheduler" and not final_one, "walk that ends at index 0", "noise.final_one=true"),
        (large and not at_zero, "walk with the large variance that does not end at index 0", "noise.spacing=leading and noise.offset=0"),
    ):
        if wrong:
            raise Problem(f"diffusers' {kind} has no {what}; set {cure} in the run's config.yaml to export")
    own = {"variance_type": "fixed_large" if large else "fixed_small"} if kind == "DDPMScheduler" else {"set_alpha_to_one": final_one}
    return {"timestep_spacing": spacing, "steps_offset": offset, **own}


def _levels(schedule: Schedule) -> dict[str, Any]:
    """The betas whose product has at index i the level at which the clock shows i; raises Problem where float32 loses it, as diffusers computes it."""
    if schedule.low:
        raise Problem(f"diffusers' schedulers begin at the cleanest level, this run's at low={schedule.low:g}; train with noise.low=0 to export")
    if isinstance(schedule, Table) and schedule.steps != STEPS:
        raise Problem(f"diffusers' networks read the index of {STEPS} steps, this run has {schedule.steps}; train with {STEPS}")
    betas = schedule.betas_tensor if isinstance(schedule, Table) else _betas(schedule)
    product = (1 - betas.float()).cumprod(0).double()
    index, shown = torch.arange(STEPS), STEPS * schedule.time(Level(product.sqrt(), (1 - product).sqrt()))
    wrong = ~((shown - index).abs() < 0.1 + 0.4 * (index == 0)) | (product < 2**-126)  # index 0 may be clean, which no beta says
    if used := index[wrong & (index < round(schedule.high * STEPS))].tolist():
        what = f"at index {used[0]} alpha-bar is {float(product[used[0]]):.1g} and the network's clock shows {float(shown[used[0]]):.1f}"
        raise Problem(f"diffusers multiplies 1 - beta in float32, in which this schedule's levels are lost: {what}; train with another to export")
    common: dict[str, Any] = {"num_train_timesteps": round(schedule.high * STEPS), "beta_schedule": "linear"}
    known = {ours: theirs for theirs, ours in BETAS.items()} | {"quadratic": "scaled_linear"}
    if isinstance(schedule, Table) and isinstance(schedule.betas, str) and schedule.betas in known and schedule.high == 1:
        return common | {"beta_schedule": known[schedule.betas], "beta_start": schedule.start, "beta_end": schedule.end}
    return common | {"trained_betas": betas.tolist()}


def _betas(schedule: Schedule) -> Tensor:
    """Betas of the levels of a curve at 1000 even times."""
    level = schedule.curve(torch.arange(STEPS, dtype=torch.float64) / STEPS).framed("vp")
    signal = level.alpha.square().clamp(max=1 - 2**-23)  # the least that float32 tells from 1
    return (1 - signal / torch.cat([signal.new_ones(1), signal[:-1]])).clamp(0, 1)


def _clip(node: Node) -> tuple[dict[str, Any], list[str]]:
    """The fields of a clip, and what they leave out."""
    if node["name"] == "dynamic":
        own = {**DYNAMIC, **node}
        if own["bound"] != 1:
            raise Problem(f"diffusers' thresholding has the bound 1, not {own['bound']:g}; set sample.clip=dynamic in the run's config.yaml to export")
        return {"clip_sample": False, "thresholding": True, "dynamic_thresholding_ratio": own["share"], "sample_max_value": min(own["most"], 1e9)}, []
    if node["name"] == "static":
        return {"clip_sample": True, "clip_sample_range": node.get("bound", 1.0)}, []
    return {"clip_sample": False}, [] if node["name"] == "none" else [f"it knows no clip {node['name']}"]
