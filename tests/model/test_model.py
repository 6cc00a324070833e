import math

import pytest
import torch
from torch import nn

from fromnoise.autoencoders import Autoencoder
from fromnoise.diffusion import Cosine, Denoiser, Flow, Karras, Schedule, Table, clip, exact
from fromnoise.draws import Draws
from fromnoise.errors import Problem, Usage
from fromnoise.model import Model, NotFinite, Sampling
from tests.parts import built, label_of

MEAN, STD = 0.2, 0.1


class Exact(nn.Module):
    """The network that has learnt N(MEAN, STD²), the label added to its mean, of vectors of one number; predicts x0 at Flow's times."""

    dim = 1

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.modes, self.gradients = [], []

    def forward(self, x, clock, context=None):
        self.modes.append(self.training), self.gradients.append(torch.is_grad_enabled())
        shift = 0.0 if context is None or context.vector is None else context.vector.reshape(-1, *[1] * (x.ndim - 1))
        t = clock.double().reshape(-1, *[1] * (x.ndim - 1))
        mean = MEAN + shift
        x = x.double() * torch.hypot(1 - t, t)  # as it was before it was scaled to unit length
        return (mean + (1 - t) * STD**2 * (x - (1 - t) * mean) / ((1 - t) ** 2 * STD**2 + t**2)).float()


def exact_model(labels: int = 0, shape=(1, 4, 4), drop: float = 0.1, **sampling) -> Model:
    conditions = []
    if labels:
        conditions = [label_of(1, labels, drop)]
        with torch.no_grad():  # label i moves the mean by i / 10, no label by nothing
            conditions[0].embed.weight.copy_(torch.tensor([*range(labels)] + [0.0] * (drop > 0))[:, None] / 10)
    return Model(Denoiser(Exact(), "x0", "flow"), Flow(), shape, conditions, sampling=Sampling(**{"sampler": "ddim", "steps": 30, **sampling}))


def test_samples_of_a_known_network_are_its_data():
    samples = exact_model(steps=100).sample(200, seed=1)
    assert samples.shape == (200, 1, 4, 4) and samples.dtype == torch.float32
    assert float(samples.mean()) == pytest.approx(MEAN, abs=4 * STD / math.sqrt(3200))
    assert float(samples.std()) == pytest.approx(STD, rel=0.1)


@pytest.mark.parametrize("sampler", ["ddim", "ddpm", "dpmpp_2m_sde", "edm"])
@pytest.mark.parametrize(
    "config",
    [{"network": {"name": "conv", "width": 8}}, {"network": {"name": "unet", "width": 8, "levels": [1, 2], "attention": [1]}}],
    ids=["conv", "unet"],
)
def test_sample_i_does_not_depend_on_the_batch(config, sampler):
    torch.manual_seed(0)
    model = built(config | {"conditions": ["label"], "noise": "flow", "predict": "v"}, (1, 6, 6), ("a", "b", "c"))
    for p in model.parameters():
        p.data.add_(0.05 * torch.randn_like(p))
    options = {"churn": 5.0} if sampler == "edm" else {}
    draw = lambda n, **how: model.sample(n, seed=3, sampler=sampler, steps=4, guidance=1.5, options=options, **how)  # noqa: E731
    whole = draw(7)
    assert torch.allclose(draw(7, batch=3), whole, atol=1e-5)
    assert torch.allclose(draw(2), whole[:2], atol=1e-5)  # labels in turn, so the first two are the same
    assert torch.equal(draw(7), whole)
    assert not torch.allclose(model.sample(7, seed=4, sampler=sampler, steps=4), whole, atol=1e-2)


