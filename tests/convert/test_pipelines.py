"""Pipelines in diffusers' layout: what their index says, which of several files are read, and what is said of the choice."""

import json
import shutil

import diffusers
import numpy as np
import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from diffusers.training_utils import EMAModel
from safetensors.torch import load_file, save_file

import fromnoise
from fromnoise import convert
from fromnoise.errors import Problem, Usage
from tests.convert.test_folders import alike
from tests.convert.test_network_fields import UNET
from tests.convert.test_schedulers import psnr
from tests.parts import stirred

WEIGHTS = "diffusion_pytorch_model"


def net(seed: int = 0, **own) -> UNet2DModel:
    torch.manual_seed(seed)
    return stirred(UNet2DModel(**UNET | own), seed)


def changed(file, **content) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **content}))


def is_that_of(folder, unet: UNet2DModel) -> bool:
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([10, 700])
    with torch.no_grad():
        return torch.allclose(fromnoise.load(folder, "cpu").denoiser.network(x, t / 1000), unet(x, t).sample, atol=1e-5)


def pipeline(folder, kind=DDIMPipeline, scheduler=None) -> UNet2DModel:
    unet = net()
    kind(unet, scheduler or DDIMScheduler()).save_pretrained(folder)
    return unet


# What an index says


@pytest.mark.parametrize(
    ("index", "says"),
    [
        ({"vae": ["diffusers", "AutoencoderKL"]}, "vae holds no autoencoder"),
        ({"text_encoder": ["transformers", "CLIPTextModel"]}, "text_encoder .* of DDIMPipeline has no counterpart"),
        ({"safety_checker": ["own", "Checker"]}, "safety_checker"),
        ({"requires_safety_checker": True}, "requires_safety_checker True"),
        ({"unet": ["diffusers", "UNet2DConditionModel"]}, "is a UNet2DModel, and a UNet2DConditionModel in model_index.json"),
        ({"_class_name": "PNDMPipeline"}, "skip_prk_steps False of PNDMScheduler begins with Runge"),
        ({"scheduler": ["diffusers", "LMSDiscreteScheduler"], "_class_name": "DDPMPipeline"}, "_class_name 'LMSDiscreteScheduler'"),
    ],
    ids=str,
)
def test_what_is_more_than_a_network_and_a_scheduler_is_named(tmp_path, index, says):
    pipeline(tmp_path)
    changed(tmp_path / "model_index.json", **index)
    for folder in (tmp_path, tmp_path / "unet"):
        with pytest.raises(Problem, match=says) as problem:
            convert.read(folder)
        assert "\n" not in str(problem.value)


def test_parts_that_are_absent_say_nothing_and_a_class_of_ones_own_is_named(tmp_path):
    unet = pipeline(tmp_path)
    changed(tmp_path / "model_index.json", vae=[None, None], safety_checker=None, force=False)
    assert convert.read(tmp_path).notes == () and is_that_of(tmp_path, unet)
    changed(tmp_path / "model_index.json", _class_name=["own", "Conditional"])
    assert "is none of DDPMPipeline, DDIMPipeline" in convert.read(tmp_path).notes[0]


@pytest.mark.parametrize("part", ["unet", "scheduler"])
def test_a_part_that_is_missing_is_named(tmp_path, part):
    pipeline(tmp_path)
    shutil.rmtree(tmp_path / part)
    with pytest.raises(Problem, match=f"{part}.* download the folder whole"):
        convert.read(tmp_path)


def test_several_networks_are_not_chosen_from(tmp_path):
    pipeline(tmp_path)
    shutil.copytree(tmp_path / "unet", tmp_path / "transformer")
    with pytest.raises(Problem, match="several networks, unet, transformer; import one"):
        convert.read(tmp_path)


def test_a_pipeline_that_makes_another_scheduler_of_its_own_is_drawn_with_that(tmp_path):
    """diffusers' DDIMPipeline takes any scheduler, and draws with a DDIMScheduler of its fields."""
    pipeline(tmp_path, DDPMPipeline, DDPMScheduler(beta_end=0.015, clip_sample_range=2.0))
    changed(tmp_path / "model_index.json", _class_name="DDIMPipeline")
    theirs, found = DDIMPipeline.from_pretrained(tmp_path), convert.read(tmp_path)
    assert found.notes == ("its DDPMScheduler is drawn with as the DDIMScheduler that DDIMPipeline makes of it",)
    model = fromnoise.load(tmp_path, "cpu")
    model.denoiser.autocast = None
    x = start = torch.randn(2, 3, 8, 8)
    theirs.scheduler.set_timesteps(10)
    for t in theirs.scheduler.timesteps:
        with torch.no_grad():
            x = theirs.scheduler.step(theirs.unet(x, t).sample, t, x).prev_sample
    *_, (drawn, _) = model.trajectory(2, steps=10, start=start)
    assert psnr(x, drawn) > 60


