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


def test_an_import_is_a_run_that_draws_of_words_and_knows_its_parts_again(tmp_path, capsys, monkeypatch):
    pipeline(tmp_path).save_pretrained(tmp_path / "sd")
    out = tmp_path / "run"
    with pytest.raises(SystemExit) as ended:
        monkeypatch.setattr("sys.argv", ["fromnoise", "import", str(tmp_path / "sd"), "--out", str(out)])
        main()
    assert not ended.value.code and "UNet of" in capsys.readouterr().out
    recipe = Run(out).recipe()
    (text,) = recipe.conditions
    assert recipe.sample["guidance"] == 7.5 and recipe.shape == (3, 16, 16) and recipe.autoencoder["digest"] and text["digest"] and text["length"] == 20
    kept = (out / "model.safetensors").stat().st_size
    assert kept < 1.02 * sum(p.numel() for p in fromnoise.load(out, "cpu").denoiser.parameters()) * 4 + 50_000  # encoder and decoder stay where they are
    with pytest.raises(SystemExit) as ended:
        monkeypatch.setattr("sys.argv", ["fromnoise", "sample", str(out), "-n", "2", "--steps", "2", "--text", PROMPT, "--out", str(tmp_path / "cat.png")])
        main()
    assert not ended.value.code and (tmp_path / "cat.png").is_file()
    drawn = fromnoise.load(out, "cpu").sample(1, steps=2, text=PROMPT)
    assert torch.allclose(drawn, fromnoise.load(tmp_path / "sd", "cpu").sample(1, steps=2, text=PROMPT), atol=1e-5)

    other = pipeline(tmp_path / "other").text_encoder
    stirred(other, 1).save_pretrained(tmp_path / "sd" / "text_encoder")
    with pytest.raises(Problem, match="text_encoder holds other weights than the ones this run began with"):
        fromnoise.load(out, "cpu").sample(1, steps=2, text="a word that was not read before")
    stirred(pipeline(tmp_path / "third").vae, 1).save_pretrained(tmp_path / "sd" / "vae")
    with pytest.raises(Problem, match="sd/vae holds other weights"):
        fromnoise.load(out, "cpu")


def test_an_encoder_of_half_precision_alone_is_taken(tmp_path):
    theirs = pipeline(tmp_path)
    theirs.save_pretrained(tmp_path / "sd")
    shutil.rmtree(tmp_path / "sd" / "text_encoder")
    theirs.text_encoder.save_pretrained(tmp_path / "sd" / "text_encoder", variant="fp16")
    assert draws_alike(tmp_path / "whole", theirs, 1, 3, theirs={"prompt": PROMPT}, text=PROMPT) > 60
    assert fromnoise.load(tmp_path / "sd", "cpu").sample(1, steps=1, text=PROMPT).isfinite().all()


def test_what_withholds_pictures_is_named_as_left_out_and_so_is_what_the_pipeline_makes_of_its_scheduler(tmp_path):
    pipeline(tmp_path).save_pretrained(tmp_path / "sd")
    changed(tmp_path / "sd/model_index.json", safety_checker=["own", "Checker"], feature_extractor=["transformers", "CLIPImageProcessor"],
            requires_safety_checker=True)  # fmt: skip
    changed(tmp_path / "sd/scheduler/scheduler_config.json", steps_offset=0, clip_sample=True)
    found = convert.read(tmp_path / "sd")
    assert found.notes[0].startswith("safety_checker, feature_extractor of StableDiffusionPipeline left out")
    assert "steps_offset is 1, as StableDiffusionPipeline makes it" in found.notes[1] and "clip_sample is False" in found.notes[2]
    assert found.config["noise"]["offset"] == 1 and "clip" not in found.config["sample"]


REFUSED = [
    ("model_index.json", {"text_encoder": ["transformers", "T5EncoderModel"]}, "text_encoder .*T5EncoderModel.* known are CLIPTextModel"),
    ("model_index.json", {"tokenizer": ["transformers", "T5Tokenizer"]}, "tokenizer .*T5Tokenizer"),
    ("model_index.json", {"text_encoder": [None, None]}, "UNet2DConditionModel, which attends to words, and no text encoder"),
    ("model_index.json", {"text_encoder_2": ["transformers", "CLIPTextModel"]}, "text_encoder_2 .* of StableDiffusionPipeline has no counterpart"),
    ("text_encoder/config.json", {"hidden_size": 32}, "cross_attention_dim 24 .*not the width of the text encoder beside it, 32"),
    ("scheduler/scheduler_config.json", {"_class_name": "LMSDiscreteScheduler"}, "LMSDiscreteScheduler"),
    ("unet/config.json", {"addition_embed_type": "text_time"}, "addition_embed_type"),
    ("unet/config.json", {"in_channels": 9}, "in_channels 9, out_channels 4"),
]


@pytest.mark.parametrize(("file", "content", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_cannot_be_honoured_is_refused_by_name(tmp_path, file, content, says):
    pipeline(tmp_path).save_pretrained(tmp_path / "sd")
    if "scheduler" in file:
        changed(tmp_path / "sd/model_index.json", scheduler=["diffusers", content["_class_name"]])
    changed(tmp_path / "sd" / file, **content)
    with pytest.raises(Problem, match=says) as problem:
        convert.read(tmp_path / "sd")
    assert "\n" not in str(problem.value)


@pytest.mark.parametrize("part", ["text_encoder", "tokenizer", "weights"])
def test_a_part_that_is_missing_is_named(tmp_path, part):
    pipeline(tmp_path).save_pretrained(tmp_path / "sd")
    if part == "weights":
        (tmp_path / "sd/text_encoder/model.safetensors").unlink()
    else:
        shutil.rmtree(tmp_path / "sd" / part)
    with pytest.raises(Problem, match=f"{'text_encoder' if part == 'weights' else part} .*download the folder whole"):
        import_run(tmp_path / "sd", tmp_path / "run")
