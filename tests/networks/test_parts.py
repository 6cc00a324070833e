"""Folding, embeddings and attention."""

import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from fromnoise.errors import Usage
from fromnoise.networks import Compat, ConvNeXtUNet, UNet, lay_weights_last
from fromnoise.networks.layers.attention import CrossTransformer, FeedForward, Gated, SelfAttention, attend
from fromnoise.networks.layers.axes import beside, conv, fold, laid_last, unfold
from fromnoise.networks.layers.embed import EMBEDDINGS, Fourier, Sinusoidal, TimeEmbedding, embedding
from fromnoise.networks.layers.norm import GroupNorm
from fromnoise.networks.unet import Downsample


@pytest.mark.parametrize("patch", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [(12,), (13,), (8, 12), (27, 31), (4, 6, 2), (5, 3, 7)])
def test_unfold_is_the_inverse_of_fold(size, patch):
    x = torch.randn(2, 3, *size)
    folded = fold(x, patch)
    assert folded.shape == (2, 3 * patch ** len(size), *[math.ceil(s / patch) for s in size])
    assert torch.equal(unfold(folded, patch, size), x)


@pytest.mark.parametrize("size", [(6,), (4, 6), (4, 2, 6)])
def test_a_folded_pixel_holds_its_block(size):
    x = torch.arange(2 * math.prod(size)).float().reshape(1, 2, *size)
    corner = fold(x, 2)[(0, slice(None), *[-1] * len(size))]
    block = x[(0, slice(None), *[slice(-2, None)] * len(size))]
    assert torch.equal(corner, block.flatten())


def test_what_does_not_divide_is_padded_by_its_edge():
    assert fold(torch.tensor([[[1.0, 2.0, 3.0]]]), 2).tolist() == [[[1.0, 3.0], [2.0, 3.0]]]


@pytest.mark.parametrize("axes", [0, 4])
def test_convolutions_have_one_to_three_axes(axes):
    with pytest.raises(Usage, match="network=mlp"):
        conv(axes, 1, 1)


@pytest.mark.parametrize(("channels", "groups"), [(128, 32), (256, 32), (32, 8), (48, 12), (3, 1), (37, 1), (100, 25)])
def test_group_norm_is_the_mean_and_variance_of_each_group_then_the_conditions_scale_and_shift(channels, groups):
    norm = GroupNorm(channels).double()
    with torch.no_grad():
        norm.weight.normal_(), norm.bias.normal_()
    x = torch.randn(2, channels, 3, 4, dtype=torch.float64)
    scale, shift = torch.randn(2, 2, channels, dtype=torch.float64)
    parts = x.reshape(2, groups, -1)
    h = ((parts - parts.mean(2, keepdim=True)) / (parts.var(2, unbiased=False, keepdim=True) + 1e-5).sqrt()).reshape(x.shape)
    h = h * norm.weight[:, None, None] + norm.bias[:, None, None]
    assert torch.allclose(norm(x), h)
    assert torch.allclose(norm(x, scale, shift), h * (1 + scale)[:, :, None, None] + shift[:, :, None, None])


@pytest.mark.parametrize(("channels", "head", "heads"), [(8, 8, 1), (8, 2, 4), (12, 64, 1), (12, 5, 2), (200, 64, 2)])
def test_attention_is_softmax_of_q_k_over_the_root_of_the_width(channels, head, heads):
    layer = SelfAttention(channels, head).double()
    with torch.no_grad():
        layer.out.weight.normal_(), layer.out.bias.normal_(), layer.norm.weight.normal_()
    x = torch.randn(2, channels, 3, 2, dtype=torch.float64)
    h = layer.norm(x).reshape(2, channels, 6)
    expected = torch.empty(2, channels, 6).double()
    width = channels // heads
    for b in range(2):
        q, k, v = (layer.qkv.weight @ h[b] + layer.qkv.bias[:, None]).split(channels)
        for i in range(heads):
            part = slice(i * width, (i + 1) * width)
            scores = q[part].T @ k[part] / math.sqrt(width)
            weights = scores.exp() / scores.exp().sum(1, keepdim=True)
            expected[b, part] = (weights @ v[part].T).T
        expected[b] = layer.out.weight @ expected[b] + layer.out.bias[:, None]
    assert torch.allclose(layer(x), x + expected.reshape(x.shape), rtol=1e-9)


