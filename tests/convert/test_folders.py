"""Folders in diffusers' layout: what diffusers reads of ours, and we of theirs."""

import json
import pickle

import pytest
import torch
from diffusers import (
    DDIMPipeline,
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DiTTransformer2DModel,
    DPMSolverMultistepScheduler,
    UNet2DModel,
)
from safetensors.torch import load_file, save_file

import fromnoise
from fromnoise import convert
from fromnoise.config import Recipe
from fromnoise.diffusion import Level
from fromnoise.errors import Problem
from fromnoise.model import export_run
from fromnoise.runs.folder import Run
from fromnoise.samplers import SAMPLERS
from tests.cli.test_cli import call
from tests.convert.test_networks import LAST, TWO, alike
from tests.parts import built, stirred

NET = {"name": "unet", "width": 32, "levels": [1, 2], "blocks": 1, "attention": [1], "compat": {"groups": 8}, "head": 8}


def run_with(path, settings: dict, shape=(3, 16, 16), classes=()) -> Run:
    torch.manual_seed(0)
    model = built(settings, shape, classes)
    stirred(model)
    run = Run(path)
    run.save_weights(model, 1)
    run.write_recipe(Recipe.of(settings | {"shape": list(shape), "classes": list(classes)}))
    return run


def exported(run: Run, folder) -> str:
    config, model = run.recipe(True).as_dict(), fromnoise.load(run.path, "cpu")
    return convert.write(folder, config, config["network"], model.state_dict(), model.sampling_schedule())


def drawn(pipeline, start: torch.Tensor, **words) -> torch.Tensor:
    """What a pipeline's own loop makes of this noise, in [-1, 1]."""
    pipeline.set_progress_bar_config(disable=True)
    x = start
    pipeline.scheduler.set_timesteps(words.pop("steps"))
    for t in pipeline.scheduler.timesteps:
        with torch.no_grad():
            x = pipeline.scheduler.step(pipeline.unet(x, t).sample, t, x, **words).prev_sample
    return x


@pytest.mark.parametrize("predict", ["eps", "v", "x0"])
@pytest.mark.parametrize("betas", ["linear", "cosine", "quadratic"])
def test_an_exported_run_is_a_ddim_pipeline_that_draws_the_same(tmp_path, predict, betas):
    noise = {"name": "table", "betas": betas, "start": 1e-4, "end": 0.02}
    run = run_with(tmp_path / "run", {"network": NET, "predict": predict, "noise": noise, "sample": {"name": "ddim", "steps": 10}})
    assert exported(run, tmp_path / "theirs") == "DDIMPipeline"
    pipeline = DDIMPipeline.from_pretrained(tmp_path / "theirs")
    model = fromnoise.load(run.path, "cpu")
    model.denoiser.autocast = None
    expected = drawn(pipeline, model.start(2, seed=3), steps=10)
    found = model.sample(2, seed=3, guidance=1)
    assert torch.allclose(found, expected.clamp(-1, 1), atol=2e-3) and float((found - expected.clamp(-1, 1)).abs().mean()) < 1e-4
    both = fromnoise.load(tmp_path / "theirs", "cpu")  # and back again
    both.denoiser.autocast = None
    assert torch.allclose(both.sample(2, seed=3, sampler="ddim", steps=10, clip="none"), found, atol=1e-3)


def test_an_exported_ddpm_run_is_a_ddpm_pipeline(tmp_path):
    settings = {"network": NET, "predict": "eps", "noise": {"name": "table"}, "sample": {"name": "ddpm", "steps": 1000, "clip": "static"}}
    assert exported(run_with(tmp_path / "run", settings), tmp_path / "theirs") == "DDPMPipeline"
    pipeline = DDPMPipeline.from_pretrained(tmp_path / "theirs")
    assert pipeline.scheduler.config.clip_sample and pipeline.scheduler.config.prediction_type == "epsilon"
    pipeline.set_progress_bar_config(disable=True)
    assert pipeline(batch_size=1, num_inference_steps=3, output_type="np").images.shape == (1, 16, 16, 3)