def test_one_label_for_all_or_one_for_each():
    model = exact_model(labels=4, shape=(1, 8, 8))
    means = lambda samples: samples.mean((1, 2, 3))  # noqa: E731
    for label, expected in ((3, [0.5] * 4), ([0, 3, 1, 2], [0.2, 0.5, 0.3, 0.4]), (torch.tensor([3, 3, 0, 0]), [0.5, 0.5, 0.2, 0.2])):
        assert means(model.sample(4, label=label)).tolist() == pytest.approx(expected, abs=5 * STD / 8)
        assert means(model.sample(4, label=label, batch=3)).tolist() == pytest.approx(expected, abs=5 * STD / 8)


def test_labels_come_in_turn_where_none_is_given():
    model = exact_model(labels=3)
    assert torch.equal(model.sample(7, batch=2), model.sample(7, label=[0, 1, 2, 0, 1, 2, 0]))
    assert torch.allclose(model.sample(2, label=None), exact_model().sample(2), atol=1e-6)  # None is no label at all


def test_guidance_extrapolates_from_no_label():
    """x0 of label 2 is moved by 0.2; at scale w by 0.2 w, at 0 not at all."""
    model = exact_model(labels=3, shape=(1, 8, 8))
    for scale in (0.0, 1.0, 2.5):
        assert float(model.sample(8, label=2, guidance=scale).mean()) == pytest.approx(0.2 + 0.2 * scale, abs=0.03)


def test_guidance_0_is_the_unconditional_model_and_1_the_conditional():
    model = exact_model(labels=3)
    assert torch.allclose(model.sample(4, label=2, guidance=0.0), model.sample(4, label=None), atol=1e-6)
    assert torch.allclose(model.sample(4, label=2, guidance=1.0), model.sample(4, label=2), atol=1e-6)


def test_guidance_costs_one_call_a_step_of_twice_the_batch():
    model = exact_model(labels=3, steps=5)
    network = model.denoiser.network
    model.sample(4, guidance=2.0)
    assert len(network.modes) == 5


@pytest.mark.parametrize(
    ("model", "words", "says"),
    [
        (exact_model(), {"guidance": 2.0}, "no condition to guide by"),
        (exact_model(), {"label": 1}, "no condition 'label'; it was trained without any"),
        (exact_model(3), {"lable": 1}, "did you mean 'label'"),
        (exact_model(3), {"label": 3}, "knows 0 to 2"),
        (exact_model(3), {"label": [0, 1]}, "3 samples need one label or 3"),
        (exact_model(3, drop=0.0), {"guidance": 2.0}, "cannot be guided"),
        (exact_model(3, drop=0.0), {"label": None}, "needs one"),
        (exact_model(), {"sampler": "dimm"}, "did you mean 'ddim'"),
        (exact_model(), {"steps": 0}, "steps is a whole number from 1 to"),
        (exact_model(), {"options": {"etta": 1.0}}, "did you mean 'eta'"),
        (exact_model(), {"clip": "statik"}, "did you mean 'static'"),
        (exact_model(), {"clip": {"name": "static", "bond": 1.0}}, "did you mean 'bound'"),
        (exact_model(), {"clip": {"name": "static", "bound": -1.0}}, "bound is a number above 0"),
        (exact_model(), {"clip": {"name": "dynamic", "share": 2.0}}, "0 < share <= 1"),
        (exact_model(), {"sampler": "heun", "options": {"frame": "vq"}}, "heun: no frame 'vq'"),
        (exact_model(), {"strength": 0.0, "init": torch.zeros(1, 1, 4, 4)}, "0 < strength <= 1"),
        (exact_model(), {"init": torch.zeros(1, 1, 5, 4)}, r"resize it first"),
        (exact_model(), {"init": torch.zeros(2, 1, 4, 4)}, "one image or 3"),
    ],
)
def test_words_that_a_model_cannot_follow(model, words, says):
    with pytest.raises(Usage, match=says):
        model.sample(3, **words)


@pytest.mark.parametrize("n", [0, -1])
def test_no_samples_are_refused(n):
    with pytest.raises(Usage, match="at least 1 sample"):
        exact_model().sample(n)


