"""Our noise schedules and predictions as diffusers' scheduler_config.json, in both directions."""

from collections.abc import Mapping
from typing import Any

import torch

from ..diffusion import Schedule, Table
from ..errors import Problem

BETAS = {"linear": "linear", "scaled_linear": "scaled_linear", "squaredcos_cap_v2": "cosine", "sigmoid": "sigmoid"}  # theirs: ours
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v", "sample": "x0"}
SAMPLERS = {  # theirs: ours, and the steps that it wants
    "DDPMScheduler": ("ddpm", 1000), "DDIMScheduler": ("ddim", 50), "PNDMScheduler": ("ddim", 50),
    "DPMSolverMultistepScheduler": ("dpmpp_2m", 20), "UniPCMultistepScheduler": ("unipc", 20), "HeunDiscreteScheduler": ("heun", 25),
    "EulerDiscreteScheduler": ("euler", 50), "EulerAncestralDiscreteScheduler": ("euler_ancestral", 50),
}  # fmt: skip
STEPS = 1000  # to which the network's clock is scaled, in both libraries


def read(config: Mapping[str, Any]) -> dict[str, Any]:
    """predict, noise and sample of a recipe from a scheduler_config.json; raises Problem where we have no such process."""
    kind = counterpart(SAMPLERS, config, "_class_name", "DDPMScheduler")
    predict = counterpart(PREDICTIONS, config, "prediction_type", "epsilon")
    steps = config.get("num_train_timesteps", STEPS)
    if steps != STEPS:
        raise Problem(f"scheduler_config.json: {steps} training steps; the network's clock is taken to run to {STEPS}")
    if config.get("rescale_betas_zero_snr"):
        raise Problem("scheduler_config.json: rescale_betas_zero_snr has no counterpart here")
    betas = config.get("trained_betas")
    noise = {
        "name": "table", "betas": BETAS[counterpart(BETAS, config, "beta_schedule", "linear")] if betas is None else list(betas), "steps": steps,
        "start": float(config.get("beta_start", 1e-4)), "end": float(config.get("beta_end", 0.02)),
        "spacing": config.get("timestep_spacing", "leading"), "offset": int(config.get("steps_offset", 0)),
        "final_one": bool(config.get("set_alpha_to_one", True)),
    }  # fmt: skip
    sample: dict[str, Any] = dict(zip(("name", "steps"), SAMPLERS[kind], strict=True))
    if kind in ("DDPMScheduler", "DDIMScheduler") and (config.get("clip_sample", True) or config.get("thresholding")):
        sample["clip"] = "dynamic" if config.get("thresholding") else "static"
    if kind == "DDPMScheduler" and config.get("variance_type", "fixed_small") in ("fixed_large", "fixed_large_log"):
        sample["options"] = {"large": True}
    return {"predict": PREDICTIONS[predict], "noise": noise, "sample": sample}


def counterpart(table: Mapping[str, Any], config: Mapping[str, Any], key: str, default: str) -> str:
    """The value of a key, by default `default`; raises Problem where the table has none of that name."""
    value = config.get(key, default)
    if value not in table:
        raise Problem(f"scheduler_config.json: {key} {value!r} has no counterpart here; known are {', '.join(table)}")
    return value


def write(schedule: Schedule, predict: Any, sampler: str, clip: str) -> dict[str, Any]:
    """diffusers' scheduler_config.json of our schedule; one that is no table as the betas of 1000 even times."""
    names = {ours: theirs for theirs, ours in PREDICTIONS.items()}
    if predict not in names:
        raise Problem(f"diffusers' schedulers know predict={', '.join(names)}, not {predict}; train with one of them to export")
    common: dict[str, Any] = {
        "_class_name": "DDPMScheduler" if sampler == "ddpm" else "DDIMScheduler", "num_train_timesteps": STEPS,
        "prediction_type": names[predict], "clip_sample": clip == "static", "timestep_spacing": "leading",
    }  # fmt: skip
    if isinstance(schedule, Table):
        if schedule.steps != STEPS:
            raise Problem(f"diffusers' networks read the index of {STEPS} steps, this run has {schedule.steps}; train with {STEPS}")
        common |= {"timestep_spacing": schedule.spacing, "steps_offset": schedule.offset}
        common |= {} if sampler == "ddpm" else {"set_alpha_to_one": schedule.final_one}
        known = {ours: theirs for theirs, ours in BETAS.items()}
        if isinstance(schedule.betas, str) and schedule.betas in known:
            return common | {"beta_schedule": known[schedule.betas], "beta_start": schedule.start, "beta_end": schedule.end}
        return common | {"beta_schedule": "linear", "trained_betas": schedule.betas_tensor.tolist()}
    level = schedule(torch.arange(STEPS, dtype=torch.float64) / STEPS)
    signal = (level.alpha.square() / (level.alpha.square() + level.sigma.square())).clamp(max=1 - 1e-5)  # index 0 is clean, no beta says so
    ratio = signal / torch.cat([torch.ones(1, dtype=signal.dtype), signal[:-1]])
    return common | {"beta_schedule": "linear", "trained_betas": (1 - ratio).clamp(1e-8, 0.9999).tolist(), "timestep_spacing": "trailing"}