def test_fresh_attention_is_the_identity():
    x = torch.randn(2, 8, 4)
    assert torch.equal(SelfAttention(8, 4)(x), x)


@pytest.mark.parametrize("size", [(7,), (4, 6), (2, 3, 4)])
@pytest.mark.parametrize("make", [lambda on: SelfAttention(12, 4, positions=on), lambda on: CrossTransformer(12, 5, 4, positions=on)])
def test_attention_knows_where_it_is_if_and_only_if_it_has_positions(make, size):
    x, tokens = torch.randn(2, 12, *size, dtype=torch.float64), torch.randn(2, 3, 5, dtype=torch.float64)
    order = torch.randperm(math.prod(size))

    def shuffled(x):
        return x.flatten(2)[..., order].reshape(x.shape)

    for positions in (False, True):
        layer = make(positions).double()
        with torch.no_grad():
            for weight in layer.parameters():
                weight.normal_()
        assert torch.allclose(layer(shuffled(x), tokens), shuffled(layer(x, tokens))) is not positions


def test_sinusoidal_is_the_formula():
    """cos and sin of 1000 t / 10000^(i / half) (Vaswani et al. 2017)."""
    angles = [1000 * 0.3 / 10000 ** (i / 4) for i in range(4)]
    expected = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
    assert Sinusoidal(8)(torch.tensor([0.3]))[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_fourier_features_have_unit_variance_and_survive_saving():
    embed = Fourier(64)
    assert float(embed(torch.linspace(0, 1, 4000)).square().mean()) == pytest.approx(1, abs=0.1)
    other = Fourier(64)
    other.frequencies.zero_()
    other.load_state_dict(embed.state_dict())
    assert torch.equal(other(torch.rand(3).mul_(0) + 0.4), embed(torch.full((3,), 0.4)))


@pytest.mark.parametrize("width", [8, 9])
@pytest.mark.parametrize("kind", EMBEDDINGS)
def test_embeddings_of_any_width_tell_near_times_apart(kind, width):
    emb = TimeEmbedding(5, width, kind)(torch.tensor([0.5, 0.501, 0.5]))
    assert emb.shape == (3, 5)
    assert torch.allclose(emb[0], emb[2], atol=1e-6) and not torch.allclose(emb[0], emb[1], atol=1e-5)


class Ramp(nn.Module):
    """A time embedding of one's own: t in every channel."""

    def __init__(self, width, shift):
        super().__init__()
        self.width = width

    def forward(self, t):
        return t[:, None].expand(-1, self.width)


def test_an_embedding_of_ones_own_by_its_name_or_itself():
    for kind in (Ramp, f"{__name__}:Ramp"):
        assert embedding(kind, 4)(torch.tensor([0.25])).tolist() == [[0.25] * 4]
    with pytest.raises(Usage, match="no time embedding 'sine'"):
        embedding("sine", 4)


OWN = {
    "relu": (torch.relu, lambda h: h.clamp(min=0)),
    "gated by tanh": (Gated(torch.tanh), lambda h: h[:, :5] * torch.tanh(h[:, 5:])),
}


@pytest.mark.parametrize("name", OWN)
def test_an_activation_of_ones_own(name):
    act, by_hand = OWN[name]
    layer, x = FeedForward(3, 5, act), torch.randn(4, 3)
    assert torch.allclose(layer(x), layer.proj_out(by_hand(layer.proj_in(x))))


def test_t_keeps_its_precision_under_bfloat16():
    """Times that bfloat16 cannot tell apart have embeddings that differ."""
    near = torch.tensor([0.9001, 0.9003], dtype=torch.float32)
    assert near.bfloat16()[0] == near.bfloat16()[1]
    with torch.autocast("cpu", torch.bfloat16):
        first, second = Sinusoidal(16)(near)
    assert not torch.allclose(first, second, atol=0.05)


# The layout of memory


def last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("modulated", [False, True], ids=["plain", "modulated"])
@pytest.mark.parametrize(("channels", "groups"), [(8, 8), (12, 3), (32, None), (6, 1)])
def test_group_norm_is_the_formula_in_either_layout(channels, groups, modulated):
    """(x - mean) / sqrt(variance + eps) over each group (Wu & He 2018, eq. 1), then each sample's own scale and shift; and its gradients."""
    norm = GroupNorm(channels, groups).double()
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    x = 1 + 2 * torch.randn(3, channels, 4, 5, dtype=torch.float64)
    scale, shift = (torch.randn(3, channels, dtype=torch.float64, requires_grad=True) for _ in range(2))

    def by_hand(x: torch.Tensor) -> torch.Tensor:
        g = x.reshape(3, norm.num_groups, -1)
        g = (g - g.mean(2, keepdim=True)) / (g.var(2, correction=0, keepdim=True) + norm.eps).sqrt()
        h = g.reshape(x.shape) * norm.weight[:, None, None] + norm.bias[:, None, None]
        return h * (1 + scale)[:, :, None, None] + shift[:, :, None, None] if modulated else h

    given = (scale, shift) if modulated else ()
    wanted = [norm.weight, norm.bias, *given]
    weigh = torch.randn_like(x)
    answers = []
    for way in (by_hand, lambda x: norm(x, *given), lambda x: norm(last(x), *given)):
        leaf = x.clone().requires_grad_()
        answer = way(leaf)
        answers.append([answer, *torch.autograd.grad((answer * weigh).sum(), [leaf, *wanted])])
    for other in answers[1:]:
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-10) for a, b in zip(answers[0], other, strict=True))