@pytest.mark.parametrize(
    ("schedule", "data_std", "expected"),
    [
        (Flow(), 1.0, 1.0),
        (Karras(sigma_max=10.0), 0.5, math.hypot(10, 0.5)),
        (Cosine(), 1.0, 1.0),
        (Table(), 1.0, 1.0),
        (Flow(high=0.5), 2.0, math.hypot(1, 0.5)),
    ],
)
def test_the_start_has_the_spread_of_the_noisiest_level(schedule: Schedule, data_std, expected):
    model = Model(Denoiser(Exact(), "v", data_std=data_std), schedule, (10,))
    assert float(model.start(1000).std()) == pytest.approx(expected, rel=0.03)


def test_an_image_noised_a_little_comes_back_and_wholly_is_forgotten():
    """SDEdit: more strength, further from the image."""
    model = exact_model(steps=40)
    image = MEAN + STD * torch.randn(1, 1, 4, 4)
    apart = [float((model.sample(20, init=image, strength=s) - image).abs().mean()) for s in (0.01, 0.1, 0.3, 1.0)]
    assert apart[0] < 0.03 and apart == sorted(apart)
    assert torch.allclose(model.sample(20, init=image, strength=1.0), model.sample(20), atol=1e-6)  # at alpha = 0 nothing of it is left


def test_images_one_for_all_or_one_for_each():
    model = exact_model(steps=40)
    images = torch.stack([torch.full((1, 4, 4), level) for level in (0.1, 0.2, 0.3)])
    each = model.sample(3, init=images, strength=0.01, batch=2)
    assert torch.allclose(each, images, atol=0.1)
    assert torch.allclose(model.sample(3, init=images[:1], strength=0.01, batch=2), images[:1].expand(3, 1, 4, 4), atol=0.1)


def test_pictures_are_held_in_range_and_points_are_not():
    for shape, most in (((1, 4, 4), 1.0), ((16,), 2.6)):
        model = exact_model(labels=30, shape=shape)
        assert float(model.sample(4, label=25).max()) == pytest.approx(most, abs=0.5) and (
            shape == (16,) or model.sample(4, label=25).max() <= 1
        )


def test_a_clip_has_settings_or_is_ones_own():
    words = {"label": 25, "steps": 3}
    model = exact_model(30)
    *_, (x, x0) = model.trajectory(3, clip={"name": "static", "bound": 0.25}, **words)
    assert float(x0.max()) == 0.25
    *_, (own, _) = model.trajectory(3, clip=lambda plain: clip(plain, 0.25), **words)
    assert torch.equal(own, x)


def test_static_and_dynamic_clip_hold_every_x0():
    model = exact_model(labels=30, shape=(16,))
    for how in ("static", "dynamic"):
        path = [x0 for _, x0 in model.trajectory(3, clip=how, label=25)]
        assert all(x0.abs().max() <= 1 + 1e-6 for x0 in path)


def test_a_trajectory_shows_every_step_and_ends_at_the_sample():
    model = exact_model(steps=6)
    path = list(model.trajectory(3, seed=2))
    assert len(path) == 6 and all(x.shape == x0.shape == (3, 1, 4, 4) for x, x0 in path)
    assert torch.equal(path[-1][0].clamp(-1, 1), model.sample(3, seed=2))


@pytest.mark.parametrize("training", [True, False])
def test_a_trajectory_leaves_no_mode_behind(training):
    model = exact_model(steps=4)
    model.train(training)
    for _ in model.trajectory(2):
        assert model.training == training and model.denoiser.network.training == training
        assert torch.is_grad_enabled()
    assert model.training == training
    assert not any(model.denoiser.network.modes) and not any(model.denoiser.network.gradients)


def test_a_walk_that_fails_leaves_no_mode_behind():
    model = exact_model().train()
    model.denoiser.network.forward = lambda *_: 1 / 0
    with pytest.raises(ZeroDivisionError):
        model.sample(2)
    assert model.training