SQUARES = {"name": "table", "betas": "quadratic"}
SAID = {  # settings of a run beside those of table: True where diffusers draws the very picture, False where its network answers the same, or why not
    "table": ({}, True),
    "table high": ({"noise": {"name": "table", "high": 0.9}}, True),
    "table trailing": ({"noise": {"name": "table", "spacing": "trailing"}}, True),
    "table offset": ({"noise": {"name": "table", "offset": 1, "final_one": False}}, True),
    "table clipped": ({"sample": {"name": "ddim", "clip": "static"}}, True),
    "table clipped, eps kept": ({"sample": {"name": "ddim", "clip": {"name": "static", "bound": 0.5, "keep_eps": True}}}, True),
    "table thresholded": ({"sample": {"name": "ddim", "clip": "dynamic"}}, True),
    "table euler": ({"sample": {"name": "euler"}}, True),
    "squares": ({"noise": SQUARES}, True),
    "its own levels": ({"noise": SQUARES, "sample": {"name": "ddim", "schedule": SQUARES | {"spacing": "trailing"}}}, True),
    "table dpmpp": ({"sample": {"name": "dpmpp_2m"}}, False),
    "cosine": ({"noise": "cosine"}, False),
    "cosine high": ({"noise": {"name": "cosine", "high": 0.99}, "predict": "eps"}, False),
    "linear": ({"noise": "linear"}, False),
    "flow": ({"noise": "flow"}, False),
    "shifted": ({"noise": {"name": "shifted", "by": 2.0, "base": {"name": "cosine"}}}, False),
    "logitnormal": ({"noise": "logitnormal"}, False),
    "low": ({"noise": {"name": "cosine", "low": 0.1}}, "low=0.1"),
    "table low": ({"noise": {"name": "table", "low": 0.1}}, "low=0.1"),
    "other levels": ({"noise": "cosine", "sample": {"name": "ddim", "schedule": "linear"}}, "sample.schedule is linear"),
    "other betas": ({"noise": {"name": "table"}, "sample": {"name": "ddim", "schedule": SQUARES}}, "sample.schedule is table"),
    "karras": ({"noise": "lognormal", "sample": {"name": "ddim", "schedule": "karras"}}, "sample.schedule is karras"),
    "lost in float32": ({"noise": {"name": "table", "betas": "sqrt_linear"}}, "float32"),
    "quadratic": ({"noise": {"name": "table", "spacing": "quadratic"}}, "spacing quadratic"),
    "linspace": ({"noise": {"name": "table", "spacing": "linspace"}}, "spacing linspace"),
    "trailing offset": ({"noise": {"name": "table", "spacing": "trailing", "offset": 1}}, "offset with spacing trailing"),
    "ddpm to index 0": ({"noise": {"name": "table", "final_one": False}, "sample": {"name": "ddpm"}}, "ends at index 0"),
    "large": ({"noise": {"name": "table", "offset": 1}, "sample": {"name": "ddpm", "options": {"large": True}}}, "large variance"),
    "bound": ({"sample": {"name": "ddim", "clip": {"name": "dynamic", "bound": 2.0}}}, "bound 1"),
    "beyond": ({"noise": {"name": "table", "offset": 20}, "sample": {"steps": 100}}, "begins at index 1010 of 1000"),
}


@pytest.mark.parametrize("case", SAID)
def test_what_is_exported_answers_as_here_at_every_index_and_the_rest_is_refused(tmp_path, case):
    change, said = SAID[case]
    settings = {"network": NET, "predict": "v", "noise": {"name": "table"}} | change
    settings["sample"] = {"name": "ddim", "steps": 10} | settings.get("sample", {})
    run = run_with(tmp_path / "run", settings)
    if isinstance(said, str):
        with pytest.raises(Problem, match=said):
            exported(run, tmp_path / "theirs")
        return
    exported(run, tmp_path / "theirs")
    pipeline, model = DDIMPipeline.from_pretrained(tmp_path / "theirs"), fromnoise.load(run.path, "cpu")
    model.denoiser.autocast = None
    scheduler, x = pipeline.scheduler, model.start(2, seed=3)
    for i in (1, 2, 200, 600, 850, 989):
        level = Level(scheduler.alphas_cumprod[i].double().sqrt(), (1 - scheduler.alphas_cumprod[i].double()).sqrt())
        with torch.no_grad():
            expected = pipeline.unet(x, torch.tensor(i)).sample
            assert torch.allclose(model.denoiser.raw(x, level), expected, atol=2e-3 * float(expected.abs().max()))
    if said:
        clipped = "use_clipped_model_output=True" in convert.unsaid(run.recipe(True).as_dict(), model.sampling_schedule())[0]
        expected = drawn(pipeline, x, steps=10, use_clipped_model_output=clipped).clamp(-1, 1)
        assert float((model.sample(2, seed=3) - expected).square().mean()) < 4e-6  # 60 dB


