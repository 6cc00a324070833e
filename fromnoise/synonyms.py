"""The words of other libraries, papers and commands, and ours for the same."""

import re
from collections.abc import Iterable

# A word that people try -> the settings, as a recipe writes them, that it may mean. Options of commands are called as the last part of a setting.
OURS: dict[str, tuple[str, ...]] = {
    # of a recipe's parts
    "dataset": ("data",), "dataset_name": ("data",), "train_data_dir": ("data.path",), "dir": ("data.path",), "folder": ("data.path",),
    "resolution": ("data.size",), "image_size": ("data.size",), "img_size": ("data.size",), "random_flip": ("data.flip",), "hflip": ("data.flip",),
    "model": ("network",), "net": ("network",), "arch": ("network",), "backbone": ("network",), "unet": ("network",),
    "hidden_size": ("network.width",), "dim": ("network.width",), "channels": ("network.width",), "model_channels": ("network.width",),
    "num_channels": ("network.width",), "dim_mults": ("network.levels",), "channel_mult": ("network.levels",), "block_out_channels": ("network.levels",),
    "num_res_blocks": ("network.blocks",), "layers_per_block": ("network.blocks",), "num_layers": ("network.depth",), "num_heads": ("network.heads",),
    "patch_size": ("network.patch",), "attention_resolutions": ("network.attention",), "num_classes": ("conditions",), "class_cond": ("conditions",),
    "prediction_type": ("predict",), "objective": ("predict",), "parameterization": ("predict",), "beta_schedule": ("noise",), "noise_schedule": ("noise",),
    "schedule": ("noise",), "scheduler": ("sample.sampler", "sample.name", "noise"), "num_train_timesteps": ("noise",), "timesteps": ("noise",),
    "sigma_data": ("data_std",), "vae": ("autoencoder",), "lora": ("adapter",), "resume": ("base",), "pretrained": ("base",), "checkpoint": ("base",),
    # of training
    "epochs": ("train.images",), "epoch": ("train.images",), "num_epochs": ("train.images",), "max_epochs": ("train.images",),
    "num_train_epochs": ("train.images",), "max_steps": ("train.steps",), "max_train_steps": ("train.steps",), "iterations": ("train.steps",),
    "iters": ("train.steps",), "num_steps": ("train.steps", "sample.steps"), "kimg": ("train.images",), "time": ("train.minutes",), "hours": ("train.minutes",),
    "learning_rate": ("train.lr",), "batch_size": ("train.batch",), "train_batch_size": ("train.batch",), "bs": ("train.batch",), "optim": ("train.optimizer",),
    "gradient_accumulation_steps": ("train.accumulate",), "grad_accum": ("train.accumulate",), "lr_scheduler": ("train.rate",), "lr_schedule": ("train.rate",),
    "warmup_steps": ("train.warmup",), "lr_warmup_steps": ("train.warmup",), "wd": ("train.weight_decay",), "ema_decay": ("train.ema",), "ema_rate": ("train.ema",),
    "max_grad_norm": ("train.clip",), "grad_clip": ("train.clip",), "gradient_clip_val": ("train.clip",), "mixed_precision": ("train.precision",),
    "fp16": ("train.precision",), "bf16": ("train.precision",), "amp": ("train.precision",), "gradient_checkpointing": ("train.recompute",),
    "num_workers": ("train.workers",), "loss": ("train.distance",), "loss_type": ("train.distance",),
    "loss_weighting": ("train.weight",), "snr_gamma": ("train.weight",),
    "save_interval": ("train.save_every",), "checkpointing_steps": ("train.save_every",), "eval_every": ("train.evals",), "logger": ("train.tracker",),
    "report_to": ("train.tracker",), "adam_beta1": ("train.betas",), "random_seed": ("seed",),
    # of sampling
    "cfg": ("sample.guidance",), "cfg_scale": ("sample.guidance",), "guidance_scale": ("sample.guidance",), "w": ("sample.guidance",),
    "num_inference_steps": ("sample.steps",), "sampling_steps": ("sample.steps",), "nfe": ("sample.steps",), "method": ("sample.sampler", "sample.name"),
    "solver": ("sample.sampler", "sample.name"), "guidance_rescale": ("sample.rescale",), "negative_prompt": ("sample.negative",),
    "num_samples": ("number",), "n_samples": ("number",), "num_images": ("number",), "samples": ("number",), "count": ("number",),
    "prompt": ("text",), "caption": ("text",), "class": ("label",), "class_label": ("label",), "classes": ("label",), "output": ("out",), "o": ("out",),
    "gpu": ("device",), "cuda": ("device",), "controlnet": ("control",), "denoising_strength": ("strength",), "init_image": ("init",),
    # samplers, predictions, schedules, optimizers
    "euler_a": ("euler_ancestral",), "euler_discrete": ("euler",), "dpm_solver": ("dpmpp_2m",), "dpmsolver": ("dpmpp_2m",), "dpm_2m": ("dpmpp_2m",),
    "dpm_solverpp": ("dpmpp_2m",), "ode": ("euler", "heun"), "epsilon": ("eps",), "noise": ("eps",), "sample": ("x0",), "x_0": ("x0",), "x_start": ("x0",),
    "v_prediction": ("v",), "flow_matching": ("velocity", "flow"), "rectified_flow": ("velocity", "flow"), "squaredcos_cap_v2": ("cosine",), "adam_w": ("adamw",),
    "uvit_base": ("uvit_mid",), "uvit_b": ("uvit_mid",),
}  # fmt: skip
# Settings of ours, typed without the part that they are of.
for _part, _names in {
    "data": "path root size flip fit held_out skip_broken", "network": "width levels blocks attention patch heads depth dropout",
    "noise": "low high", "sample": "guidance sampler rescale",
    "train": "images minutes batch accumulate optimizer lr rate warmup ema ema_warmup betas weight_decay clip weight distance penalty precision compile "
             "recompute evals log_every save_minutes save_every keep keep_every keep_best workers tracker max_bad_steps penalty_weight",
}.items():  # fmt: skip
    for _name in _names.split():
        OURS.setdefault(_name, (f"{_part}.{_name}",))
