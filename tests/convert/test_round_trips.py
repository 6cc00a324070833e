"""What was imported is exported as it came, and what was exported is imported as it was."""

import json

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, DiTTransformer2DModel, UNet2DModel
from safetensors.torch import load_file

import fromnoise
from fromnoise.convert import scheduler
from fromnoise.errors import Problem
from fromnoise.model import export_run, import_run
from tests.convert.test_folders import NET, run_with
from tests.convert.test_network_fields import ATTN, ATTN_UP, BASES, DOWN, SCALE, UNET, UP
from tests.convert.test_networks import alike
from tests.parts import stirred

UNETS = {
    "base": {},
    "the first DDPM": {"freq_shift": 1, "downsample_padding": 0, "norm_eps": 1e-6, "dropout": 0.1},
    "scale and shift": SCALE | {"attn_norm_num_groups": 4},
    "no attention": {"add_attention": False, "down_block_types": (DOWN, DOWN), "up_block_types": (UP, UP)},
    "attention everywhere": {"attention_head_dim": 4, "down_block_types": (ATTN, ATTN), "up_block_types": (ATTN_UP, ATTN_UP)},
    "one head": {"attention_head_dim": None, "down_block_types": (ATTN, ATTN), "up_block_types": (ATTN_UP, ATTN_UP)},
    "classes": {"num_class_embeds": 3},
    "not square": {"sample_size": (8, 16)},
}
SCHEDULERS = {
    "ddpm": DDPMScheduler(),
    "ddpm trailing": DDPMScheduler(timestep_spacing="trailing", clip_sample=False, prediction_type="v_prediction"),
    "ddpm large": DDPMScheduler(variance_type="fixed_large", beta_schedule="squaredcos_cap_v2"),
    "ddim": DDIMScheduler(clip_sample_range=2.0),
    "ddim as Stable Diffusion": DDIMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1, set_alpha_to_one=False, clip_sample=False
    ),
    "ddim of its own betas": DDIMScheduler(trained_betas=torch.linspace(1e-3, 0.02, 1000).tolist(), prediction_type="sample"),
    "ddim thresholded": DDIMScheduler(thresholding=True, clip_sample=False, sample_max_value=1.5, dynamic_thresholding_ratio=0.9),
}


def content(folder, file: str) -> dict:
    return {key: value for key, value in json.loads((folder / file).read_text()).items() if not key.startswith("_")}


def there_and_back(tmp_path):
    import_run(tmp_path / "theirs", tmp_path / "run")
    export_run(tmp_path / "run", tmp_path / "again")
    return tmp_path / "theirs", tmp_path / "again"


def same_weights(a, b) -> bool:
    a, b = load_file(a), load_file(b)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("case", UNETS)
def test_a_unet_is_exported_as_it_came(tmp_path, case):
    DDPMPipeline(stirred(UNet2DModel(**UNET | UNETS[case])), DDPMScheduler()).save_pretrained(tmp_path / "theirs")
    theirs, again = there_and_back(tmp_path)
    came, defaults = content(theirs, "unet/config.json"), dict(UNet2DModel(**UNET).config)
    went = {key: defaults[key] for key in came} | content(again, "unet/config.json")
    went["attn_norm_num_groups"] = came["attn_norm_num_groups"] or went["norm_num_groups"] and came["attn_norm_num_groups"]
    assert {key: (value, went[key]) for key, value in came.items() if value != went[key]} == {}
    assert same_weights(*(folder / "unet" / "diffusion_pytorch_model.safetensors" for folder in (theirs, again)))


@pytest.mark.parametrize("case", SCHEDULERS)
def test_a_scheduler_is_exported_as_it_came(tmp_path, case):
    own = SCHEDULERS[case]
    (DDIMPipeline if isinstance(own, DDIMScheduler) else DDPMPipeline)(UNet2DModel(**UNET), own).save_pretrained(tmp_path / "theirs")
    theirs, again = there_and_back(tmp_path)
    came, went = (content(folder, "scheduler/scheduler_config.json") for folder in (theirs, again))
    assert {key: (value, went[key]) for key, value in came.items() if key in went and value != went[key]} == {}
    assert content(theirs, "model_index.json") == content(again, "model_index.json")
    kind = {"_class_name": type(own).__name__}
    assert scheduler.read(came | kind) == scheduler.read(went | kind)


def test_a_dit_is_exported_as_it_came(tmp_path):
    dit = alike(stirred(DiTTransformer2DModel(**BASES["DiTTransformer2DModel"] | {"norm_eps": 1e-6})))
    dit.save_pretrained(tmp_path / "theirs" / "transformer")
    DDPMScheduler(clip_sample=False).save_pretrained(tmp_path / "theirs" / "scheduler")
    theirs, again = there_and_back(tmp_path)
    came, went = (content(folder, "transformer/config.json") for folder in (theirs, again))
    assert {key for key, value in came.items() if value != went.get(key)} <= {"out_channels"} | {key for key in came if key not in went}
    assert same_weights(*(folder / "transformer" / "diffusion_pytorch_model.safetensors" for folder in (theirs, again)))


