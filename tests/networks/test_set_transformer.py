"""The set transformer: the order of points is of no account, each sees the others, and it trains and samples like any network."""

import math

import pytest
import torch

from fromnoise.errors import Usage
from fromnoise.networks import Context, SetTransformer
from fromnoise.networks.set_transformer import InducedBlock
from tests.parts import built, stirred

SMALL = {"width": 32, "depth": 2, "heads": 2, "induced": 5}


def network() -> SetTransformer:
    torch.manual_seed(0)
    return stirred(SetTransformer(3, **SMALL)).double()


def test_it_is_equivariant_under_permutations_of_points():
    net, x, t, order = network(), torch.randn(2, 3, 30).double(), torch.rand(2), torch.randperm(30)
    context = Context(vector=torch.randn(2, 32).double())
    assert torch.allclose(net(x[:, :, order], t, context), net(x, t, context)[:, :, order], atol=1e-12)
    assert not torch.allclose(net(x, t, context), net(x, t), atol=1e-3)  # the label is of account


def test_each_point_sees_the_others():
    net, x = network(), torch.randn(1, 3, 30).double()
    other = x.clone()
    other[:, :, 7] += 1
    assert ((net(x, torch.ones(1)) - net(other, torch.ones(1))).abs().amax(1) > 1e-9).all()


def test_a_block_is_the_papers_formula():
    """MAB(X, Y) = H + rFF(H), H = X + Multihead(X, Y, Y); the outer one's terms are gated, its norms modulated."""
    torch.manual_seed(1)
    block = stirred(InducedBlock(8, 2, 3, 2.0)).double()
    x, emb = torch.randn(1, 6, 8).double(), torch.randn(1, 8).double()

    def multihead(layer, x, y):
        (q, k, v), found = (layer.q(x), *layer.kv(y).chunk(2, -1)), []
        for head in (slice(0, 4), slice(4, 8)):
            found.append((q[..., head] @ k[..., head].mT / math.sqrt(4)).softmax(-1) @ v[..., head])
        return layer.out(torch.cat(found, -1))

    def normed(x):
        return (x - x.mean(-1, keepdim=True)) / (x.var(-1, correction=0, keepdim=True) + 1e-6).sqrt()

    shift1, scale1, gate1, shift2, scale2, gate2 = block.modulation(emb * emb.sigmoid())[0].split(8)
    y = normed(x) * (1 + scale1) + shift1
    found = block.induced + multihead(block.gather, block.induced, y)
    found = found + block.mlp_induced(normed(found))
    h = x + gate1 * multihead(block.spread, y, found)
    h = h + gate2 * block.mlp(normed(h) * (1 + scale2) + shift2)
    assert torch.allclose(block(x, emb), h, atol=1e-9)


def test_it_trains_and_samples_with_a_label():
    model = built(
        {"network": {"name": "set_transformer", **SMALL}, "conditions": ["label"], "sample": {"name": "ddim", "steps": 2}},
        (3, 20),
        ("a", "b"),
    )
    value = model({"x": torch.randn(4, 3, 20), "label": torch.arange(4) % 2}, model.noise(torch.rand(4)))
    value.mean().backward()
    assert torch.isfinite(value).all()
    assert model.sample(3, label=[0, 1, 0]).shape == (3, 3, 20)


def test_other_examples_than_points_are_refused():
    with pytest.raises(Usage, match=r"points in any order, .*not of \(1, 8, 8\); choose network=dit"):
        SetTransformer.fitting((1, 8, 8))
    with pytest.raises(Usage, match="points in any order"):
        built({"network": "set_transformer"}, (2,))
