"""Runs in latents as diffusers' pipelines, and runs of autoencoders as diffusers' autoencoders: they draw, encode and decode what the run does."""

import sys

import diffusers
import numpy as np
import pytest
import torch

import fromnoise
from fromnoise.cli.main import main
from fromnoise.config import Recipe
from fromnoise.errors import Problem
from fromnoise.model import build_autoencoder, export_run, import_run
from fromnoise.model.first_stage import first_stage
from fromnoise.runs import Run
from tests.convert.test_stable_diffusion import PROMPT, pipeline
from tests.parts import built, stirred

KL = {"name": "kl", "width": 8, "levels": [1, 2], "blocks": 1, "groups": 4, "latent": 3}
VQ = {"name": "vq", "width": 8, "levels": [1, 2], "blocks": 1, "groups": 4, "codes": 4}
UNET = {"name": "unet", "width": 16, "levels": [1, 2], "blocks": 1, "compat": {"groups": 4}}
DIT = {"name": "dit", "width": 16, "depth": 1, "heads": 2, "compat": {"shift": 1}}
TABLE = {"predict": "eps", "noise": {"name": "table", "betas": "scaled_linear"}, "sample": {"name": "ddim", "steps": 6}}


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))


def autoencoder_run(path, node=KL):
    """The run of an autoencoder of random weights."""
    torch.manual_seed(0)
    recipe = Recipe(data={"name": "cifar10"}, autoencoder=node, shape=(3, 16, 16))
    model = build_autoencoder(recipe)
    stirred(model.autoencoder)
    Run(path).save_weights(model, 0)
    Run(path).write_recipe(recipe)
    return path


def latent_run(path, network, node=KL, mean=(0.3, -0.2, 0.1), std=(0.5, 0.7, 1.2), **own):
    """The run of a network of random weights in the latents of one."""
    stage = first_stage(str(autoencoder_run(path / "ae", node)))
    recipe = {**TABLE, "data": {"name": "cifar10"}, "network": network, "autoencoder": stage.node, **own}
    model = built(recipe, (3, 16, 16), tuple("ab"))
    stirred(model.denoiser)
    model.autoencoder.mean.copy_(torch.tensor(mean)), model.autoencoder.std.copy_(torch.tensor(std))
    Run(path).save_weights(model, 0)
    Run(path).write_recipe(Recipe.of({**recipe, "shape": [3, 16, 16], "classes": ["a", "b"]}))
    return path


def same_draws(run, theirs, n: int, steps: int, words: dict, **ours) -> float:
    """PSNR in dB of what the exported pipeline draws from the run's own noise."""
    model = fromnoise.load(run, "cpu")
    model.autocast = None
    start = torch.randn(n, *model.latent_shape, generator=torch.Generator().manual_seed(5))
    theirs.set_progress_bar_config(disable=True)
    made = theirs(**words, generator=torch.Generator().manual_seed(5), num_inference_steps=steps, output_type="np").images
    model.start = lambda n, seed, first, schedule: start
    drawn = model.sample(n, steps=steps, **ours).permute(0, 2, 3, 1).numpy() / 2 + 0.5
    assert drawn.shape == made.shape and made.std() > 0.01
    return float(-10 * np.log10(np.mean((drawn.clip(0, 1) - made) ** 2)))


def test_diffusion_in_the_latents_of_a_kl_is_an_ldm_pipeline(tmp_path):
    """Whose mean and std of each channel lie in its convolutions of one pixel."""
    run = latent_run(tmp_path / "run", UNET)
    kind, notes = export_run(run, tmp_path / "ldm")
    assert kind == "LDMPipeline" and notes[0] == "draw with num_inference_steps=6"
    theirs = diffusers.LDMPipeline.from_pretrained(tmp_path / "ldm")
    assert same_draws(run, theirs, 2, 6, {"batch_size": 2}) > 60
    model, x = fromnoise.load(run, "cpu"), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        assert torch.allclose(theirs.vqvae.encode(x).latent_dist.mean, model.autoencoder.encode(x), atol=1e-4)
        (_, log_variance), moments = model.autoencoder.moments(x), theirs.vqvae.encode(x).latent_dist
    assert torch.allclose(moments.logvar, log_variance, atol=1e-4)
    import_run(tmp_path / "ldm", tmp_path / "back")
    assert torch.allclose(fromnoise.load(tmp_path / "back", "cpu").sample(2, seed=3), model.sample(2, seed=3), atol=1e-3)