def test_the_order_of_sines_and_cosines_is_ours_after_the_journey(tmp_path):
    """The one setting that comes back otherwise, with weights that undo it."""
    unet = stirred(UNet2DModel(**UNET | {"flip_sin_to_cos": False}))
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(tmp_path / "theirs")
    back = UNet2DModel.from_pretrained(there_and_back(tmp_path)[1] / "unet")
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([3, 900])
    assert back.config.flip_sin_to_cos
    with torch.no_grad():
        assert torch.allclose(back(x, t).sample, unet(x, t).sample, atol=1e-5)


@pytest.mark.parametrize(
    "settings",
    [
        {"sample": {"name": "ddim", "steps": 13, "options": {"eta": 0.5}, "clip": "static"}, "predict": "v"},
        {"sample": {"name": "ddpm", "steps": 250, "options": {"large": True}}, "predict": "eps"},
        {"sample": {"name": "unipc", "steps": 9}, "predict": "x0", "noise": {"name": "table", "spacing": "trailing", "high": 0.9}},
        {"conditions": [{"name": "label", "drop": 0.25}]},
        {"conditions": [{"name": "label", "drop": 0.0}]},
        {"conditions": [{"name": "label", "enter": "add"}]},
        {"network": {"name": "dit", "width": 16, "depth": 2, "heads": 2, "compat": {"shift": 1}}, "conditions": [{"name": "label", "drop": 0.3}]},
    ],
    ids=str,
)
def test_what_was_exported_is_imported_as_it_was(tmp_path, settings):
    settings = {"network": NET, "predict": "eps", "noise": {"name": "table"}, "sample": {"name": "ddim", "steps": 10}} | settings
    run = run_with(tmp_path / "run", settings, classes=("cat", "dog") if "conditions" in settings else ())
    export_run(run.path, tmp_path / "theirs")
    import_run(tmp_path / "theirs", tmp_path / "back")
    ours, back = (fromnoise.load(tmp_path / name, "cpu") for name in ("run", "back"))
    a, b = ours.state_dict(), back.state_dict()
    assert a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
    assert back.sampling.record() == ours.sampling.record() and back.classes == ours.classes and back.shape == ours.shape
    levels = [torch.stack([level.alpha for level in model.noise.levels(100)]) for model in (ours, back)]
    assert back.denoiser.predict == ours.denoiser.predict and torch.allclose(*levels, rtol=1e-12)
    assert [c.drop for c in back.conditions.values()] == [c.drop for c in ours.conditions.values()]
    export_run(tmp_path / "back", tmp_path / "again")
    for file in sorted(path.relative_to(tmp_path / "theirs") for path in (tmp_path / "theirs").rglob("*.*")):
        assert (tmp_path / "theirs" / file).read_bytes() == (tmp_path / "again" / file).read_bytes(), file


def test_code_is_not_taken_from_what_a_folder_remembers(tmp_path):
    run = run_with(tmp_path / "run", {"network": NET, "predict": "eps", "noise": {"name": "table"}, "sample": {"name": "ddim"}})
    export_run(run.path, tmp_path / "theirs")
    file = tmp_path / "theirs" / "fromnoise.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sample": {"name": "os:system"}}))
    assert fromnoise.load(tmp_path / "theirs", "cpu").sampling.sampler == "ddim"


def test_a_scheduler_that_was_changed_since_goes_before_what_the_folder_remembers(tmp_path):
    sample = {"name": "ddim", "steps": 13, "clip": {"name": "static", "bound": 0.5}}
    run = run_with(tmp_path / "run", {"network": NET, "predict": "eps", "noise": {"name": "table"}, "sample": sample})
    export_run(run.path, tmp_path / "theirs")
    file = tmp_path / "theirs" / "scheduler" / "scheduler_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"clip_sample_range": 2.0}))
    found = fromnoise.load(tmp_path / "theirs", "cpu").sampling
    assert found.clip == {"name": "static", "bound": 2.0, "keep_eps": True} and found.steps == 13
    DDPMScheduler().save_pretrained(tmp_path / "theirs" / "scheduler")
    index = tmp_path / "theirs" / "model_index.json"
    index.write_text(json.dumps({"_class_name": "DDPMPipeline", "unet": ["diffusers", "UNet2DModel"], "scheduler": ["diffusers", "DDPMScheduler"]}))
    found = fromnoise.load(tmp_path / "theirs", "cpu").sampling
    assert (found.sampler, found.steps, found.clip) == ("ddpm", 1000, "static")


def test_a_size_that_diffusers_cannot_halve_is_refused(tmp_path):
    run = run_with(tmp_path / "run", {"network": NET, "predict": "eps", "noise": {"name": "table"}}, shape=(3, 9, 16))
    with pytest.raises(Problem, match="halves pictures 1 times without a rest, and 9x16 leaves one"):
        export_run(run.path, tmp_path / "theirs")