def test_what_a_pipeline_is_to_be_told_is_printed(tmp_path, monkeypatch, capsys):
    sample = {"name": "ddim", "steps": 10, "options": {"eta": 0.5}, "clip": "static", "guidance": 2.0}
    run = run_with(tmp_path / "run", {"network": NET, "noise": "cosine", "sample": sample, "conditions": ["label"]}, classes=("a", "b"))
    _, out, _ = call(monkeypatch, capsys, "export", run.path, tmp_path / "theirs")
    for words in ("num_inference_steps=10, eta=0.5, use_clipped_model_output=True", "starts at t = 0.999", "no guidance", "class_labels"):
        assert words in out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, []),
        ({"source": {"name": "gaussian", "offset": 0.1}}, ["it starts from standard noise, the run from source.offset=0.1"]),
        ({"noise": {"name": "table", "spacing": "trailing"}}, []),
        (
            {"noise": {"name": "table", "spacing": "trailing"}, "sample": {"name": "ddim", "steps": 30}},
            ["its steps are 33 indices long, its indices 33.33 apart; take a number of steps that divides 1000"],
        ),
        ({"sample": {"name": "heun", "steps": 10, "options": {"frame": "ve"}}}, ["its pipeline draws by DDIM, the run by heun with {'frame': 've'}"]),
    ],
    ids=str,
)
def test_what_a_pipeline_does_otherwise_is_said(tmp_path, change, said):
    settings = {"network": NET, "predict": "eps", "noise": {"name": "table"}, "sample": {"name": "ddim", "steps": 10}} | change
    assert export_run(run_with(tmp_path / "run", settings).path, tmp_path / "theirs")[1][1:] == said


@pytest.mark.parametrize("scheduler", [DDPMScheduler, DDIMScheduler, DPMSolverMultistepScheduler], ids=lambda s: s.__name__)
def test_a_pipelines_folder_loads_and_draws_with_every_sampler(tmp_path, scheduler):
    unet = stirred(UNet2DModel(**TWO, **LAST))
    (DDIMPipeline if scheduler is DDIMScheduler else DDPMPipeline)(unet, scheduler()).save_pretrained(tmp_path)
    model = fromnoise.load(tmp_path, "cpu")
    for sampler in SAMPLERS:
        assert torch.isfinite(model.sample(1, sampler=sampler, steps=3)).all()


def test_a_networks_folder_loads_alone_and_classes_come_along(tmp_path):
    UNet2DModel(**TWO, **LAST, num_class_embeds=4).save_pretrained(tmp_path)
    model = fromnoise.load(tmp_path, "cpu")
    assert list(model.classes) == list("0123") and model.shape == (3, 16, 16)
    assert model.sample(2, steps=2, label=[3, 0]).shape == (2, 3, 16, 16)
    with pytest.raises(Problem, match="never trained without its label"):
        model.sample(1, steps=1, guidance=2, label=1)


def test_guidance_survives_the_journey(tmp_path):
    settings = {"network": NET, "conditions": [{"name": "label", "drop": 0.1}], "noise": {"name": "table"}, "predict": "eps"}
    run = run_with(tmp_path / "run", settings, classes=("cat", "dog"))
    exported(run, tmp_path / "theirs")
    ours, theirs = fromnoise.load(run.path, "cpu"), fromnoise.load(tmp_path / "theirs", "cpu")
    assert list(theirs.classes) == ["cat", "dog"]
    walk = {"sampler": "ddim", "steps": 4, "guidance": 3.0, "label": [0, 1], "clip": "none"}
    for model in (ours, theirs):
        model.denoiser.autocast = None
    assert torch.allclose(ours.sample(2, **walk), theirs.sample(2, **walk), atol=1e-3)


