import pytest
import torch
from torch import nn

from fromnoise.config import build
from fromnoise.errors import Usage
from fromnoise.model import expanded
from fromnoise.networks import NETWORKS, Context, UNet
from tests.parts import stirred


def small(**settings) -> UNet:
    return UNet(**{"channels": 3, "width": 8, "levels": (1, 2, 2), "blocks": 1, "attention": [2], **settings})


def test_ddpms_cifar_network_has_its_35_7_million_parameters():
    with torch.device("meta"):
        network = UNet(3, 128, (1, 2, 2, 2), 2, [1], scale_shift=False)
    assert sum(p.numel() for p in network.parameters()) == 35_746_307


@pytest.mark.parametrize("patch", [1, 2, 3])
@pytest.mark.parametrize("size", [(28, 28), (27, 31), (1, 5), (33,), (7, 6, 9)])
def test_any_size_on_one_to_three_axes(size, patch):
    network = stirred(small(axes=len(size), patch=patch))
    x = torch.randn(2, 3, *size)
    with torch.no_grad():
        answer = network(x, torch.rand(2))
    assert answer.shape == x.shape and torch.isfinite(answer).all() and answer.std() > 0


@pytest.mark.parametrize(
    "settings",
    [{"width": 7}, {"width": 33, "levels": (1, 1)}, {"width": 40, "levels": (1, 5)}, {"width": 20, "head": 3}, {"blocks": 3}],
    ids=str,
)
def test_any_width(settings):
    network = small(**{"levels": (1, 2), "attention": [0, 1], **settings})
    assert network(torch.randn(1, 3, 6, 6), torch.rand(1)).shape == (1, 3, 6, 6)


def test_a_fresh_network_answers_zero():
    assert torch.equal(small()(torch.randn(2, 3, 9, 9), torch.rand(2)), torch.zeros(2, 3, 9, 9))


def test_every_parameter_learns_once_the_zeros_have_moved():
    network = small(scale_shift=True)
    optimizer = torch.optim.SGD(network.parameters(), 0.5)
    for _ in range(3):  # zero layers open one after the other
        optimizer.zero_grad()
        (network(torch.randn(4, 3, 8, 8), torch.rand(4), Context(vector=torch.randn(4, network.dim))) - 1).square().mean().backward()
        optimizer.step()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert not still


def test_t_and_each_condition_matter():
    network = stirred(small(concat=2))
    x, t = torch.randn(2, 3, 8, 8), torch.tensor([0.2, 0.7])
    beside = Context(concat=torch.zeros(2, 2, 8, 8))
    with torch.no_grad():
        plain = network(x, t, beside)
        assert not torch.allclose(network(x, t + 0.1, beside), plain, atol=1e-4)
        assert not torch.allclose(network(x, t, beside.merged(Context(vector=torch.ones(2, network.dim)))), plain, atol=1e-4)
        assert not torch.allclose(network(x, t, Context(concat=torch.ones(2, 2, 8, 8))), plain, atol=1e-4)


def test_samples_of_a_batch_do_not_see_each_other():
    network = stirred(small())
    x, t, order = torch.randn(3, 3, 9, 8), torch.rand(3), torch.tensor([2, 0, 1])
    with torch.no_grad():
        assert torch.allclose(network(x, t)[order], network(x[order], t[order]), atol=1e-5)
        assert torch.allclose(network(x, t)[1:2], network(x[1:2], t[1:2]), atol=1e-5)


def test_dropout_acts_in_training_alone():
    network = stirred(small(dropout=0.5))
    x, t = torch.randn(1, 3, 8, 8), torch.rand(1)
    assert torch.equal(network(x, t), network(x, t))
    network.train()
    assert not torch.equal(network(x, t), network(x, t))


def test_a_published_networks_quirks_are_a_mapping_in_a_recipe():
    node = {"name": "unet", "width": 16, "levels": [1], "compat": {"groups": 4, "eps": 1e-3, "pad_late": True, "shift": 1}}
    network = build(NETWORKS, node, "network")
    norms = {(module.num_groups, module.eps) for module in network.modules() if isinstance(module, nn.GroupNorm)}
    assert norms == {(4, 1e-3)} and network.time_embedding.embed.shift == 1
    with pytest.raises(Usage, match="network unet: compat has no setting 'group'; did you mean 'groups'"):
        build(NETWORKS, node | {"compat": {"group": 4}}, "network")
    with pytest.raises(Usage, match="compat is a mapping of settings, not 'ddpm'"):
        build(NETWORKS, node | {"compat": "ddpm"}, "network")
    with pytest.raises(Usage, match="compat: pad_late is true or false, not 3"):
        build(NETWORKS, node | {"compat": {"pad_late": 3}}, "network")


def test_a_presets_quirks_are_changed_one_by_one():
    assert expanded({"name": "ddpm", "compat": {"shift": 0}})["compat"] == {"groups": 32, "eps": 1e-6, "pad_late": True, "shift": 0}
    assert expanded({"name": "ddpm"})["compat"]["shift"] == 1 and "compat" not in expanded({"name": "unet_32"})


@pytest.mark.parametrize(
    "wrong",
    [{"attention": [3]}, {"attention": [-1]}, {"width": 1}, {"levels": (1, 0)}, {"levels": ()}, {"blocks": 0}, {"patch": 0}],
    ids=str,
)
def test_what_cannot_be_a_unet(wrong):
    with pytest.raises(Usage):
        small(**wrong)
