"""Editing with a network that knows the truth: N(MEAN, STD²), a label moving the mean."""

import math
from dataclasses import replace

import pytest
import torch

from fromnoise.editing import between, inpaint, inversion, invert, lerp, steer, vary
from fromnoise.errors import Usage
from fromnoise.evaluation import psnr
from fromnoise.model import Sampling
from fromnoise.samplers import SAMPLERS
from tests.model.test_model import MEAN, STD, exact_model

SHAPE = (1, 4, 4)


def pictures(n: int = 3) -> torch.Tensor:
    return (MEAN + STD * torch.randn(n, *SHAPE, generator=torch.Generator().manual_seed(0))).clamp(-1, 1)


def box(top: int = 2) -> torch.Tensor:
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., top:, :] = 1
    return mask


# A walk from noise of one's own


def test_the_seeds_own_noise_given_by_hand_is_the_seed():
    model = exact_model()
    assert torch.equal(model.sample(5, start=model.start(5, 3), batch=2), model.sample(5, seed=3))
    one = model.start(1, 3)
    assert torch.equal(model.sample(4, start=one, batch=3), model.sample(1, seed=3).expand(4, *SHAPE))


def test_what_cannot_be_a_start_is_refused():
    model = exact_model()
    for start, says in ((torch.zeros(1, 1, 5, 5), "resize it"), (torch.zeros(2, *SHAPE), "one image or 3")):
        with pytest.raises(Usage, match=says):
            model.sample(3, start=start)
    with pytest.raises(Usage, match="not from both"):
        model.sample(1, start=torch.zeros(1, *SHAPE), init=torch.zeros(1, *SHAPE))


# Inpainting


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_known_part_is_untouched_bit_for_bit(sampler):
    known = pictures(1)
    found = inpaint(exact_model(), known, box(), 3, Sampling(sampler, 6, seed=1))
    assert torch.equal(found[..., :2, :], known[..., :2, :].expand(3, 1, 2, 4))
    assert torch.equal(found, found.clamp(-1, 1)) and (found[0] - found[1])[..., 2:, :].abs().min() > 0


def test_the_new_part_is_the_models_own():
    """Pixels of this model are independent: what is known tells nothing of the rest."""
    found = inpaint(exact_model(), torch.ones(1, *SHAPE), box(0), 300, Sampling("ddpm", 100))
    assert float(found.mean()) == pytest.approx(MEAN, abs=4 * STD / math.sqrt(4800) + 0.005)
    assert float(found.std()) == pytest.approx(STD, rel=0.1)


def test_each_picture_has_a_mask_of_its_own_however_batched():
    known, masks = pictures(3), torch.cat([box(1), box(2), box(3)])
    model = exact_model(labels=3)
    sampling = Sampling("repaint", 12)
    whole = inpaint(model, known, masks, 3, sampling, label=[0, 1, 2])
    for i in range(3):
        assert torch.equal(whole[i, :, : i + 1], known[i, :, : i + 1])
    assert torch.allclose(inpaint(model, known, masks, 3, replace(sampling, batch=2), label=[0, 1, 2]), whole, atol=1e-6)


def test_inpainting_keeps_a_guide_of_ones_own_and_counts_from_the_first_sample():
    """The guide sees samples 7, 8 and 9, and moves x0 by a tenth of the number."""
    model, known, seen = exact_model(), pictures(3), []

    def guide(denoise, numbers):
        seen.append(numbers)
        shift = torch.tensor(numbers).reshape(-1, 1, 1, 1) / 10 - 0.7

        def moved(x, level):
            x0 = denoise(x, level)[0] + shift
            return x0, level.eps(x, x0)

        return moved

    found = inpaint(model, known, box(), 3, Sampling("ddim", 6, guide=guide, first=7, batch=2))
    assert seen == [range(7, 9), range(9, 10)] and torch.equal(found[..., :2, :], known[..., :2, :])
    assert torch.allclose(found[..., 2:, :].mean((1, 2, 3)), MEAN + torch.tensor([0.0, 0.1, 0.2]), atol=0.08)


def test_a_mask_of_another_shape_is_refused():
    for mask in (torch.ones(1, 1, 5, 4), torch.ones(2, *SHAPE)):
        with pytest.raises(Usage):
            inpaint(exact_model(), pictures(1), mask, 3)


# Inversion


@pytest.mark.parametrize("conditions", [{}, {"label": 2}, {"label": [0, 1, 2]}])
def test_pictures_come_back_with_and_without_labels(conditions):
    model, x = exact_model(labels=3), pictures()
    noise = invert(model, x, **conditions)
    back = model.sample(3, replace(inversion(model), start=noise), **{"label": None} | conditions)
    assert psnr(back, x).min() > 50
    shift = torch.tensor(
        {0: [0, 0, 0], 1: [0.2, 0.2, 0.2], 2: [0, 0.1, 0.2]}[len(conditions) and 1 + isinstance(conditions["label"], list)]
    )
    assert torch.allclose(noise, (x - MEAN - shift.reshape(3, 1, 1, 1)) / STD, atol=0.4), "the noise is the ODE's, up to 50 steps"