def test_sampling_takes_nothing_from_the_global_noise():
    before = torch.get_rng_state()
    exact_model().sample(3, sampler="ddpm", steps=5)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("seed", [-(2**63), -1, 2**63, 2**64 - 1])
def test_any_seed(seed):
    assert torch.isfinite(exact_model(steps=2).sample(2, seed=seed, sampler="ddpm")).all()


def test_a_seed_that_would_draw_what_another_draws_is_refused():
    for seed in (2**64, 10**20, -(2**63) - 1):
        with pytest.raises(Usage, match="seed is a whole number from"):
            exact_model(steps=2).sample(2, seed=seed)


def test_the_noise_of_the_walk_is_not_that_of_the_start_again():
    """From alpha = 0 the first step of DDPM is noise alone: all of it new."""
    model = exact_model()
    start, (first, _) = model.start(100, seed=5), next(iter(model.trajectory(100, seed=5, sampler="ddpm")))
    assert abs(float(torch.corrcoef(torch.stack([start.flatten(), first.flatten()]))[0, 1])) < 0.1


def test_another_sampler_does_not_inherit_options():
    model = exact_model(options={"eta": 0.5})
    assert model.sampling.merged({"sampler": "dpmpp_2m"}).options == {}
    assert model.sampling.merged({"steps": 3, "sampler": None}).options == {"eta": 0.5}


def test_the_loss_of_a_batch_depends_on_its_labels():
    torch.manual_seed(0)
    model = exact_model(labels=2, drop=0.0)
    x = MEAN + STD * torch.randn(400, 1, 4, 4)
    level, eps = Flow()(torch.rand(400)), torch.randn_like(x)
    right, wrong = (model({"x": x, "label": torch.full((400,), label)}, level, eps).mean().item() for label in (0, 1))
    with torch.no_grad():
        best = float((exact.gaussian(MEAN, STD)(level.mix(x, eps), level)[0] - x).square().mean())
    assert right == pytest.approx(best, rel=1e-4) and wrong > 1.1 * right
    with pytest.raises(Usage, match="'label', which the data does not have: x"):
        model({"x": x}, level)


def test_eps_from_pure_noise_is_refused_when_the_model_is_built():
    for settings in ({"noise": {"name": "flow", "high": 1.0}}, {"noise": {"name": "flow", "high": 0.9}, "sample": {"schedule": "cosine"}}):
        with pytest.raises(Usage, match="noise.high to 0.99"):
            built({"network": "mlp", "predict": "eps", **settings}, (2,))


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"network": "unet", "noise": "cosin"}, "did you mean 'cosine'"),
        ({"network": "resnet"}, "no network 'resnet'"),
        ({"network": {"name": "conv", "wdth": 3}}, "did you mean 'width'"),
        ({"network": {"name": "conv", "width": "wide"}}, "width is a whole number, not 'wide'"),
        ({"network": "conv", "conditions": ["label"]}, "the data has none"),
        ({"network": {"name": "unet", "context_dim": 4}}, "context_dim is 4, but no condition calls for it"),
        ({"network": {"name": "dit", "concat": 1}}, "concat is 1, but no condition calls for it"),
        ({"network": "conv", "predict": "epsilon"}, "did you mean 'eps'"),
        ({"network": "conv", "noise": "tests.parts:tenths"}, "needs level"),
        ({"network": "conv", "noise": "os:getcwd"}, "noise os:getcwd makes a str, no Schedule"),
        ({"network": "conv", "source": "tests.parts:Tracker"}, "source tests.parts:Tracker needs run"),
        ({"network": "conv", "source": "builtins:object"}, "makes a object, no Source"),
        ({"network": "conv", "autoencoder": "builtins:object"}, "makes a object, no Autoencoder"),
        ({"network": "conv", "conditions": ["builtins:object"]}, "makes a object, no Condition"),
        ({"network": "conv", "source": "builtins:int"}, "does not tell its parameters"),
        ({"network": "conv", "sample": {"clip": "os.path:join"}}, "clip os.path:join cannot be made, with TypeError"),
    ],
)
def test_recipes_that_cannot_be_built(config, says):
    with pytest.raises(Usage, match=says):
        built(config, (1, 8, 8))


