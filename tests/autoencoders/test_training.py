"""Autoencoders trained by the same trainer, and diffusion in their latents."""

import math
import os
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import fromnoise
from fromnoise import editing
from fromnoise.autoencoders import DISCRIMINATORS, Measure, Tiled, loss
from fromnoise.autoencoders.conv_ae import ConvAE
from fromnoise.autoencoders.conv_vae import ConvVAE
from fromnoise.autoencoders.discriminator import balance, hinge, verdict
from fromnoise.autoencoders.losses import bce, transformed
from fromnoise.conditions.hints import HINTS
from fromnoise.config import Recipe
from fromnoise.data import DATASETS, Tensors
from fromnoise.data.latents import Shards, cached, named
from fromnoise.draws import Draws
from fromnoise.errors import Problem, Usage
from fromnoise.model import FirstStage, in_latents
from fromnoise.model.first_stage import first_stage
from fromnoise.runs import Run
from fromnoise.training.encoding import encode
from fromnoise.training.estimate import estimate
from fromnoise.training.loop import train
from fromnoise.training.setup import setup
from tests.training.test_length import cut_at
from tests.training.test_train import same

SMALL = {"name": "conv_vae", "widths": [8, 8], "latent": 3}


def recipe(autoencoder=SMALL, **more):
    """One of an autoencoder of tiny pictures."""
    own = {"steps": 12, "batch": 16, "evals": 2, "log_every": 4, "warmup": 0, "lr": 1e-3, "held_out": 16} | more
    return {"data": {"name": "tests.parts:blobs"}, "autoencoder": autoencoder, "train": own}