@pytest.mark.parametrize(("dtype", "mean", "error"), [(torch.bfloat16, 10.0, 0.05), (torch.bfloat16, 100.0, 0.05), (torch.float32, 1000.0, 1e-5)])
def test_group_norm_is_right_far_from_zero(dtype, mean, error):
    """A mean of many standard deviations, in either layout, and the gradient; PyTorch's own kernel in bfloat16 is off by 0.02."""
    x = (mean + torch.randn(4, 64, 16, 16, generator=torch.Generator().manual_seed(0))).to(dtype)
    weigh = torch.randn(x.shape, generator=torch.Generator().manual_seed(1))
    norm, answers = GroupNorm(64, 8), []
    for way in (lambda x: nn.functional.group_norm(x.double(), 8), lambda x: norm(x), lambda x: norm(last(x))):
        leaf = x.clone().requires_grad_()
        answer = way(leaf)
        answers.append((answer.double(), torch.autograd.grad((answer.double() * weigh).sum(), leaf)[0].double()))
    for found in answers[1 if dtype == torch.bfloat16 else 2:]:
        assert all((a - b).abs().max() < error for a, b in zip(answers[0], found, strict=True))


def test_a_network_with_channels_last_is_the_same_network():
    torch.manual_seed(0)
    network = UNet(3, 96, (1, 2), 1, [1])
    with torch.no_grad():
        for p in network.parameters():
            p.add_(0.02 * torch.randn(p.shape))
    x, t, seen, gradients = torch.randn(2, 3, 9, 8), torch.rand(2), [], []
    for laid in (False, True):
        if laid:
            lay_weights_last(network, torch.device("cpu"))
            network.down[0][0].register_forward_hook(lambda module, given, answer: seen.append((laid_last(given[0]), laid_last(answer))))
        network.zero_grad()
        answer = network(x, t)
        answer.square().sum().backward()
        gradients.append([answer.detach(), *(p.grad.clone() for p in network.parameters())])
    assert seen == [(True, True)]
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-4 * float(a.abs().max())) for a, b in zip(*gradients, strict=True))


