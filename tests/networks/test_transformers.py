import math

import pytest
import torch
from torch import nn

from fromnoise.config import build
from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS, PRESETS, Compat, Context, DiT, UViT, lay_weights_last, recompute
from fromnoise.networks.layers.attention import Attention, CrossAttention, FeedForward, LinearAttention, joined
from fromnoise.networks.layers.embed import rotation, sincos, turned
from tests.parts import stirred

CPU = torch.device("cpu")
SMALL = {
    "dit": {"width": 24, "depth": 3, "heads": 2},
    "uvit": {"width": 24, "depth": 3, "heads": 2},
    "conv_adaln": {"width": 16, "blocks": 2},
    "convnext_unet": {"width": 8, "levels": (1, 2)},
    "unet": {"width": 8, "levels": (1, 2), "blocks": 1, "attention": [1]},
}


def small(name: str, **settings) -> nn.Module:
    return NETWORKS[name](**{"channels": 3, **SMALL[name], **settings})


def size_of(preset: str, channels: int) -> int:
    """Parameters of a preset, counted without making them."""
    node = dict(PRESETS[preset])
    with torch.device("meta"):
        return sum(p.numel() for p in build(NETWORKS, node, "network", channels=channels).parameters())


# Counts of the papers


@pytest.mark.parametrize(
    ("preset", "millions"),
    [("dit_s2", 33), ("dit_s4", 33), ("dit_s8", 33), ("dit_b2", 130), ("dit_b4", 130), ("dit_b8", 131), ("dit_l2", 458), ("dit_l4", 458)]
    + [("dit_l8", 459), ("dit_xl2", 675), ("dit_xl4", 675), ("dit_xl8", 676)],
)
def test_dit_has_the_papers_parameters(preset, millions):
    """Peebles & Xie 2023, table 4, which counts a learned variance and 1001 class vectors as well."""
    node = PRESETS[preset]
    extra = (node["width"] + 1) * 4 * node["patch"] ** 2 + 1001 * node["width"]
    assert (size_of(preset, 4) + extra) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(
    ("preset", "channels", "millions"),
    [("uvit_small", 3, 44), ("uvit_small_deep", 4, 58), ("uvit_mid", 3, 131), ("uvit_large", 3, 287), ("uvit_huge", 4, 501)],
)
def test_uvit_has_the_papers_parameters(preset, channels, millions):
    """Bao et al. 2023, table 1."""
    assert size_of(preset, channels) / 1e6 == pytest.approx(millions, rel=0.01)


@pytest.mark.parametrize(("preset", "millions"), [("adm_64", 296), ("adm_128", 422), ("adm_256", 554), ("adm_512", 559)])
def test_adm_has_the_papers_parameters(preset, millions):
    """Dhariwal & Nichol 2021, table 4, which counts a learned variance and 1000 class vectors as wide as the time embedding as well."""
    node = PRESETS[preset]
    extra = round(node["width"] * node["levels"][0]) * 9 * 3 + 3 + 1000 * 4 * node["width"]
    assert (size_of(preset, 3) + extra) / 1e6 == pytest.approx(millions, rel=0.01)


def test_the_other_counts():
    assert size_of("ddpm", 3) == 35_746_307
    assert size_of("convnext_64", 3) / 1e6 == pytest.approx(56.6, rel=0.03)
    # 10,608,904 with the vectors of 10 classes
    assert sum(p.numel() for p in NETWORKS["conv_adaln"]().parameters()) + 10 * 256 == 10_608_904


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_network(preset):
    assert size_of(preset, 3) > 1e6


# What holds for all


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("size", [(28, 28), (9, 13), (1, 5), (17,), (5, 6, 7)], ids=str)
def test_any_size_on_one_to_three_axes(name, size):
    network = stirred(small(name, axes=len(size)))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        answer = network(x, torch.tensor([0.2, 0.9]))
    assert answer.shape == x.shape and torch.isfinite(answer).all() and answer.std() > 0


@pytest.mark.parametrize("name", SMALL)
def test_a_fresh_network_answers_zero(name):
    """Also after construction is over: no later initialisation undoes the zeros."""
    network = small(name)
    assert torch.equal(network(torch.randn(2, 3, 8, 8), torch.rand(2)), torch.zeros(2, 3, 8, 8))


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_learns_once_the_zeros_have_moved(name):
    network = small(name)
    optimizer = torch.optim.SGD(network.parameters(), 0.3)
    for _ in range(4):  # zero layers open one after the other
        optimizer.zero_grad()
        (network(torch.randn(4, 3, 8, 8), torch.rand(4), Context(vector=torch.randn(4, network.dim))) - 1).square().mean().backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not [name for name in still if not name.startswith("token_types")]