def test_a_dit_goes_there_and_comes_back(tmp_path):
    net = {"name": "dit", "width": 32, "depth": 2, "heads": 2, "compat": {"shift": 1}}
    settings = {"network": net, "conditions": [{"name": "label"}], "noise": {"name": "table"}, "predict": "eps"}
    run = run_with(tmp_path / "run", settings, classes=("a", "b", "c"))
    assert exported(run, tmp_path / "theirs") == "DiTTransformer2DModel"
    theirs = DiTTransformer2DModel.from_pretrained(tmp_path / "theirs" / "transformer").eval()
    model = fromnoise.load(run.path, "cpu")
    model.denoiser.autocast = None
    x, level = torch.randn(2, 3, 16, 16), model.sampling_schedule().at(437)
    with torch.no_grad():
        expected = theirs(x, torch.tensor([437, 437]), class_labels=torch.tensor([2, 3])).sample
        context = model.context(1, {"label": 2}).cat(model.context(1, {}))
        assert torch.allclose(model.denoiser.raw(x, level, context), expected, atol=1e-5)


def test_dits_pipeline_draws_what_we_draw(tmp_path):
    """Through a real DiTPipeline: latents, guidance, DDIM; its autoencoder is left out of the comparison."""
    from diffusers import AutoencoderKL, DiTPipeline

    torch.manual_seed(0)
    transformer = stirred(alike(DiTTransformer2DModel(2, 16, 4, 4, num_layers=2, sample_size=8, num_embeds_ada_norm=1000)))
    transformer = alike(transformer)
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    seen: dict[str, torch.Tensor] = {}
    pipeline = DiTPipeline(transformer, vae, DDIMScheduler(clip_sample=False))
    pipeline.set_progress_bar_config(disable=True)
    transformer.save_pretrained(tmp_path)
    vae.decode = lambda latents: (
        seen.update(latents=latents * vae.config.scaling_factor) or type("Out", (), {"sample": torch.zeros(1, 3, 8, 8)})
    )
    model = fromnoise.load(tmp_path, "cpu")
    model.denoiser.autocast = None
    start = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(5))
    pipeline([7], guidance_scale=4.0, generator=torch.Generator().manual_seed(5), num_inference_steps=5, output_type="np")
    model.start = lambda n, seed, first, schedule: start.expand(n, -1, -1, -1)
    *_, (found, _) = model.trajectory(1, sampler="ddim", steps=5, guidance=4.0, label=7, clip="none")
    assert torch.allclose(found, seen["latents"][:1], atol=2e-3)


def unet_pipeline(folder) -> UNet2DModel:
    torch.manual_seed(0)
    unet = UNet2DModel(**TWO, **LAST)
    DDIMPipeline(unet, DDIMScheduler(steps_offset=1)).save_pretrained(folder)
    return unet


def same_weights(model, unet: UNet2DModel) -> bool:
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([10, 700])
    with torch.no_grad():
        return torch.allclose(model.denoiser.network(x, t / 1000), unet(x, t).sample, atol=1e-5)