@pytest.mark.parametrize(("name", "width"), [("unet", 16_384), ("conv", 10**6), ("mlp", 10**6)])
def test_what_no_memory_holds_is_refused_before_it_is_taken(name, width):
    with pytest.raises(Problem, match="the memory does not hold this: the network takes .* GiB, and .* are left"):
        built({"network": {"name": name, "width": width}}, (2,) if name == "mlp" else (1, 8, 8))


@pytest.mark.parametrize("network", ["unet", "conv"])
def test_networks_of_pictures_send_points_to_the_mlp(network):
    with pytest.raises(Usage, match="network=mlp"):
        built({"network": network}, (2,))


def test_negative_conditions_go_with_their_samples():
    model = exact_model(labels=4, shape=(1, 8, 8))
    how = {"label": [0, 1, 2, 3], "negative": {"label": [3, 2, 1, 0]}, "guidance": 2.0, "steps": 4}
    assert torch.equal(model.sample(4, **how), model.sample(4, batch=3, **how))


def test_conditions_are_read_in_evaluation_mode_and_without_gradients():
    model, seen = exact_model(labels=3).train(), []
    model.conditions["label"].register_forward_hook(lambda module, *_: seen.append((module.training, torch.is_grad_enabled())))
    model.sample(2, label=1, steps=2)
    assert seen and set(seen) == {(False, False)} and model.training


def test_a_result_says_by_which_schedule():
    assert "high=0.5" in Sampling(schedule=Flow(high=0.5)).record()["schedule"] and "schedule" not in Sampling().record()


class Halved(Autoencoder):
    """Latents of half the size, each pixel's four neighbours as channels."""

    def moments(self, x):
        return nn.functional.pixel_unshuffle(x, 2), None

    def decode(self, z, size=None):
        return nn.functional.pixel_shuffle(z, 2)

    def latent_shape(self, shape):
        return (4 * shape[0], shape[1] // 2, shape[2] // 2)


def test_an_autoencoder_lies_between_the_data_and_what_is_diffused():
    model = built({"network": {"name": "conv", "width": 8}, "autoencoder": {"name": f"{__name__}:Halved"}}, (1, 8, 8))
    assert model.shape == (1, 8, 8) and model.latent_shape == (4, 4, 4) and model.sample(3, steps=2).shape == (3, 1, 8, 8)
    batch, draws = {"x": torch.randn(2, 1, 8, 8)}, Draws.fixed(2)
    eps = model.draw_source(batch, draws)
    assert eps.shape == (2, 4, 4, 4) and torch.isfinite(model(batch, model.noise(torch.tensor([0.2, 0.7])), eps)).all()


@pytest.mark.parametrize(
    ("spoilt", "sampling", "cause"),
    [
        (True, {}, r"the model's own weights are not \(denoiser.network.weight\): take earlier ones"),
        (False, {"guidance": 9e5}, r"guidance \(900000\) drives them apart: take less of it"),
        (False, {}, "they do not converge: take more steps"),
    ],
)
def test_samples_that_are_not_finite_are_an_error_with_its_cause(spoilt, sampling, cause):
    model = exact_model(labels=2, steps=3)
    model.denoiser.network.weight.data.fill_(math.nan if spoilt else 0)
    forward = model.denoiser.network.forward
    model.denoiser.network.forward = lambda x, clock, context=None: forward(x, clock, context) * math.inf
    for draw in (model.sample, lambda n, **how: list(model.trajectory(n, **how))):
        with pytest.raises(NotFinite, match=rf"not finite after 3 steps of ddim; {cause}"):
            draw(2, **sampling)