@pytest.mark.parametrize("name", SMALL)
def test_t_and_the_vector_matter_and_samples_stay_apart(name):
    network = stirred(small(name))
    x, t, vector = torch.randn(3, 3, 9, 8), torch.tensor([0.1, 0.5, 0.9]), torch.randn(3, network.dim)
    with torch.no_grad():
        plain = network(x, t, Context(vector=vector))
        assert not torch.allclose(network(x, t.flip(0), Context(vector=vector)), plain, atol=1e-4)
        assert not torch.allclose(network(x, t, Context(vector=vector.flip(0))), plain, atol=1e-4)
        order = torch.tensor([2, 0, 1])
        assert torch.allclose(network(x[order], t[order], Context(vector=vector[order])), plain[order], atol=1e-4)


@pytest.mark.parametrize("name", ["dit", "uvit", "unet", "convnext_unet"])
def test_a_picture_beside_x_matters(name):
    network = stirred(small(name, concat=2))
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    with torch.no_grad():
        zeros, ones = (network(x, t, Context(concat=torch.full((2, 2, 8, 8), float(v)))) for v in range(2))
    assert not torch.allclose(zeros, ones, atol=1e-4)


CASES = [("dit", {"place": "cross"}), ("dit", {"place": "token"}), ("uvit", {}), ("unet", {}), ("unet", {"place": "token"})]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_more_than_one_token_matters_is_masked_and_learnt_from(name, settings):
    network = stirred(small(name, context_dim=6, **settings))
    x, t, tokens = torch.randn(2, 3, 8, 8), torch.rand(2), torch.randn(2, 4, 6, requires_grad=True)
    mask = torch.tensor([[True, True, False, False], [True, True, True, True]])
    answer = network(x, t, Context(tokens=tokens, mask=mask))
    (gradient,) = torch.autograd.grad(answer.square().sum(), tokens)
    heard = gradient.abs().sum(-1) > 1e-9
    assert torch.equal(heard, mask)  # the gradient reaches every token that counts, and no other
    with torch.no_grad():
        moved = tokens.clone()
        moved[0, 2:] += 1
        assert torch.allclose(network(x, t, Context(tokens=moved, mask=mask)), answer, atol=1e-6)
        swapped = tokens.clone()
        swapped[:, 1] += 1
        assert not torch.allclose(network(x, t, Context(tokens=swapped, mask=mask)), answer, atol=1e-5)
        shorter = network(x[:1], t[:1], Context(tokens=tokens[:1, :2]))
        assert torch.allclose(shorter, answer[:1], atol=1e-5)  # a masked word is as no word
        empty = network(x, t, Context(tokens=tokens, mask=torch.zeros_like(mask)))
        assert torch.isfinite(empty).all()


@pytest.mark.parametrize("name", ["dit", "uvit", "unet"])
def test_tokens_are_refused_by_a_network_without_a_place_for_them(name):
    with pytest.raises(Usage, match="not as tokens"):
        small(name)(torch.randn(1, 3, 8, 8), torch.rand(1), Context(tokens=torch.randn(1, 2, 6)))


@pytest.mark.parametrize("name", SMALL)
def test_recomputing_blocks_changes_no_gradient(name):
    """Dropout included: the second pass draws what the first drew."""
    network = stirred(small(name, **({} if name in ("conv_adaln", "convnext_unet") else {"dropout": 0.3}))).train()
    x, t, gradients = torch.randn(2, 3, 8, 8), torch.rand(2), []
    for on in (False, True):
        assert recompute(network, on) >= 2
        torch.manual_seed(0)
        network.zero_grad()
        network(x, t).square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert len(gradients[0]) == len(gradients[1])
    assert all(torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(*gradients, strict=True))


