"""Stable Diffusion's pipelines, small and of random weights: what diffusers draws of a prompt is what is drawn here, and what is not taken is named."""

import json
import shutil

import diffusers
import pytest
import torch
import transformers

import fromnoise
from fromnoise import convert
from fromnoise.cli.main import main
from fromnoise.errors import Problem
from fromnoise.model import import_run
from fromnoise.runs import Run
from tests.convert.test_pipelines import changed, draws_alike
from tests.parts import stirred

LETTERS = "abcdefghijklmnopqrstuvwxyz"
MERGES = [("c", "a"), ("ca", "t</w>"), ("o", "f</w>"), ("p", "h"), ("ph", "o"), ("pho", "t"), ("phot", "o</w>")]
LAYOUTS = {  # what differs between the two: heads, projections, the encoder's activation and filling, what is predicted
    "1": ({"attention_head_dim": 2}, {"hidden_act": "quick_gelu"}, "<|endoftext|>", {"prediction_type": "epsilon"}),
    "2": (
        {"attention_head_dim": [1, 2], "use_linear_projection": True, "upcast_attention": True}, {"hidden_act": "gelu"}, "!",
        {"prediction_type": "v_prediction"},
    ),
}  # fmt: skip
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
SCHEDULERS = {
    "ddim": lambda **own: diffusers.DDIMScheduler(**BETAS, clip_sample=False, set_alpha_to_one=False, **own),
    "euler": lambda **own: diffusers.EulerDiscreteScheduler(**BETAS, timestep_spacing="leading", **own),
    "dpmpp_2m": lambda **own: diffusers.DPMSolverMultistepScheduler(**BETAS, **own),
    "plms": lambda **own: diffusers.PNDMScheduler(**BETAS, skip_prk_steps=True, **own),
}
PROMPT = "a photo of a cat"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))


def tokenizer(folder, pad: str) -> transformers.CLIPTokenizer:
    """Byte pairs of a handful of words."""
    folder.mkdir(parents=True)
    vocabulary = ["!", *LETTERS, *(f"{letter}</w>" for letter in LETTERS), *map("".join, MERGES), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *map(" ".join, MERGES)]) + "\n")
    return transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), pad_token=pad, model_max_length=20)


def pipeline(folder, layout: str = "1", scheduler: str = "ddim", **parts) -> diffusers.StableDiffusionPipeline:
    torch.manual_seed(0)
    shape, encoder, pad, predicts = LAYOUTS[layout]
    words = tokenizer(folder / "words", pad)
    text = transformers.CLIPTextModel(transformers.CLIPTextConfig(
        vocab_size=len(words), hidden_size=24, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=20,
        bos_token_id=len(words) - 2, eos_token_id=len(words) - 1, pad_token_id=words.pad_token_id, **encoder))  # fmt: skip
    unet = diffusers.UNet2DConditionModel(
        sample_size=8, block_out_channels=(16, 32), layers_per_block=1, norm_num_groups=8, cross_attention_dim=24,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"), up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"), **shape)  # fmt: skip
    vae = diffusers.AutoencoderKL(
        block_out_channels=(8, 16), down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=4,
        latent_channels=4, layers_per_block=1, scaling_factor=0.18215)  # fmt: skip
    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False} | parts
    made = diffusers.StableDiffusionPipeline(
        vae, stirred(text), words, stirred(unet), SCHEDULERS[scheduler](**({} if scheduler == "plms" else predicts)), **parts
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_prompt_is_drawn_as_diffusers_draws_it(tmp_path, layout, scheduler):
    """Guided by 7.5 away from the empty prompt, which is the way of both unless it is said."""
    theirs = {"prompt": [PROMPT, "dogs"]}
    assert draws_alike(tmp_path / "sd", pipeline(tmp_path, layout, scheduler), 2, 10, theirs=theirs, text=[PROMPT, "dogs"]) > 60