def test_diffusion_in_the_latents_of_a_vq_is_one_where_they_have_one_scale(tmp_path):
    run = latent_run(tmp_path / "run", UNET, VQ, (0.0,) * 3, (0.5,) * 3)
    assert export_run(run, tmp_path / "ldm")[0] == "LDMPipeline"
    theirs = diffusers.LDMPipeline.from_pretrained(tmp_path / "ldm")
    assert theirs.vqvae.config.scaling_factor == 2 and same_draws(run, theirs, 1, 4, {}) > 60
    other = latent_run(tmp_path / "other", UNET, VQ)
    with pytest.raises(Problem, match="scale latents by one number, and this run's latents, of a vq, have a mean and std of each channel"):
        export_run(other, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_dit_in_latents_is_a_dit_pipeline(tmp_path):
    run = latent_run(tmp_path / "run", DIT, KL | {"latent": 4}, (0.3, -0.2, 0.1, 0.4), (0.5, 0.7, 1.2, 0.4), conditions=[{"name": "label", "drop": 0.1}])
    kind, notes = export_run(run, tmp_path / "dit")
    assert kind == "DiTPipeline" and "guidance_scale=1" in notes[0]
    theirs = diffusers.DiTPipeline.from_pretrained(tmp_path / "dit")
    assert same_draws(run, theirs, 1, 6, {"class_labels": [1], "guidance_scale": 1.0}, label=1) > 60


def test_stable_diffusion_goes_there_and_back_again(tmp_path):
    pipeline(tmp_path, "2").save_pretrained(tmp_path / "sd")
    import_run(tmp_path / "sd", tmp_path / "run")
    kind, notes = export_run(tmp_path / "run", tmp_path / "back")
    assert kind == "StableDiffusionPipeline" and notes == ["draw with num_inference_steps=50, guidance_scale=7.5"]
    theirs = diffusers.StableDiffusionPipeline.from_pretrained(tmp_path / "back")
    assert same_draws(tmp_path / "run", theirs, 1, 5, {"prompt": PROMPT}, text=PROMPT) > 60
    again = import_run(tmp_path / "back", tmp_path / "again")
    before = fromnoise.load(tmp_path / "run", "cpu")
    assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), before.state_dict().values(), strict=True))
    assert again.sampling.guidance == 7.5


@pytest.mark.parametrize(
    ("own", "says"),
    [
        ({"conditions": [{"name": "text"}]}, "reads CLIP's words; this run words by the encoder words"),
        ({"conditions": [{"name": "text"}, {"name": "label"}]}, "conditioned on words alone, by cross-attention; this run on text"),
    ],
)
def test_words_that_stable_diffusion_cannot_read_are_named(tmp_path, own, says):
    with pytest.raises(Problem, match=says):
        export_run(latent_run(tmp_path / "run", UNET, **own), tmp_path / "out")


def call(monkeypatch, capsys, *words: str) -> tuple[int, str]:
    monkeypatch.setattr(sys, "argv", ["fromnoise", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr()
    return ended.value.code or 0, said.out + said.err


TINY = {"name": "tiny", "width": 8, "blocks": [1, 1], "latent": 3}


@pytest.mark.parametrize(("node", "kind"), [(KL, "AutoencoderKL"), (VQ, "VQModel"), (TINY, "AutoencoderTiny")], ids=lambda value: str(value)[:14])
def test_the_run_of_an_autoencoder_is_written_by_command(tmp_path, monkeypatch, capsys, node, kind):
    run = autoencoder_run(tmp_path / "run", node)
    code, said = call(monkeypatch, capsys, "export", str(run), str(tmp_path / "out"))
    assert not code and f"reads as {kind}.from_pretrained('{tmp_path / 'out'}') in diffusers" in said
    theirs, model, x = getattr(diffusers, kind).from_pretrained(tmp_path / "out"), fromnoise.load_autoencoder(run, "cpu"), torch.rand(2, 3, 16, 16) * 2 - 1
    with torch.no_grad():
        found = theirs.encode(x)
        expected = theirs.decode(found.latent_dist.mode() if hasattr(found, "latent_dist") else found.latents).sample
    assert torch.allclose(model.reconstruct(x), expected, atol=1e-4)


@pytest.mark.parametrize("node", [{"name": "conv_ae", "widths": [8, 8]}, {"name": "mlp_vae"}], ids=lambda node: node["name"])
def test_an_autoencoder_that_diffusers_has_not_is_refused_by_name(tmp_path, monkeypatch, capsys, node):
    code, said = call(monkeypatch, capsys, "export", str(autoencoder_run(tmp_path / "run", node)), str(tmp_path / "out"))
    assert code and f"diffusers has no counterpart of the autoencoder {node['name']}; exported can be kl, tiny, vq" in said and "Traceback" not in said