def test_narrow_networks_keep_their_layout_on_a_cpu():
    network = UNet(3, 16, (1, 2), 1)
    lay_weights_last(network, torch.device("cpu"))
    assert not any(laid_last(p) for p in network.parameters() if p.ndim == 4)


def test_maps_side_by_side_have_the_gradients_of_concatenation_in_their_own_layout():
    a, b, weigh = (torch.randn(2, c, 3, 4) for c in (5, 3, 8))
    one, two = ([x.clone().requires_grad_() for x in (a, b)] for _ in range(2))
    expected = torch.autograd.grad((torch.cat(one, 1) * weigh).sum(), one)
    kept = []
    laid = [last(x) for x in two]
    for x in laid:
        x.register_hook(lambda g: kept.append(laid_last(g)))
    found = torch.autograd.grad((beside(*laid) * last(weigh)).sum(), two)
    assert kept == [True, True] and all(torch.equal(x, y) for x, y in zip(expected, found, strict=True))


@pytest.mark.parametrize(("heads", "length", "others", "head"), [(4, 50, 50, 8), (2, 7, 5, 64), (8, 300, 300, 32)])
@pytest.mark.parametrize("masked", [False, True])
def test_attention_in_bfloat16_on_a_cpu_is_attention(heads, length, others, head, masked):
    """Against float64, within bfloat16's three digits, forward and back: its way back is our own."""
    q, k, v = (torch.randn(3, heads, n, head).bfloat16() for n in (length, others, others))
    weigh, answers = torch.randn(3, length, heads * head), []
    mask = torch.arange(others) < torch.tensor([1, others // 2 + 1, others])[:, None] if masked else None
    for dtype in (torch.float64, torch.bfloat16):
        leaves = [x.to(dtype).requires_grad_() for x in (q, k, v)]
        answer = attend(*leaves, mask)
        answers.append([answer, *torch.autograd.grad((answer * weigh.to(dtype)).sum(), leaves)])
    for exact, found in zip(*answers, strict=True):
        assert float((found.double() - exact).norm() / exact.norm()) < 0.01


class Strided(TorchFunctionMode):
    """Notes the sides of what convolutions with a stride are given."""

    def __init__(self):
        super().__init__()
        self.sides = []

    def __torch_function__(self, function, types, args=(), kwargs=None):
        if function in (F.conv1d, F.conv2d, F.conv3d) and max(args[3]) > 1:
            self.sides.append(tuple(args[0].shape[2:]))
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("shape", [(3, 4, 64), (3, 64, 4), (3, 2, 2), (3, 8), (3, 4, 8, 8)], ids=str)
@pytest.mark.parametrize("make", [UNet, partial(UNet, compat=Compat(pad_late=True)), ConvNeXtUNet], ids=["unet", "pad_late", "convnext"])
def test_no_strided_convolution_sees_a_side_of_one_pixel(make, shape):
    """In bfloat16 some CPUs give such a layer's weights uninitialised memory as gradient."""
    network = make(channels=3, width=8, levels=(1, 1, 1, 1), axes=len(shape) - 1)
    with Strided() as seen:
        assert network(torch.randn(2, *shape), torch.rand(2)).shape == (2, *shape)
    assert len(seen.sides) == 3 and min(map(min, seen.sides)) > 1


def test_a_side_of_one_pixel_is_halved_to_one_as_by_the_convolution_alone():
    down, x = Downsample(4, 2, False), torch.randn(2, 4, 5, 1)
    assert torch.allclose(down(x, None, None), down.conv(x), atol=1e-6)
