"""Low-rank adapters: nothing at first, the papers' formulas after, and no trace once merged."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from fromnoise import config
from fromnoise.errors import Usage
from fromnoise.networks import ADAPTERS, NETWORKS, Compat, DoRA, LoRA, UNet, changes, lay_weights_last, merge, recompute
from fromnoise.networks.adapters import Changing
from tests.parts import built, shaped, stirred

SMALL = {
    "unet": {"width": 8, "levels": [1, 2], "blocks": 1, "attention": [1]},
    "convnext_unet": {"width": 8, "levels": [1, 2]},
    "dit": {"width": 16, "depth": 2, "heads": 2},
    "uvit": {"width": 16, "depth": 3, "heads": 2},
    "conv_adaln": {"width": 8, "blocks": 2},
    "mlp": {"width": 16, "depth": 2},
    "two_linear": {"width": 32, "vector": 8},
    "conv": {"width": 8},
    "set_transformer": {"width": 16, "depth": 2, "heads": 2, "induced": 4},
}
X, T = torch.randn(3, 2, 6, 7, generator=torch.Generator().manual_seed(1)), torch.tensor([0.1, 0.5, 0.9])
CHANGING = [kind for kind, adapter in ADAPTERS.items() if issubclass(adapter, Changing)]


def x_for(name: str) -> torch.Tensor:
    return X.reshape(len(X), *shaped(name, tuple(X.shape[1:])))


def network(name: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[name](**NETWORKS[name].fitting(x_for(name).shape[1:]), **SMALL[name])


@pytest.mark.parametrize("kind", CHANGING)
@pytest.mark.parametrize("name", NETWORKS)
class TestEveryNetwork:
    @pytest.mark.parametrize("fresh", [True, False], ids=["fresh", "trained"])
    def test_a_fresh_adapter_changes_no_bit(self, name, kind, fresh):
        plain = network(name) if fresh else stirred(network(name))  # a fresh one has layers that are zero
        with_adapter = ADAPTERS[kind](pattern="", rank=2).attach(copy.deepcopy(plain))
        assert torch.equal(with_adapter(x_for(name), T), plain(x_for(name), T))

    def test_it_alone_is_trained_and_merged_it_answers_alike(self, name, kind):
        plain = stirred(network(name))
        model = ADAPTERS[kind](pattern="", rank=2).attach(copy.deepcopy(plain))
        stirred_changes(model)
        answer = model(x_for(name), T)
        answer.square().sum().backward()
        names = {name for name, p in model.named_parameters() if p.grad is not None}
        assert names == {name for name, _ in model.named_parameters() if ".change." in name} and names
        assert not torch.allclose(answer, plain(x_for(name), T), atol=1e-3)
        assert merge(model).state_dict().keys() == plain.state_dict().keys() and type(model) is type(plain)
        assert {type(m) for m in model.modules()} == {type(m) for m in plain.modules()}
        assert torch.equal(model(x_for(name), T), answer)


def stirred_changes(model: nn.Module, much: float = 0.3) -> nn.Module:
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".change." in name:
                p.add_(much * torch.randn(p.shape, generator=generator))
    return model


LAYERS = {
    "linear": (nn.Linear(6, 9), (4, 6)),
    "linear without bias, on tokens": (nn.Linear(6, 9, bias=False), (4, 5, 6)),
    "signals": (nn.Conv1d(4, 6, 3, padding=1), (2, 4, 9)),
    "pictures, strided": (nn.Conv2d(4, 6, (3, 2), stride=2, padding=(1, 0)), (2, 4, 7, 8)),
    "volumes, dilated": (nn.Conv3d(2, 4, 3, padding=2, dilation=2), (2, 2, 5, 4, 3)),
    "groups": (nn.Conv2d(4, 6, 3, padding=1, groups=2), (2, 4, 7, 5)),
    "depthwise signals": (nn.Conv1d(4, 4, 5, padding=2, groups=4), (2, 4, 9)),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_answer_is_the_papers_sum(name):
    """h = W0 x + (alpha / r) B A x (Hu et al. 2022, eq. 3): A a layer to r channels, B one from them, each group by itself."""
    layer, shape = copy.deepcopy(LAYERS[name][0]), LAYERS[name][1]
    x, r, alpha, groups = torch.randn(shape), 3, 5.0, getattr(layer, "groups", 1)
    h = layer(x)
    model = stirred_changes(LoRA(pattern="", rank=r, alpha=alpha).attach(nn.Sequential(layer)))
    A, B = model[0].change.A, model[0].change.B
    if isinstance(layer, nn.Linear):
        expected = h + alpha / r * (x @ A.T) @ B.T
    else:
        conv = (F.conv1d, F.conv2d, F.conv3d)[x.ndim - 3]
        settings = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
        parts = [conv(part, A.view(-1, part.shape[1], *layer.kernel_size), **settings) for part in x.chunk(groups, 1)]
        ones = [1] * (x.ndim - 2)
        down = [conv(part, rows.reshape(*rows.shape, *ones)) for part, rows in zip(parts, B.chunk(groups), strict=True)]
        expected = h + alpha / r * torch.cat(down, 1)
    unmerged = model(x)
    assert torch.allclose(unmerged, expected, atol=1e-5)
    assert torch.allclose(merge(model)(x), unmerged, atol=1e-5) and type(model[0]) is type(LAYERS[name][0])


@pytest.mark.parametrize("name", LAYERS)
def test_doras_weight_typed_out(name):
    """W' = m (W0 + B A) / ‖W0 + B A‖_c, m a trained magnitude for each channel out, ‖W0‖_c at first (Liu et al. 2024, eq. 5)."""
    layer, _ = copy.deepcopy(LAYERS[name])
    W0 = layer.weight.detach().clone()
    model = stirred_changes(DoRA(pattern="", rank=2, alpha=6.0).attach(nn.Sequential(layer)))
    change = model[0].change
    for i in range(len(W0)):
        v = W0[i].flatten() + 6.0 / 2 * change.B[i] @ change.A
        m = W0[i].square().sum().sqrt() + change.longer[i]
        assert torch.allclose(model[0].weight[i].flatten(), m * v / v.square().sum().sqrt(), atol=1e-5)


