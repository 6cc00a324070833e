import copy

import pytest
import torch

from fromnoise.training.ema import EMA


def test_half_of_the_way_in_a_half_life_however_large_the_batch():
    for batch in (10, 100, 1000):
        weights = [torch.zeros(3)]
        ema = EMA(weights, half_life=1000, warmup=0.05)
        weights[0].fill_(1.0)
        ema.seen = 10**6
        for step in range(1, 1000 // batch + 1):
            ema.update(weights, images=10**6 + step * batch)
        assert ema.average[0].tolist() == pytest.approx([0.5] * 3)


def test_while_it_is_young_its_half_life_is_a_share_of_the_images_seen():
    """beta = 2^(-batch / min(h, 0.05 images)) (Karras et al. 2022, their training loop)."""
    weights, average = [torch.randn(4)], 0.0
    ema = EMA(weights, half_life=500_000, warmup=0.05)
    average = weights[0].clone()
    for step in range(1, 30):
        weights[0].add_(torch.randn(4))
        ema.update(weights, images=64 * step)
        beta = 0.5 ** (64 / (0.05 * 64 * step))
        average = beta * average + (1 - beta) * weights[0]
    assert torch.allclose(ema.average[0], average, atol=1e-5)


def test_without_warmup_it_is_the_weights():
    weights = [torch.zeros(2)]
    ema = EMA(weights, warmup=0.0)
    weights[0].fill_(3.0)
    ema.update(weights, 100)
    assert ema.average[0].tolist() == [3.0, 3.0]


def test_applied_lends_the_average_and_gives_the_weights_back():
    layer = torch.nn.Linear(2, 2)
    weights = list(layer.parameters())
    ema = EMA(weights)
    first = [p.detach().clone() for p in weights]
    with torch.no_grad():
        for p in weights:
            p.add_(1.0)
    with ema.applied(weights):
        assert all(torch.equal(p, q) for p, q in zip(weights, first, strict=True))
    assert all(torch.allclose(p, q + 1) for p, q in zip(weights, first, strict=True))
    with pytest.raises(RuntimeError), ema.applied(weights):
        raise RuntimeError
    assert all(torch.allclose(p, q + 1) for p, q in zip(weights, first, strict=True))


def test_the_average_is_its_own_memory():
    weights = [torch.zeros(2)]
    ema = EMA(weights)
    weights[0].fill_(5.0)
    assert ema.average[0].tolist() == [0.0, 0.0]


def test_images_are_counted_once():
    weights = [torch.zeros(2)]
    ema = EMA(weights)
    weights[0].fill_(1.0)
    ema.update(weights, 640)
    before = ema.average[0].clone()
    weights[0].fill_(5.0)
    ema.update(weights, 640)
    assert torch.equal(ema.average[0], before), "no image since"


def test_it_goes_on_where_it_was_saved():
    weights = [torch.randn(4)]
    whole, cut = EMA(weights, warmup=0.5), EMA(weights, warmup=0.5)
    for step in range(1, 9):
        weights[0].add_(torch.randn(4))
        whole.update(weights, 64 * step)
        cut.update(weights, 64 * step)
        if step == 4:
            saved, cut = {key: copy.deepcopy(value) for key, value in cut.state().items()}, EMA([torch.zeros(4)], warmup=0.5)
            cut.restore(saved)
    assert torch.equal(whole.average[0], cut.average[0])