def latent(path, **more):
    """One of diffusion in the latents of a run."""
    own = {"steps": 12, "batch": 16, "evals": 2, "log_every": 4, "warmup": 0, "lr": 1e-3, "held_out": 16}
    return {"data": {"name": "tests.parts:blobs"}, "autoencoder": path if isinstance(path, dict) else str(path),
            "network": {"name": "conv", "width": 8, "kernel": 3}, "conditions": ["label"], "sample": {"name": "ddim", "steps": 2}, "train": own} | more  # fmt: skip


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The run of an autoencoder that is not trained for long."""
    return train(recipe(), tmp_path_factory.mktemp("ae") / "run", quiet=True).path


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))


AGAINST = {"discriminator": {"name": "patch", "width": 4, "layers": 1}, "discriminator_start": 0.3}


@pytest.mark.parametrize("change", [{}, AGAINST, {"equivariance": 0.5, "kl": 1e-3}, {"distance": "mse", "penalty": "ssim", "accumulate": 4}])
def test_a_run_learns_to_reconstruct_and_goes_on_bit_for_bit(tmp_path, monkeypatch, change):
    settings = recipe(**change)
    whole = train(settings, tmp_path / "whole", quiet=True)
    cut_at(7, monkeypatch, lambda: train(settings, tmp_path / "cut", quiet=True))
    train(settings, tmp_path / "cut", quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    held_out = [entry for entry in whole.entries() if "held_out" in entry]
    assert len(held_out) == 2 and all(entry["psnr"] > 0 for entry in held_out)
    assert (whole.path / "samples/final.png").is_file() and (whole.path / "report.html").is_file()
    model = fromnoise.load_autoencoder(whole.path, "cpu")
    assert model.discriminator is None and model.reconstruct(torch.zeros(2, 1, 8, 8)).shape == (2, 1, 8, 8)


def test_micro_batches_change_no_run(tmp_path):
    for parts in (1, 4):
        train(recipe(accumulate=parts, precision="fp32", kl=0.1), tmp_path / str(parts), quiet=True)
    one, four = (Run(tmp_path / str(parts)).load_checkpoint()["model"] for parts in (1, 4))
    assert all(torch.allclose(one[name], four[name], atol=1e-5) for name in one)


def test_the_loss_is_error_and_divergence_over_the_number_of_values():
    """mean |x_hat - x| + kl · sum (m² + e^v - 1 - v) / 2 / n, with z the mean where nothing is drawn."""
    torch.manual_seed(0)
    vae, x, draws = ConvVAE(1, 2, [4], 2).double(), torch.randn(3, 1, 8, 8).double(), Draws.fixed(3)
    found = loss(vae, None, x, draws, Measure(lambda a, b: (a - b).abs().flatten(1).mean(1), kl=0.5)).detach()
    mean, log_variance = vae.moments(x)
    z = mean + log_variance.exp().sqrt() * draws.of("latent").randn(2, 4, 4)
    divergence = -torch.distributions.Normal(mean, log_variance.exp().sqrt()).entropy() + (mean**2 + log_variance.exp() + math.log(2 * math.pi)) / 2
    expected = (vae.decode(z) - x).abs().flatten(1).mean(1) + 0.5 * divergence.flatten(1).sum(1) / 64
    assert torch.allclose(found, expected, atol=1e-6)


def test_the_bernoulli_error_is_the_papers():
    """-(p log q + (1 - p) log (1 - q)), p and q of x in [-1, 1] as probabilities."""
    a, b = torch.tensor([0.5, -0.9]), torch.tensor([1.0, -0.5])
    q, p = (a + 1) / 2, (b + 1) / 2
    assert torch.allclose(bce(a, b), -(p * q.log() + (1 - p) * (1 - q).log()))


def test_the_discriminator_and_the_autoencoder_learn_apart():
    """Of the verdict the discriminator learns nothing, of the hinge the autoencoder nothing; the balance brings both pulls to one length."""
    torch.manual_seed(0)
    stage, judge, x = ConvAE(1, 2, [8, 8], 2, 4), DISCRIMINATORS["patch"](1, 2, 4, 1), torch.randn(4, 1, 8, 8)
    x_hat = stage(x).x_hat
    verdict(judge, x_hat).sum().backward(retain_graph=True)
    assert all(p.grad is None for p in judge.parameters()) and stage.last_layer.grad.abs().sum() > 0
    stage.zero_grad()
    hinge(judge, x, x_hat).sum().backward()
    assert all(p.grad is None for p in stage.parameters()) and all(p.grad is not None for p in judge.parameters())
    real, made = judge(x), judge(x_hat)
    assert torch.allclose(hinge(judge, x, x_hat), ((1 - real).clamp(min=0) + (1 + made).clamp(min=0)).flatten(1).mean(1) / 2)
    x_hat = stage(x).x_hat
    error, against = (x_hat - x).square().flatten(1).mean(1), verdict(judge, x_hat)
    share = balance(error, against, stage.last_layer)
    pulls = [torch.autograd.grad(v.mean(), stage.last_layer, retain_graph=True)[0].norm() for v in (error, share * against)]
    assert torch.allclose(pulls[0], pulls[1], rtol=1e-2)


def test_a_turned_and_shrunken_latent_is_of_the_turned_and_shrunken_picture():
    """Where the encoder only averages, it is the latent of that picture: turning and shrinking by means change places with it."""
    stage = ConvAE(1, 2, [8, 8], 1, 4)
    x = torch.randn(2, 1, 16, 16)
    for i in range(6):
        z, turned = transformed(stage, torch.nn.functional.avg_pool2d(x, 2), x, Draws((i,), range(2), 2))
        assert turned.shape[2:] == tuple(2 * side for side in z.shape[2:]) and 2 <= z.shape[2] <= 8
        if z.shape[2] in (2, 4, 8):  # windows of whole numbers
            assert torch.allclose(torch.nn.functional.avg_pool2d(turned, 2), z, atol=1e-6)


def test_what_is_diffused_has_mean_0_and_std_1_and_what_is_seen_are_pictures(trained, tmp_path):
    run = train(latent(trained), tmp_path / "run", quiet=True)
    model = fromnoise.load(run.path, "cpu")
    assert model.shape == (1, 8, 8) and model.latent_shape == (3, 2, 2)
    assert model.sample(3, label=1, seed=2).shape == (3, 1, 8, 8)
    node = run.recipe().autoencoder
    assert node["name"] == "run" and node["path"] == str(trained) and len(node["digest"]) == 16
    from tests.parts import blobs

    x = blobs().get(torch.arange(256))["x"]
    mean, log_variance = model.autoencoder.moments(x)
    total = mean.var((0, 2, 3), correction=0) + log_variance.exp().mean((0, 2, 3))
    assert torch.allclose(mean.mean((0, 2, 3)), torch.zeros(3), atol=1e-4) and torch.allclose(total, torch.ones(3), atol=1e-4)
    own = fromnoise.load_autoencoder(trained, "cpu")
    assert torch.allclose(model.decode(mean), own.autoencoder.decode(own.autoencoder.moments(x)[0]), atol=1e-5)
    saved = load_file(run.weights)
    assert {"autoencoder.mean", "autoencoder.std"} < saved.keys() and not any("inner" in name for name in saved), "the autoencoder's own stay in its run"


def test_a_latent_run_goes_on_bit_for_bit_from_its_cache_and_an_encoder_is_asked_once(trained, tmp_path, monkeypatch):
    settings, calls, real = latent(trained), [], ConvVAE.moments
    monkeypatch.setattr(ConvVAE, "moments", lambda self, x: calls.append(len(x)) or real(self, x))
    train(settings, tmp_path / "whole", quiet=True)
    first = sum(calls)
    cut_at(7, monkeypatch, lambda: train(settings, tmp_path / "cut", quiet=True))
    train(settings, tmp_path / "cut", quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    assert first >= 256 and sum(calls) - first < 256, "the second and third life read what the first had encoded"


def test_another_autoencoder_has_another_cache_and_damage_is_made_anew(trained, tmp_path):
    train(latent(trained, train={"steps": 1, "batch": 16, "evals": 0}), tmp_path / "a", quiet=True)
    other = train(recipe(steps=1, evals=0), tmp_path / "other", quiet=True).path
    train(latent(other, train={"steps": 1, "batch": 16, "evals": 0}), tmp_path / "b", quiet=True)
    folders = sorted((tmp_path / "cache/latents").iterdir())
    assert len(folders) == 2
    file = next(folders[0].glob("*.safetensors"))
    before = bytearray(file.read_bytes())
    before[-5] ^= 1
    file.write_bytes(before)
    train(latent(trained, train={"steps": 1, "batch": 16, "evals": 0}), tmp_path / "c", quiet=True)
    train(latent(other, train={"steps": 1, "batch": 16, "evals": 0}), tmp_path / "d", quiet=True)
    assert file.read_bytes() != bytes(before) and same(tmp_path / "a", tmp_path / "c") and same(tmp_path / "b", tmp_path / "d")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"autoencoder": "conv_vae"}, "conv_vae is not trained; train it by a recipe of its own"),
        ({"autoencoder": "runs/nowhere"}, "the autoencoder runs/nowhere is not there; train it first"),
        ({"autoencoder": {"name": "run"}}, "needs path"),
        ({"data": {"name": "tests.parts:paired"}}, r"is of examples of 1 channels and 2 axes, and these are \(3, 8, 8\)"),
        ({"conditions": [{"name": "image", "hint": "masked"}]}, "channels has no latents"),
    ],
)
def test_first_stages_that_cannot_be(trained, tmp_path, change, says):
    with pytest.raises(Problem, match=says):
        train(latent(trained) | change, tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"conditions": ["label"]}, "in which conditions has no part"),
        ({"train": {"steps": 1, "weight": "edm"}}, "no setting 'weight'"),
        ({"train": {"steps": 1, "kl": -1}}, "kl is a finite number from 0"),
        ({"autoencoder": {"name": "conv_ae", "widths": []}}, "conv_ae"),
        ({"autoencoder": "conv_ae", "train": {"steps": 1, "distance": "bce"}}, "bce is of probabilities, and conv_ae decodes to any number"),
        ({"data": "moons", "autoencoder": "conv_ae"}, "axes|points"),
    ],
)
def test_recipes_of_autoencoders_that_cannot_be(tmp_path, change, says):
    with pytest.raises(Problem, match=says):
        train(recipe() | change, tmp_path / "run", quiet=True)


def test_a_run_of_an_autoencoder_draws_nothing_and_one_of_diffusion_encodes_nothing(trained, tmp_path):
    with pytest.raises(Usage, match="is the run of an autoencoder, which draws nothing"):
        fromnoise.load(trained)
    run = train(latent(trained, train={"steps": 1, "batch": 16, "evals": 0}), tmp_path / "run", quiet=True)
    with pytest.raises(Usage, match="of a diffusion model, not of an autoencoder"):
        fromnoise.load_autoencoder(run.path)
    (tmp_path / "moved").symlink_to(trained)
    config = run.path / "config.yaml"
    config.write_text(config.read_text().replace(str(trained), str(tmp_path / "gone")))
    with pytest.raises(Problem, match="is not there; train it first, or set autoencoder.path"):
        fromnoise.load(run.path)
    config.write_text(config.read_text().replace(str(tmp_path / "gone"), str(tmp_path / "moved")))
    assert fromnoise.load(run.path, "cpu").sample(1).shape == (1, 1, 8, 8)


def test_what_an_autoencoders_training_takes_is_estimated_without_samples():
    """A convolution of k taps a side from i to o channels computes 2 i o k² for each of its places."""
    found = estimate(recipe({"name": "conv_vae", "widths": [8], "latent": 3}), 0.2)
    places, small = 64, 16
    work = 2 * (8 * 16 * small + 8 * 9 * 6 * small + 3 * 9 * 8 * small + 8 * 9 * 1 * places)
    assert found.flop == work and found.drawn is None and not any(what == "sampling" for what, _ in found.lines())


def test_pictures_that_a_latent_model_is_conditioned_on_are_encoded_by_its_autoencoder(trained, tmp_path):
    run = train(latent(trained, conditions=[{"name": "image", "hint": "grey"}]), tmp_path / "run", quiet=True)
    model, picture = fromnoise.load(run.path, "cpu"), torch.rand(2, 1, 8, 8) * 2 - 1
    beside = model.context(2, {"image": picture}).concat
    assert torch.allclose(beside, model.autoencoder.encode(picture), atol=2e-3)  # bfloat16 where the CPU has it
    assert beside.shape == (2, 3, 2, 2)
    assert model.sample(2, image=picture).shape == (2, 1, 8, 8)


def grey(x, draws=None):
    """As the hint of that name, of which nothing says that chance has no part in it."""
    return HINTS["grey"](x, draws)


@pytest.mark.parametrize("flip", [False, True])
def test_pictures_beside_x_are_encoded_once_where_nothing_of_them_is_chance(trained, tmp_path, monkeypatch, flip):
    """As good as encoded at every step, and resumed bit for bit."""
    data, calls, real = {"name": "tests.parts:blobs", "flip": flip}, [], ConvVAE.moments
    monkeypatch.setattr(ConvVAE, "moments", lambda self, x: calls.append(len(x)) or real(self, x))
    own = {"steps": 12, "batch": 16, "evals": 0, "warmup": 0, "lr": 1e-2, "precision": "fp32", "log_every": 1}
    kept = latent(trained, data=data, conditions=[{"name": "image", "hint": "grey", "drop": 0.4}], train=own)
    whole = train(kept, tmp_path / "whole", quiet=True)
    first = sum(calls)
    cut_at(7, monkeypatch, lambda: train(kept, tmp_path / "cut", quiet=True))
    train(kept, tmp_path / "cut", quiet=True)
    assert same(whole.path, tmp_path / "cut") and sum(calls) - first < 256, "the second and third life read what the first had encoded"
    each = latent(trained, data=data, conditions=[{"name": "image", "hint": "tests.autoencoders.test_training:grey", "drop": 0.4}], train=own)
    anew = train(each, tmp_path / "anew", trust=True, quiet=True)
    a, b = (load_file(run.weights) for run in (whole, anew))
    assert a.keys() == b.keys() and all(torch.allclose(a[key], b[key], atol=1e-4) for key in a)
    other = latent(trained, data=data, conditions=[{"name": "image", "hint": "edges", "drop": 0.4}], train=own)
    train(other, tmp_path / "other", quiet=True)
    assert len(list((tmp_path / "cache/latents").iterdir())) == 2, "another hint has another cache"


def test_a_control_branch_reads_hints_in_pixels_and_steers_latents(trained, tmp_path, monkeypatch):
    network = {"name": "unet", "width": 8, "levels": [1, 1], "blocks": 1}
    base = train(latent(trained, network=network), tmp_path / "base", quiet=True)
    own = {"steps": 2, "batch": 8, "evals": 1, "warmup": 0}
    monkeypatch.setattr(FirstStage, "measure", lambda self, moments: pytest.fail("the base's network knows its own"))
    settings = {"base": str(base.path), "conditions": [{"name": "control", "hint": "edges"}], "train": own, "data": {"name": "tests.parts:blobs"}}
    run = train(settings, tmp_path / "run", quiet=True)
    model = fromnoise.load(run.path, "cpu")
    assert model.conditions["edges"].branch.patch == 4 and model.latent_shape == (3, 2, 2)
    bases = fromnoise.load(base.path, "cpu").autoencoder
    assert torch.equal(model.autoencoder.mean, bases.mean) and torch.equal(model.autoencoder.std, bases.std)
    hint = torch.ones(2, 1, 8, 8)
    assert model.sample(2, edges=hint, label=1).shape == (2, 1, 8, 8)


def test_edits_of_a_latent_model_speak_pixels(trained, tmp_path):
    """What is known stays, bit for bit; an inversion has the shape of the latents, and leads back."""
    model = fromnoise.load(train(latent(trained), tmp_path / "run", quiet=True).path, "cpu")
    known, mask = torch.rand(1, 1, 8, 8) * 2 - 1, torch.zeros(1, 1, 8, 8)
    mask[..., 4:] = 1
    made = editing.inpaint(model, known, mask, 2, model.sampling, label=1)
    assert made.shape == (2, 1, 8, 8) and torch.equal(made[..., :4], known[..., :4].expand(2, -1, -1, -1))
    z, holes = in_latents(model, known, mask)
    assert z.shape == (1, 3, 2, 2) and holes[0, 0].tolist() == [[0, 1], [0, 1]]
    assert editing.invert(model, known).shape == (1, 3, 2, 2)
    assert model.sample(1, init=known, strength=0.5).shape == (1, 1, 8, 8)
    steered = editing.steer(model, torch.tensor([0, 1]), lambda x: torch.stack([x.flatten(1).mean(1), -x.flatten(1).mean(1)], 1))
    assert steered.shape == (2, 1, 8, 8)


def test_the_latents_name_changes_with_any_example_and_any_file(tmp_path):
    x = torch.zeros(3000, 1, 4, 4, dtype=torch.uint8)
    names = {named(Tensors("t", x), "a", False), named(Tensors("t", x), "b", False), named(Tensors("t", x), "a", True)}
    x = x.clone()
    x[1234, 0, 1, 2] = 1
    assert len(names | {named(Tensors("t", x), "a", False)}) == 4
    for i in range(6):
        Image.new("L", (8, 8), 40 * i).save(tmp_path / f"{i}.png")
    settings = {"path": str(tmp_path), "held_out": 0, "memory": False}
    before = named(DATASETS["folder"](**settings), "a", False)
    assert before == named(DATASETS["folder"](**settings), "a", False)
    os.utime(tmp_path / "3.png", ns=(1, 1))
    assert before != named(DATASETS["folder"](**settings), "a", False)


def test_labels_and_captions_are_those_of_the_pictures_that_were_encoded(tmp_path, monkeypatch):
    """A picture that breaks while it is decoded has the next one in its place, with that one's class and words."""
    for name in "abc":
        (tmp_path / name).mkdir()
        for i in range(4):
            Image.new("L", (8, 8), 20 * "abc".index(name) + i).save(tmp_path / name / f"{i}.png")
            (tmp_path / name / f"{i}.txt").write_text(f"{name} {i}")
    broken = tmp_path / "a/3.png"
    broken.write_bytes(broken.read_bytes()[:60])
    monkeypatch.setattr("fromnoise.data.latents.SHARD", 5)
    data = DATASETS["folder"](path=str(tmp_path), held_out=0, memory=False, skip_broken=True)
    for _ in range(2):  # encoded, and read again
        found = cached(data, lambda x: (x, None), "a").take(torch.arange(len(data)))
        light = ((found["mean"].mean((1, 2, 3)) + 1) * 127.5).round().long()
        assert found["label"].tolist() == (light // 20).tolist() and found["text"] == [f"{'abc'[v // 20]} {v % 20}" for v in light.tolist()]


@pytest.mark.parametrize("flip", [False, True])
def test_a_cache_that_memory_does_not_hold_is_read_row_by_row(trained, tmp_path, monkeypatch, flip):
    """To the same bit, whatever is in memory."""
    settings = latent(trained, data={"name": "tests.parts:blobs", "flip": flip})
    monkeypatch.setattr("fromnoise.data.latents.SHARD", 64)
    whole = train(settings, tmp_path / "whole", quiet=True)
    monkeypatch.setattr("fromnoise.data.latents.memory_left", lambda: 1000)
    parts = setup(settings)
    assert all(isinstance(value, Shards) for value in parts.data.tensors.values()) and not parts.data.in_memory
    read = train(settings, tmp_path / "read", quiet=True)
    assert same(read.path, whole.path)


def test_training_from_the_cache_holds_no_encoder_and_keeps_no_weights_of_the_autoencoders(trained, tmp_path):
    parts = setup(latent(trained))
    stage, x = parts.model.autoencoder, torch.rand(2, 1, 8, 8) * 2 - 1
    whole = fromnoise.load_autoencoder(trained, "cpu").autoencoder
    assert stage.inner.released and not any(p.numel() for p in stage.inner.encoder.parameters())
    mean, log_variance = whole.moments(x)
    assert all(torch.equal(a, b) for a, b in zip(stage.moments(x), stage.normalised(mean, log_variance), strict=True))
    assert torch.equal(stage.inner.decode(mean), whole.decode(mean))
    run = train(latent(trained), tmp_path / "run", quiet=True)
    kept = [*torch.load(run.checkpoint, weights_only=True)["model"], *load_file(run.weights)]
    assert [name for name in kept if name.startswith("autoencoder.")] == ["autoencoder.mean", "autoencoder.std"] * 2


def test_encode_puts_latents_where_training_finds_them(trained, tmp_path, monkeypatch):
    settings = latent(trained)
    said = dict(encode(Recipe.of(settings), "cpu"))
    kept = list(Path(said["kept in"]).glob("*.safetensors"))
    assert said["latents"].startswith("(3, 2, 2)") and kept and all(is_shard(file) for file in kept)
    with monkeypatch.context() as patch:
        patch.setattr(ConvVAE, "moments", lambda *_: pytest.fail("all latents are there"))
        assert setup(settings | {"train": {"steps": 1, "batch": 8, "evals": 0}}).data.tensors
    beside = dict(encode(Recipe.of(settings | {"conditions": [{"name": "image", "hint": "grey"}]}), "cpu"))
    assert beside["kept in"] != said["kept in"]
    for change in ({"conditions": [{"name": "image", "hint": "tests.autoencoders.test_training:grey"}]}, {"source": "paired"}):
        with pytest.raises(Usage, match="nothing to keep"):
            encode(Recipe.of(settings | change), "cpu")
    with pytest.raises(Usage, match="nothing to encode with"):
        encode(Recipe.of(settings | {"autoencoder": "identity"}), "cpu")


def is_shard(file):
    return {"mean", "log_variance", "label"} <= load_file(file).keys()


def test_pictures_of_a_size_that_the_autoencoder_was_not_trained_on(trained, tmp_path):
    """10 is padded to 12, three latents of four pixels, and cut again."""
    run = train(latent(trained, data={"name": "digits", "size": 10}), tmp_path / "run", quiet=True)
    model = fromnoise.load(run.path, "cpu")
    assert model.latent_shape == (3, 3, 3) and model.sample(1).shape == (1, 1, 10, 10) and (run.path / "samples" / "latents.png").is_file()


def test_a_trained_autoencoder_is_the_base_of_another(trained, tmp_path):
    """With a recipe of its own kind, or one that names the base alone; the run holds all its weights, and is the base no longer."""
    before = load_file(trained / "model.safetensors")
    for own in ({"autoencoder": SMALL}, {}):
        begun = {"data": {"name": "tests.parts:blobs"}, "base": str(trained), "train": recipe(steps=1, lr=1e-6, ema=1, evals=0)["train"], **own}
        run = train(begun, tmp_path / f"tuned{len(own)}", quiet=True)
        after = load_file(run.weights)
        assert after.keys() == before.keys() and all(torch.allclose(after[name], before[name], atol=1e-4) for name in before)
        said = run.recipe()
        assert said.reconstructs and said.base["run"] == str(trained.resolve()) and said.base["digest"] and said.autoencoder == SMALL
        assert fromnoise.load_autoencoder(run.path, "cpu").reconstruct(torch.zeros(1, 1, 8, 8)).shape == (1, 1, 8, 8)
    tuned = train(recipe(steps=4) | {"base": str(trained)}, tmp_path / "more", quiet=True)
    assert any(not torch.equal(load_file(tuned.weights)[name], before[name]) for name in before)
    assert train(recipe(steps=6) | {"base": str(trained)}, tuned.path, quiet=True).load_checkpoint()["state"]["step"] == 6  # and goes on


def test_an_autoencoder_of_diffusers_is_a_base(tmp_path):
    from diffusers import AutoencoderTiny

    small = {"encoder_block_out_channels": (8, 8), "decoder_block_out_channels": (8, 8), "num_encoder_blocks": (1, 1), "num_decoder_blocks": (1, 1)}
    theirs = AutoencoderTiny(**small, in_channels=1, out_channels=1)
    theirs.save_pretrained(tmp_path / "tiny")
    begun = {"data": {"name": "tests.parts:blobs"}, "base": str(tmp_path / "tiny"), "train": recipe(steps=1, lr=1e-7, ema=1, evals=0)["train"]}
    model = fromnoise.load_autoencoder(train(begun, tmp_path / "tuned", quiet=True).path, "cpu")
    x = torch.rand(2, 1, 8, 8) * 2 - 1
    with torch.no_grad():
        expected = theirs.decode(theirs.encode(x).latents).sample
    assert torch.allclose(model.reconstruct(x), expected, atol=1e-3)


def test_a_base_of_another_kind_or_shape_is_named(trained, tmp_path):
    diffusion = train(latent(trained, train={"steps": 1, "batch": 16, "evals": 0}), tmp_path / "latent", quiet=True).path
    with pytest.raises(Usage, match="is the run of a diffusion model, not of an autoencoder"):
        train(recipe() | {"base": str(diffusion)}, tmp_path / "a", quiet=True)
    with pytest.raises(Problem, match="the base .* is of another network: encoder"):
        train(recipe({**SMALL, "widths": [8, 16]}) | {"base": str(trained)}, tmp_path / "b", quiet=True)
    with pytest.raises(Problem, match="the base .*/nowhere is not there"):
        train(recipe() | {"base": str(tmp_path / "nowhere")}, tmp_path / "c", quiet=True)
    with pytest.raises(Usage, match="adapter has no part"):
        train({"data": {"name": "tests.parts:blobs"}, "base": str(trained), "adapter": "lora", "train": recipe()["train"]}, tmp_path / "d", quiet=True)


def test_a_first_stage_in_tiles_is_the_same_without_seams(trained, tmp_path):
    """Convolutions alone: nothing is lost by it, and what is no larger than a tile goes whole."""
    stages = [first_stage(str(trained), tile=tile) for tile in (None, 40, 400)]
    assert [stage.node.get("tile") for stage in stages] == [None, 40, 400] and len({stage.digest for stage in stages}) == 3
    for stage in stages:
        stage.mean.fill_(0.3), stage.std.fill_(2.0)
    x = torch.randn(1, 1, 150, 98, generator=torch.Generator().manual_seed(0)).clamp(-1, 1)
    with torch.no_grad():
        z, pictures = zip(*((stage.encode(x), stage.decode(stages[0].encode(x), x.shape[2:])) for stage in stages), strict=True)
    assert (z[1] - z[0]).abs().max() < 1e-5 > (pictures[1] - pictures[0]).abs().max()
    assert torch.equal(z[2], z[0]) and torch.equal(pictures[2], pictures[0])


def test_tiles_are_a_setting_of_a_recipe_that_its_run_keeps(trained, tmp_path):
    run = train(latent({"name": "run", "path": str(trained), "tile": 64}), tmp_path / "run", quiet=True)
    model = fromnoise.load(run.path, "cpu")
    assert run.recipe().autoencoder["tile"] == 64 and isinstance(model.autoencoder.through(model.autoencoder.inner), Tiled)
    assert not any(".inner" in name for name in model.state_dict())
    with pytest.raises(Usage, match="tile is a whole number from 8"):
        train(latent({"name": "run", "path": str(trained), "tile": 2}), tmp_path / "small", quiet=True)


@pytest.fixture
def command(monkeypatch, capsys):
    """`fromnoise` with these words: (exit code, what it says)."""
    from fromnoise.cli.main import main

    def call(*words):
        monkeypatch.setattr("sys.argv", ["fromnoise", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        return ended.value.code or 0, said.out + said.err

    return call


def test_draws_of_a_priors_are_normal_numbers_decoded(trained, tmp_path, command):
    model = fromnoise.load_autoencoder(trained, "cpu")
    seen = []
    model.autoencoder.decode = lambda z, size: seen.append(z) or torch.zeros(len(z), 1, *size)
    assert model.sample(5000, batch=999).shape == (5000, 1, 8, 8)
    z = torch.cat(seen)
    assert abs(float(z.mean())) < 0.01 and abs(float(z.std()) - 1) < 0.01 and abs(float(z.pow(4).mean()) - 3) < 0.1
    model.sample(3, batch=2), model.sample(1, seed=1)
    assert torch.equal(torch.cat(seen[-3:-1]), z[:3]) and not torch.equal(seen[-1], z[:1])

    code, said = command("sample", trained, "-n", 9, "--out", tmp_path / "prior.png", "--device", "cpu")
    assert not code and "9 draws of the prior, decoded" in said and "hardly held its latents to N(0, 1) (train.kl 1e-06)" in said
    assert (tmp_path / "prior.png").is_file()
    for words, says in {("--steps", 5): "--steps would do nothing", ("--label", 1): "--label", ("--gif",): "--gif", ("--strength", 0.5): "--strength"}.items():
        code, said = command("sample", trained, *words, "--out", tmp_path / "a.png")
        assert code and says in said and "Traceback" not in said


def test_what_has_no_prior_is_refused(tmp_path, command):
    run = train(recipe({"name": "conv_ae", "widths": [8, 8]}, steps=1, evals=0), tmp_path / "run", quiet=True)
    code, said = command("sample", run.path, "--out", tmp_path / "a.png")
    assert code and "ConvAE has no prior to draw from" in said and "Traceback" not in said