def test_doras_norm_is_a_constant_going_back():
    """With V' = V + dV, the gradient at V' is (m / ‖V'‖) dL/dW', without the term along V' (Liu et al. 2024, eq. 11)."""
    model = stirred_changes(DoRA(pattern="", rank=2, alpha=2.0).attach(nn.Sequential(nn.Linear(5, 4))))
    layer, g = model[0], torch.randn(4, 5)
    change, W0 = layer.change, layer._parameters["weight"]
    (layer.weight * g).sum().backward()
    v = W0 + change.B @ change.A
    scale = (W0.norm(dim=1) + change.longer) / v.norm(dim=1)
    assert torch.allclose(change.B.grad, (scale[:, None] * g) @ change.A.T, atol=1e-5)
    assert torch.allclose(change.longer.grad, (g * v).sum(1) / v.norm(dim=1), atol=1e-5)


def test_a_rank_above_the_weights_own_is_the_weights_own():
    model = LoRA(pattern="", rank=64, alpha=32.0).attach(nn.Sequential(nn.Conv2d(3, 5, 1)))
    assert model[0].change.A.shape == (3, 3) and model[0].change.B.shape == (5, 3) and model[0].change.scale == 0.5


# What a training run does to a network


def small_unet(**settings) -> UNet:
    torch.manual_seed(0)
    return stirred(UNet(2, 16, (1, 2), 1, [1], **settings))


def gradients(model: nn.Module) -> list[torch.Tensor]:
    model.zero_grad()
    model.train()(X, T).square().sum().backward()
    return [p.grad.clone() for p in model.parameters() if p.requires_grad]