def test_inversion_leaves_no_gradients_and_modes_behind():
    model = exact_model().train()
    assert not invert(model, pictures()).requires_grad
    assert model.training and not any(model.denoiser.network.modes) and not any(model.denoiser.network.gradients)


def test_the_models_own_settings_of_ddim_do_not_disturb_it():
    model, x = exact_model(), pictures(2)
    model.sampling = Sampling("ddim", options={"eta": 1.0})
    assert torch.allclose(vary(model, x[:1], 2, strength=0.0), x[:1].expand(2, *SHAPE), atol=1e-3)
    with pytest.raises(Usage, match="at least 2 steps"):
        invert(model, x, replace(inversion(model), steps=1))
    for sampling in (model.sampling, Sampling("heun")):
        with pytest.raises(Usage, match="choose sampler ddim and no options"):
            invert(model, x, sampling)


# Variations and what lies between


def test_variations_begin_at_the_picture_and_end_at_another():
    model, x = exact_model(labels=3), pictures(1)
    near, far, fresh = (vary(model, x, 20, strength, replace(inversion(model), seed=2)) for strength in (0.0, 0.3, 1.0))
    assert torch.allclose(near, x.expand_as(near), atol=1e-2)
    assert torch.allclose(fresh, model.sample(20, seed=2, sampler="ddim", steps=50, label=None), atol=1e-5)
    assert 0.05 < float((far - x).std() / (fresh - x).std()) < 0.9
    with pytest.raises(Usage, match="0 <= strength <= 1"):
        vary(model, x, 1, 1.5)


def test_rows_lead_from_one_sample_to_the_other_with_their_own_labels():
    model = exact_model(labels=3)
    noises = torch.stack([model.start(3, seed) for seed in (0, 1)])
    found = between(model, noises, 5, sampling=Sampling("ddim", 10))
    assert found.shape == (5, 3, *SHAPE)
    for at, seed in ((0, 0), (-1, 1)):
        assert torch.allclose(found[at], model.sample(3, seed=seed, sampler="ddim", steps=10), atol=1e-6)
    halfway = between(model, noises, 3, blend=lerp, sampling=Sampling("ddim", 10), label=2)[1]
    assert torch.allclose(halfway, model.sample(3, start=(noises[0] + noises[1]) / 2, label=2, sampler="ddim", steps=10), atol=1e-6)
    for n, k, square in ((1, 2, False), (3, 1, False), (3, 2, True)):
        with pytest.raises(Usage):
            between(model, noises[:k], n, square)


# Guidance by others


def test_a_classifier_leads_to_its_labels_however_batched():
    """logits (-x, x) of the mean pixel: label 1 is bright."""
    model = exact_model(labels=2)
    classify = lambda x: (x.mean((1, 2, 3)) - MEAN)[:, None] * torch.tensor([-30.0, 30.0])  # noqa: E731
    labels, sampling = torch.tensor([0, 1] * 20), Sampling("ddim", 20)
    found = steer(model, labels, classify, 1.0, sampling=sampling)
    means, plain = found.mean((1, 2, 3)), model.sample(40, label=None, steps=20).mean((1, 2, 3))
    assert (means < plain)[labels == 0].all() and (means > plain)[labels == 1].all()
    assert torch.allclose(steer(model, labels, classify, 1.0, sampling=replace(sampling, batch=7)), found, atol=1e-5)
    assert torch.equal(steer(model, labels, classify, 0.0, sampling=sampling), model.sample(40, label=None, steps=20))


def weak_model(labels=3, **how):
    """Label i moves its mean by i / 20 only."""
    model = exact_model(labels, **how)
    if labels:
        with torch.no_grad():
            model.conditions["label"].embed.weight.div_(2)
    return model


def test_autoguidance_leads_away_from_the_weak_model():
    """x0 of label 2 is moved by 0.2, of the weak model by 0.1: weak + w (strong - weak) moves it by 0.1 + 0.1 w."""
    model, weak = exact_model(labels=3, shape=(1, 8, 8)), weak_model(shape=(1, 8, 8))
    for scale in (0.0, 1.5, 3.0):
        assert float(model.sample(8, label=2, guidance=scale, weak=weak).mean()) == pytest.approx(MEAN + 0.1 + 0.1 * scale, abs=0.03)


def test_guidance_has_one_thing_to_lead_away_from():
    model = exact_model(labels=3)
    with pytest.raises(Usage, match="not from both"):
        model.sample(2, label=1, guidance=2.0, weak=exact_model(labels=3), negative={"label": 0})


def test_autoguidance_needs_no_condition_but_the_same_data():
    free = exact_model(shape=(1, 8, 8))
    assert torch.allclose(free.sample(4, guidance=3.0, weak=free), free.sample(4), atol=1e-5), "led away from itself, it stays"
    assert torch.isfinite(exact_model(labels=2).sample(4, guidance=2.0, weak=exact_model())).all()
    with pytest.raises(Usage, match="of the same data"):
        free.sample(4, guidance=2.0, weak=exact_model())