def test_attention_weights_under_their_older_names_load(tmp_path):
    unet, older = unet_pipeline(tmp_path), {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    file = tmp_path / "unet" / "diffusion_pytorch_model.safetensors"
    weights = load_file(file)
    for new, old in older.items():
        weights = {name.replace(f".{new}.", f".{old}."): tensor for name, tensor in weights.items()}
    assert weights.keys() != load_file(file).keys()
    save_file(weights, file)
    assert same_weights(fromnoise.load(tmp_path, "cpu"), unet)


@pytest.mark.parametrize("layout", ["root", "network of a pipeline"])
def test_the_scheduler_is_the_pipelines_wherever_the_files_lie(tmp_path, layout):
    unet, where = unet_pipeline(tmp_path), tmp_path / "unet"
    if layout == "root":
        for file in [*(tmp_path / "unet").iterdir(), *(tmp_path / "scheduler").iterdir()]:
            file.rename(tmp_path / file.name)
        (tmp_path / "unet").rmdir(), (tmp_path / "scheduler").rmdir()
        where = tmp_path
        assert DDIMPipeline.from_pretrained(tmp_path).scheduler.config.steps_offset == 1
    model = fromnoise.load(where, "cpu")
    assert same_weights(model, unet) and model.noise.offset == 1 and model.sampling.sampler == "ddim"


def test_a_pipeline_without_its_scheduler_is_not_guessed(tmp_path):
    unet_pipeline(tmp_path)
    (tmp_path / "scheduler" / "scheduler_config.json").unlink()
    with pytest.raises(Problem, match="scheduler_config.json is missing"):
        fromnoise.load(tmp_path, "cpu")


@pytest.mark.parametrize("part", [".", "unet"])
def test_pipelines_on_latents_bring_their_autoencoder(tmp_path, part):
    from diffusers import LDMPipeline, VQModel

    unet = UNet2DModel(**TWO, **LAST)
    vqvae = VQModel(block_out_channels=(16,), norm_num_groups=4, latent_channels=3, num_vq_embeddings=8)
    LDMPipeline(vqvae=vqvae, unet=unet, scheduler=DDIMScheduler()).save_pretrained(tmp_path)
    model = fromnoise.load(tmp_path / part, "cpu")
    assert model.latent_shape == model.shape == (3, 16, 16) and torch.allclose(model.autoencoder.std, torch.full((3,), 1 / 0.18215))


# What is wrong with a folder


def wreck(folder, how: str) -> None:
    weights, config = folder / "diffusion_pytorch_model.safetensors", folder / "config.json"
    tensors, settings = load_file(weights), json.loads(config.read_text())
    if how == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    elif how == "missing":
        weights.unlink()
    elif how == "lacks":
        tensors.pop("conv_in.weight")
        save_file(tensors, weights)
    elif how == "extra":
        save_file(tensors | {"more": torch.zeros(1)}, weights)
    elif how == "shape":
        save_file(tensors | {"conv_in.bias": torch.zeros(7)}, weights)
    elif how == "kind":
        config.write_text(json.dumps(settings | {"_class_name": "UNet3DConditionModel"}))
    elif how == "json":
        config.write_text("{")
    elif how == "pickle":
        weights.unlink()
        (folder / "diffusion_pytorch_model.bin").write_bytes(pickle.dumps({"x": print}))


@pytest.mark.parametrize(
    ("how", "says"),
    [("cut", "cut short"), ("missing", "missing"), ("lacks", "lack conv_in.weight"), ("extra", "hold more"), ("shape", "conv_in.bias")]
    + [("kind", "UNet3DConditionModel"), ("json", "cannot be read as JSON"), ("pickle", "never executes code")],
)
def test_a_bad_folder_is_one_line(tmp_path, how, says):
    UNet2DModel(**TWO, **LAST).save_pretrained(tmp_path)
    wreck(tmp_path, how)
    with pytest.raises(Problem, match=says):
        fromnoise.load(tmp_path, "cpu")


def test_a_pickle_of_tensors_alone_loads(tmp_path):
    UNet2DModel(**TWO, **LAST).save_pretrained(tmp_path, safe_serialization=False)
    assert fromnoise.load(tmp_path, "cpu").shape == (3, 16, 16)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"network": {"name": "conv"}}, "no counterpart of the network conv"),
        ({"network": NET | {"patch": 2}}, "no patch=2"),
        ({"network": NET | {"compat": {}, "levels": [1, 1.5]}}, "groups"),
        ({"noise": {"name": "table", "steps": 500}}, "500"),
        ({"predict": "velocity"}, "velocity"),
        ({"frame": "rf"}, "frame=rf"),
        ({"data_std": 0.5}, "data_std=0.5"),
        ({"clock": "log"}, "clock=log"),
        ({"source": "paired"}, "start from noise, this run from source=paired"),
        ({"conditions": [{"name": "image", "hint": "grey"}]}, "classes alone, .* on image"),
        ({"conditions": [{"name": "text", "width": 32, "enter": "adaln"}]}, "classes alone, .* on text"),
        ({"conditions": {"name": "label", "enter": "concat", "classes": 3}}, "classes alone, .* on label by concat"),
        ({"network": {"name": "dit", "width": 32, "depth": 1, "heads": 2}}, "shift=1"),
        ({"network": {"name": "dit", "width": 32, "depth": 1, "heads": 2, "compat": {"shift": 1}}}, "drop"),
    ],
    ids=str,
)
def test_what_diffusers_has_not_is_named_and_nothing_is_left(tmp_path, change, says):
    run = run_with(tmp_path / "run", {"network": NET, "predict": "eps", "noise": {"name": "table"}} | change)
    with pytest.raises(Problem, match=says):
        exported(run, tmp_path / "theirs")
    assert not (tmp_path / "theirs").exists()


def test_nothing_is_overwritten(tmp_path):
    run = run_with(tmp_path / "run", {"network": NET, "predict": "eps", "noise": {"name": "table"}})
    with pytest.raises(Problem, match="nothing is overwritten"):
        exported(run, run.path)