@pytest.mark.parametrize("kind", CHANGING)
def test_recomputed_blocks_have_the_same_gradients(kind):
    model = stirred_changes(ADAPTERS[kind](pattern="", rank=2).attach(small_unet(compat=Compat(pad_late=True))))
    expected = gradients(model)
    assert recompute(model)
    assert all(torch.equal(a, b) for a, b in zip(gradients(model), expected, strict=True))


@pytest.mark.parametrize("kind", CHANGING)
def test_in_bfloat16_a_change_is_not_rounded_before_it_is_added(kind):
    model = stirred_changes(ADAPTERS[kind](pattern="", rank=2).attach(small_unet()), 1e-2)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        answer = model(X, T)
        assert answer.dtype == torch.bfloat16 and torch.equal(merge(model)(X, T), answer)


@pytest.mark.parametrize("kind", CHANGING)
def test_a_whole_graph_is_compiled(kind):
    model = stirred_changes(ADAPTERS[kind](pattern="", rank=2).attach(small_unet()))
    expected = model(X, T)
    torch._dynamo.reset()
    found = torch.compile(model, backend="eager", fullgraph=True, dynamic=False)(X, T)
    assert torch.allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("kind", CHANGING)
def test_weights_with_channels_last_stay_so(kind):
    model = ADAPTERS[kind](pattern="", rank=2).attach(UNet(3, 96, (1,), 1))
    lay_weights_last(model, torch.device("cpu"))
    own = model.middle[0].block.conv1._parameters["weight"]
    assert own.is_contiguous(memory_format=torch.channels_last) and not own.is_contiguous()
    for _ in range(2):
        assert model.middle[0].block.conv1.weight.is_contiguous(memory_format=torch.channels_last)
        stirred_changes(model)
    merge(model)
    assert model.middle[0].block.conv1.weight.is_contiguous(memory_format=torch.channels_last)


# Which layers


def test_linear_layers_of_the_network_unless_said():
    net = nn.ModuleDict({"network": small_unet(), "conditions": nn.ModuleDict({"label": nn.Linear(3, 4)}), "frozen": nn.Linear(2, 2)})
    net["frozen"].requires_grad_(False)
    parts = dict(net["network"].named_modules(prefix="network"))
    skips = {name for name in parts if name.endswith("block.skip") and isinstance(parts[name], nn.Conv2d)}
    model = LoRA(rank=2).attach(net)
    assert skips and {name.removesuffix(".weight") for name in changes(model)} == skips | {
        n for n, m in parts.items() if isinstance(m, nn.Linear)
    }
    assert all(".change." in name for name, p in model.named_parameters() if p.requires_grad)


def test_the_default_is_less_than_3_percent_of_mnists_parameters():
    model = built(config.load("mnist"), (1, 28, 28), tuple("0123456789"))
    count = sum(p.numel() for p in model.parameters())
    LoRA(rank=8).attach(model)
    assert 0.02 < sum(p.numel() for p in model.parameters() if p.requires_grad) / count < 0.03


def test_layers_and_parameters_by_name():
    model = LoRA(rank=2, pattern=r"middle.*conv1$", also=["norm1", r"^conv_out\.2\.bias$"]).attach(small_unet())
    assert list(changes(model)) == ["middle.0.block.conv1.weight", "middle.1.block.conv1.weight"]
    whole = {name for name, p in model.named_parameters() if p.requires_grad and ".change." not in name}
    assert "conv_out.2.bias" in whole and all("norm1" in name for name in whole - {"conv_out.2.bias"})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"rank": 0}, "rank is 1 or more, not 0"),
        ({"alpha": -1.0}, "alpha is above 0"),
        ({"alpha": float("nan")}, "alpha is above 0"),
        ({"pattern": "nowhere"}, "'nowhere' is found in no name; there are time_embedding.mlp.0"),
        ({"also": ["nowhere"]}, "'nowhere' is found in no name"),
        ({"pattern": "("}, "is no regular expression"),
    ],
)
def test_adapters_that_cannot_be(settings, says):
    with pytest.raises(Usage, match=says):
        LoRA(**settings).attach(small_unet())