def test_recomputing_goes_with_bfloat16_and_channels_last():
    """Where attention and norms have ways back of their own."""
    network, gradients = stirred(NETWORKS["unet"](3, 96, (1, 2), 1, [1])).train(), []
    lay_weights_last(network, CPU)
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    for on in (False, True):
        recompute(network, on)
        network.zero_grad()
        with torch.autocast("cpu", torch.bfloat16):
            answer = network(x, t)
        answer.float().square().sum().backward()
        gradients.append([p.grad.clone() for p in network.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-3 * float(a.abs().max())) for a, b in zip(*gradients, strict=True))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("dit", {"patch": 0}),
        ("dit", {"heads": 5}),
        ("dit", {"heads": 0}),
        ("dit", {"depth": 0}),
        ("dit", {"axes": 4}),
        ("dit", {"compat": Compat(groups=8)}),
        ("dit", {"compat": Compat(pad_late=True)}),
        ("dit", {"time": "sine"}),
        ("dit", {"act": "relu6"}),
        ("uvit", {"depth": 4}),
        ("uvit", {"heads": 5}),
        ("uvit", {"patch": -1}),
        ("conv_adaln", {"groups": 3}),
        ("conv_adaln", {"width": 0}),
        ("convnext_unet", {"levels": ()}),
        ("convnext_unet", {"axes": 0}),
        ("unet", {"compat": Compat(groups=3)}),
        ("unet", {"linear": [5]}),
    ],
    ids=str,
)
def test_what_cannot_be(name, wrong):
    with pytest.raises(Usage):
        small(name, **wrong)


# The parts


@pytest.mark.parametrize("settings", [{"positions": "rope"}, {"qk_norm": True}, {"act": "swiglu"}, {"act": "geglu"}, {"patch": 3}], ids=str)
def test_dits_options_work_and_matter(settings):
    torch.manual_seed(0)
    plain = stirred(small("dit"))
    torch.manual_seed(0)
    other = stirred(small("dit", **settings))
    x, t = torch.randn(2, 3, 8, 8), torch.rand(2)
    with torch.no_grad():
        assert not torch.allclose(plain(x, t), other(x, t), atol=1e-4)


def test_gated_layers_cost_about_what_plain_ones_do():
    counts = [sum(p.numel() for p in DiT(width=384, depth=1, act=act).parameters()) for act in ("gelu", "swiglu", "geglu")]
    assert counts[1] == counts[2] == pytest.approx(counts[0], rel=0.01)


def test_attention_is_the_formula():
    """softmax(q kᵀ / √d) v, head by head (Vaswani et al. 2017, eq. 1)."""
    layer, x = Attention(12, 3).double(), torch.randn(2, 5, 12, dtype=torch.float64)
    q, k, v = (part.unflatten(-1, (3, 4)) for part in layer.qkv(x).chunk(3, -1))
    heads = [torch.softmax(q[:, :, h] @ k[:, :, h].mT / 2, -1) @ v[:, :, h] for h in range(3)]
    assert torch.allclose(layer(x), layer.out(torch.cat(heads, -1)))


def test_queries_and_keys_of_unit_size():
    layer = Attention(12, 3, qk_norm=True).double()
    layer.qkv.weight.data *= 100  # without the norm, attention would be a choice of one
    x = torch.randn(1, 5, 12, dtype=torch.float64)
    q, k, v = (part.unflatten(-1, (3, 4)).transpose(1, 2) for part in layer.qkv(x).chunk(3, -1))
    q, k = (part / part.square().mean(-1, keepdim=True).sqrt() for part in (q, k))
    expected = torch.softmax(q @ k.mT / 2, -1) @ v
    assert torch.allclose(layer(x), layer.out(expected.transpose(1, 2).flatten(2)), rtol=1e-4)


def test_cross_attention_is_pytorchs():
    ours, theirs = CrossAttention(12, 6, 3), nn.MultiheadAttention(12, 3, kdim=6, vdim=6, batch_first=True)
    with torch.no_grad():
        theirs.q_proj_weight.copy_(ours.q.weight)
        theirs.k_proj_weight.copy_(ours.kv.weight[:12])
        theirs.v_proj_weight.copy_(ours.kv.weight[12:])
        theirs.in_proj_bias.zero_()
        theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, tokens, mask = torch.randn(2, 5, 12), torch.randn(2, 4, 6), torch.tensor([[True] * 4, [True, False, True, False]])
    expected, _ = theirs(x, tokens, tokens, key_padding_mask=~mask)
    assert torch.allclose(ours(x, tokens, mask), expected, atol=1e-5)