OURS["steps"] = ("train.steps", "sample.steps")
_BETAS = ("quadratic", "scaled_linear", "sqrt_linear", "sigmoid")
OURS |= {name: ("table",) for name in _BETAS}
_EPOCH = "an epoch is the number of examples: 3 epochs of 60,000 are train.images=180_000"
NOTES = {  # where another unit is meant
    **dict.fromkeys(("epochs", "epoch", "num_epochs", "max_epochs", "num_train_epochs"), _EPOCH), "kimg": "a kimg is 1000",
    **dict.fromkeys(("warmup_steps", "lr_warmup_steps"), "it counts images: steps times train.batch"),
    **{name: f"a table with betas={name}" for name in _BETAS},
    **dict.fromkeys(("uvit_base", "uvit_b"), "the paper has small, mid, large and huge"),
    **dict.fromkeys(("num_train_timesteps", "timesteps"), "of a table: noise=table noise.steps=1000"),
    "beta_schedule": "of a table: noise=table noise.betas=linear",
    **dict.fromkeys(("ema_decay", "ema_rate"), "it is a half-life in images, not a decay"), "eval_every": "it says how many there are in the run",
}  # fmt: skip


def plain(word: str) -> str:
    """A name as it would be written here: `DPM++ 2M` as dpmpp_2m, `--batch-size` as batch_size, k_euler as euler."""
    return re.sub(r"[\s_-]+", "_", str(word).strip().strip("-").lower().replace("++", "pp")).removeprefix("k_")


def meant(word: str, known: Iterable[str]) -> list[str]:
    """Which of the known names, or settings below them, another word for them stands for; none where it is no such word."""
    known, word = list(known), plain(word)
    if same := [name for name in known if plain(name) == word]:
        return same
    found = []
    for ours in OURS.get(word, ()):
        part, _, leaf = ours.rpartition(".")
        found += [name for name in (ours, leaf) if name in known][:1] or ([ours] if part in known else [])
    return list(dict.fromkeys(found))