def test_what_is_unknown_but_off_and_where_diffusers_steps_otherwise_is_said(tmp_path):
    pipeline(tmp_path, scheduler=DDIMScheduler(timestep_spacing="trailing"))
    changed(tmp_path / "unet" / "config.json", new_norm=False, new_gate=None)
    changed(tmp_path / "scheduler" / "scheduler_config.json", use_new_sigmas=False)
    assert convert.read(tmp_path).notes == (
        "config.json: fields unknown to fromnoise, which are off (2): new_norm, new_gate",
        "scheduler_config.json: fields unknown to fromnoise, which are off (1): use_new_sigmas",
        "scheduler_config.json: trailing steps of DDIMScheduler are diffusers' where their number divides 1000; "
        "else its steps do not reach its own indices",
    )


def test_a_variance_that_was_learned_is_said_to_be_left(tmp_path):
    diffusers.DiTTransformer2DModel(2, 8, 4, 8, num_layers=1, num_embeds_ada_norm=3, sample_size=8).save_pretrained(tmp_path)
    assert "the variance in its 8 channels out is not kept" in convert.read(tmp_path).notes[1]


# Which files


def test_a_network_and_a_scheduler_without_an_index_belong_together(tmp_path):
    unet = pipeline(tmp_path, scheduler=DDIMScheduler(steps_offset=1))
    (tmp_path / "model_index.json").unlink()
    for folder in (tmp_path, tmp_path / "unet"):
        found = convert.read(folder)
        assert found.notes == () and found.config["noise"]["offset"] == 1 and found.config["sample"]["name"] == "ddim"
        assert is_that_of(folder, unet)


def test_a_network_alone_is_said_to_be_drawn_by_defaults(tmp_path, capsys):
    net().save_pretrained(tmp_path)
    fromnoise.load(tmp_path, "cpu")
    assert "no scheduler is beside it; DDPMScheduler's defaults are taken" in capsys.readouterr().err


def test_averaged_weights_are_read_where_they_are_named(tmp_path):
    """unet_ema/ of diffusers' training scripts, whose config.json also says how the weights were averaged."""
    unet, averaged = pipeline(tmp_path), net(seed=1)
    EMAModel(averaged.parameters(), model_cls=UNet2DModel, model_config=averaged.config).save_pretrained(tmp_path / "unet_ema")
    assert "decay" in json.loads((tmp_path / "unet_ema" / "config.json").read_text())
    assert is_that_of(tmp_path, unet) and "unet_ema beside it is left" in convert.read(tmp_path).notes[0]
    assert is_that_of(tmp_path / "unet_ema", averaged) and convert.read(tmp_path / "unet_ema").config["sample"]["name"] == "ddim"


@pytest.mark.parametrize("safe", [True, False], ids=["safetensors", "bin"])
@pytest.mark.parametrize("shards", [True, False], ids=["shards", "whole"])
@pytest.mark.parametrize("variant", [None, "fp16"])
def test_weights_of_every_form_are_those_of_diffusers(tmp_path, safe, shards, variant):
    unet = net().half() if variant else net()
    size = "8KB" if shards else "1GB"
    unet.save_pretrained(tmp_path, safe_serialization=safe, max_shard_size=size, variant=variant)
    assert len([*tmp_path.glob(f"{WEIGHTS}*")]) > 1 + shards or not shards
    assert is_that_of(tmp_path, unet.float())
    said = [note for note in convert.read(tmp_path).notes if "is taken" in note and "fp16" in note]
    assert len(said) == (1 if variant else 0)


def test_one_of_several_files_is_that_which_diffusers_takes_and_is_named(tmp_path):
    plain, half, bin_ = net(0), net(1), net(2)
    half.save_pretrained(tmp_path, variant="fp16")
    bin_.save_pretrained(tmp_path, safe_serialization=False)
    plain.save_pretrained(tmp_path)
    bin_.save_pretrained(tmp_path / "bin", safe_serialization=False)
    shutil.copy(tmp_path / "bin" / f"{WEIGHTS}.bin", tmp_path)
    assert torch.equal(UNet2DModel.from_pretrained(tmp_path).conv_in.weight, plain.conv_in.weight) and is_that_of(tmp_path, plain)
    said = next(note for note in convert.read(tmp_path).notes if "is taken" in note)
    assert said == f"{tmp_path / WEIGHTS}.safetensors is taken; beside it {WEIGHTS}.bin, {WEIGHTS}.fp16.safetensors"