def test_linear_attention_is_the_formula_and_forgets_the_order_of_positions():
    layer = LinearAttention(8, heads=2, head=4, groups=1).double()
    nn.init.normal_(layer.out.weight)
    x = torch.randn(1, 8, 3, 2, dtype=torch.float64)
    q, k, v = (part.unflatten(-1, (2, 4)) for part in layer.qkv(layer.norm(x).flatten(2).mT).chunk(3, -1))
    answer = torch.zeros(1, 6, 2, 4, dtype=torch.float64)
    for h in range(2):
        rho_q, rho_k = torch.softmax(q[0, :, h], 1) / 2, torch.softmax(k[0, :, h], 0)
        answer[0, :, h] = (rho_q @ rho_k.T) @ v[0, :, h]  # quadratic, as one would do it by hand
    assert torch.allclose(layer(x), x + layer.out(answer.flatten(2)).mT.reshape(x.shape))


def test_feed_forward_layers_are_the_formulas():
    x = torch.randn(3, 8, dtype=torch.float64)
    plain, gated = FeedForward(8, 16).double(), FeedForward(8, 16, "swiglu").double()
    u = plain.proj_in(x)
    gelu = 0.5 * u * (1 + torch.tanh(math.sqrt(2 / math.pi) * (u + 0.044715 * u**3)))
    assert torch.allclose(plain(x), plain.proj_out(gelu))
    up, gate = gated.proj_in(x).chunk(2, -1)
    assert torch.allclose(gated(x), gated.proj_out(up * gate * torch.sigmoid(gate)))


def test_positions_are_the_published_ones():
    from diffusers.models.embeddings import get_2d_sincos_pos_embed

    expected = get_2d_sincos_pos_embed(32, (6, 6), base_size=6)
    assert torch.allclose(sincos((6, 6), 32, CPU), expected.float(), atol=1e-6)
    assert sincos((3, 5, 7), 20, CPU).shape == (105, 20)
    assert len(torch.unique(sincos((3, 5, 7), 20, CPU), dim=0)) == 105  # no two places alike


def test_rotary_attention_knows_differences_of_places_alone():
    """q_m · k_n depends on m - n, on every axis; a token without a place is not turned."""
    q, k = torch.randn(1, 1, 1, 16), torch.randn(1, 1, 1, 16)
    by = rotation((6, 7), 16, 2, CPU)
    places = turned(q.expand(1, 1, 44, 16), by)[0, 0] @ turned(k.expand(1, 1, 44, 16), by)[0, 0].T
    grid = places[2:, 2:].reshape(6, 7, 6, 7)
    assert torch.allclose(grid[1, 2, 3, 5], grid[2, 3, 4, 6], atol=1e-4) and torch.allclose(grid[4, 1, 2, 3], grid[5, 0, 3, 2], atol=1e-4)
    assert not torch.allclose(grid[1, 2, 3, 5], grid[1, 2, 3, 4], atol=1e-3)
    assert torch.allclose(places[0, 1], (q * k).sum(), atol=1e-5)


def test_joined_counts_everything_of_x():
    x, tokens = torch.zeros(2, 3, 4), torch.ones(2, 2, 4)
    sequence, mask = joined(tokens, torch.tensor([[True, False], [True, True]]), x)
    assert sequence[0, :, 0].tolist() == [1, 1, 0, 0, 0] and mask.tolist() == [[True, False, True, True, True], [True] * 5]


def test_long_skips_reach_the_second_half():
    """Zeroing what a skip brings changes the answer, and the i-th from the start meets the i-th from the end."""
    network = stirred(UViT(width=16, depth=5, heads=2))
    seen = []
    for block in network.blocks:
        block.register_forward_hook(lambda module, given, answer: seen.append((given[1], answer)))
    with torch.no_grad():
        network(torch.randn(1, 3, 8, 8), torch.rand(1))
    (_, first), (_, second), (middle, _), (fourth, _), (fifth, _) = seen
    assert middle is None and fourth is second and fifth is first


@pytest.mark.parametrize("kind", [DiT, UViT])
def test_what_was_drawn_from_in_inference_mode_can_be_trained(kind):
    """What is kept from one pass for the next, the codes of positions, must not be a tensor of inference."""
    sincos.cache_clear(), rotation.cache_clear()
    network, x, t = kind(channels=3, width=24, depth=1, heads=2, positions="rope"), torch.randn(2, 3, 8, 8), torch.rand(2)
    with torch.inference_mode():
        network(x, t)
        assert not sincos((2, 2), 8, CPU).is_inference()
    network(x, t).square().mean().backward()
    assert torch.isfinite(network.blocks[0].attention.qkv.weight.grad).all()