def test_shards_come_before_a_whole_file_as_in_diffusers(tmp_path):
    net(0).save_pretrained(tmp_path)
    net(1).save_pretrained(tmp_path / "shards", max_shard_size="8KB")
    for file in (tmp_path / "shards").glob(f"{WEIGHTS}*"):
        shutil.copy(file, tmp_path)
    theirs = UNet2DModel.from_pretrained(tmp_path)
    assert torch.equal(theirs.conv_in.weight, net(1).conv_in.weight) and is_that_of(tmp_path, theirs)


@pytest.mark.parametrize("how", ["shard", "map", "quantised", "not tensors", "bin"])
def test_weights_that_are_not_whole_are_named(tmp_path, how):
    net().save_pretrained(tmp_path, max_shard_size="8KB" if how in ("shard", "map") else "1GB")
    index, whole = tmp_path / f"{WEIGHTS}.safetensors.index.json", tmp_path / f"{WEIGHTS}.safetensors"
    if how == "shard":
        next(tmp_path.glob("*00002*")).unlink()
    elif how == "map":
        index.write_text("{}")
    elif how == "quantised":
        save_file(load_file(whole) | {"conv_in.weight": torch.zeros(8, 3, 3, 3, dtype=torch.int8)}, whole)
    else:
        whole.unlink()
        torch.save({"state": {"conv_in": 1}} if how == "not tensors" else [1], tmp_path / f"{WEIGHTS}.bin")
    says = {"shard": "00002.* is missing", "map": "no weight_map", "quantised": "conv_in.weight is of torch.int8"}
    with pytest.raises(Problem, match=says.get(how, "other things than tensors")):
        convert.read(tmp_path)


@pytest.mark.parametrize("folder", ["nothing", "scheduler"])
def test_a_folder_without_a_network_is_no_model(tmp_path, folder):
    pipeline(tmp_path)
    with pytest.raises(Usage, match="holds neither|is not there"):
        convert.read(tmp_path / folder)


def draws_alike(folder, pipeline, n: int, steps: int, **words) -> float:
    """PSNR in dB of what diffusers draws, and of what we draw from the same noise by the pipeline's own sampler."""
    pipeline.save_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    model = fromnoise.load(folder, "cpu")
    model.autocast = None
    start = torch.randn(n, *model.latent_shape, generator=torch.Generator().manual_seed(5))
    theirs = pipeline(**words.pop("theirs"), generator=torch.Generator().manual_seed(5), num_inference_steps=steps, output_type="np").images
    model.start = lambda n, seed, first, schedule: start
    ours = model.sample(n, steps=steps, **words).permute(0, 2, 3, 1).numpy() / 2 + 0.5
    assert ours.shape == theirs.shape and theirs.std() > 0.01
    return float(-10 * np.log10(np.mean((ours.clip(0, 1) - theirs) ** 2)))


def test_ldm_pipelines_load_whole_and_draw_what_they_draw(tmp_path):
    torch.manual_seed(1)  # with 0 a latent is as near to one code as to another, and rounding decides between them
    vq = diffusers.VQModel(block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
                           norm_num_groups=4, latent_channels=3, num_vq_embeddings=4, scaling_factor=0.5)  # fmt: skip
    unet = stirred(diffusers.UNet2DModel(sample_size=8, in_channels=3, out_channels=3, block_out_channels=(8, 16), norm_num_groups=4, layers_per_block=1,
                                         down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2))  # fmt: skip
    scheduler = diffusers.DDIMScheduler(clip_sample=False, beta_schedule="scaled_linear", beta_start=0.0015, beta_end=0.0195)
    assert draws_alike(tmp_path / "ldm", diffusers.LDMPipeline(vq, unet, scheduler), 2, 10, theirs={"batch_size": 2}) > 60


def test_dit_pipelines_load_whole_and_draw_what_they_draw(tmp_path):
    torch.manual_seed(0)
    vae = diffusers.AutoencoderKL(block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
                                  norm_num_groups=4, latent_channels=4, layers_per_block=1)  # fmt: skip
    transformer = alike(diffusers.DiTTransformer2DModel(2, 16, 4, 4, num_layers=2, sample_size=8, num_embeds_ada_norm=1000))
    transformer = alike(stirred(transformer))
    pipeline = diffusers.DiTPipeline(transformer, vae, diffusers.DDIMScheduler(clip_sample=False))
    theirs = {"class_labels": [7], "guidance_scale": 4.0}
    assert draws_alike(tmp_path / "dit", pipeline, 1, 5, theirs=theirs, guidance=4.0, label=7, clip="none") > 60


