"""Control branches: what they add, to whom, and who learns."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS, Branch, Context, ControlHint, lay_weights_last, recompute
from tests.parts import shaped, stirred

SMALL = {
    "unet": {"width": 8, "levels": (1, 2), "blocks": 1, "attention": [1]},
    "dit": {"width": 24, "depth": 3, "heads": 2},
    "uvit": {"width": 24, "depth": 5, "heads": 2},
}
CASES = [(name, {}) for name in SMALL]
CASES += [("unet", {"patch": 2, "resample": "residual"}), ("dit", {"context_dim": 6}), ("uvit", {"context_dim": 6})]
CASES += [("dit", {"context_dim": 6, "place": "token", "positions": "rope"}), ("uvit", {"depth": 1}), ("dit", {"depth": 1, "patch": 3})]


def small(name: str, size: tuple[int, ...] = (9, 8), **settings) -> nn.Module:
    torch.manual_seed(0)
    return stirred(NETWORKS[name](**{"channels": 3, "axes": len(size), **SMALL[name], **settings})).requires_grad_(False)


def inputs_of(network: nn.Module, size: tuple[int, ...] = (9, 8), n: int = 2) -> tuple[torch.Tensor, torch.Tensor, Context]:
    draw = torch.Generator().manual_seed(1)
    tokens = {"tokens": torch.randn(n, 4, network.context_dim, generator=draw)} if network.context_dim else {}
    context = Context(vector=torch.randn(n, network.dim, generator=draw), **tokens)
    return torch.randn(n, 3, *size, generator=draw), torch.rand(n, generator=draw), context


def hint_for(branch: Branch, size: tuple[int, ...] = (9, 8), n: int = 2, seed: int = 2, **how) -> ControlHint:
    picture = torch.randn(n, branch.channels, *size, generator=torch.Generator().manual_seed(seed))
    return ControlHint(branch, picture, torch.ones(n), **how)


def controlled(network: nn.Module, context: Context, x: torch.Tensor, t: torch.Tensor, noise: float = 1.0) -> torch.Tensor:
    return network(x, t, context.resolve_controls(x, t, torch.tensor(noise)))


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_has_all_of_the_control_part_or_says_that_it_has_none(name):
    network = NETWORKS[name](**NETWORKS[name].fitting(shaped(name, (2, 6, 7))), **SMALL.get(name, {}))
    if "control" in network.ways:
        features, _ = network.encode(torch.randn(1, 2, 6, 7), torch.rand(1), Context())
        assert len(features) == len(network.zero_convs()) and network.width > 0 and network.patch > 0
        return
    with pytest.raises(Usage, match=f"{type(network).__name__} has no features that a control branch"):
        Branch(network, 1, 2)


@pytest.mark.parametrize("dtype", [None, torch.bfloat16], ids=str)
@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_a_fresh_branch_changes_not_one_bit(name, settings, dtype):
    network = small(name, **settings)
    x, t, context = inputs_of(network)
    branch, moved = Branch(network, 2, 2), stirred(Branch(network, 2, 2))
    with torch.no_grad(), torch.autocast("cpu", dtype or torch.bfloat16, enabled=dtype is not None):
        plain = network(x, t, context)
        assert torch.equal(controlled(network, replace(context, hints={"a": hint_for(branch)}), x, t), plain) and plain.std() > 0
        assert not torch.equal(controlled(network, replace(context, hints={"a": hint_for(moved)}), x, t), plain)


def test_a_fresh_branch_changes_nothing_where_channels_lie_last():
    network = small("unet", width=96, levels=(1, 1), attention=[])
    branch = Branch(network, 1, 2)
    for part in (network, branch):
        lay_weights_last(part, torch.device("cpu"))
    x, t, context = inputs_of(network)
    with torch.no_grad():
        assert torch.equal(controlled(network, replace(context, hints={"a": hint_for(branch)}), x, t), network(x, t, context))


@pytest.mark.parametrize("size", [(28, 28), (1, 5), (17,), (5, 6, 7)], ids=str)
@pytest.mark.parametrize("name", SMALL)
def test_any_size_on_one_to_three_axes(name, size):
    network = small(name, size)
    branch = stirred(Branch(network, 2, len(size)))
    x, t, context = inputs_of(network, size)
    with torch.no_grad():
        answer = controlled(network, replace(context, hints={"a": hint_for(branch, size)}), x, t)
    assert answer.shape == x.shape and torch.isfinite(answer).all()
    assert not torch.allclose(answer, network(x, t, context), atol=1e-4)


def hooked(name: str, network: nn.Module, residuals: tuple[torch.Tensor, ...]) -> None:
    """Adds residuals from outside, where the papers do: to the UNet's and U-ViT's skips and middle, after each of DiT's first blocks."""

    def to_answer(layer: nn.Module, residual: torch.Tensor) -> None:
        layer.register_forward_hook(lambda _, args, answer: answer + residual)

    def to_skip(layer: nn.Module, residual: torch.Tensor) -> None:
        layer.register_forward_pre_hook(lambda _, args: (args[0], args[1] + residual, *args[2:]))

    if name == "dit":
        for block, residual in zip(network.blocks, residuals, strict=False):
            to_answer(block, residual)
        return
    *skips, middle = residuals
    to_answer(network.middle[-1] if name == "unet" else network.blocks[len(network.blocks) // 2], middle)
    takers = [stage for stages in network.up for stage in stages] if name == "unet" else network.blocks[len(network.blocks) // 2 + 1 :]
    for taker, residual in zip(takers, reversed(skips), strict=True):
        to_skip(taker, residual)


@pytest.mark.parametrize(("name", "settings"), CASES[:6], ids=str)
def test_residuals_go_where_the_papers_put_them(name, settings):
    network = small(name, **settings)
    x, t, context = inputs_of(network)
    with torch.no_grad():
        residuals = tuple(torch.randn_like(r) for r in Branch(network, 1, 2)(x, t, context, torch.zeros(2, 1, 9, 8)))
        inside = network(x, t, replace(context, residuals=residuals))
        hooked(name, network, residuals)
        assert torch.allclose(network(x, t, context), inside, atol=1e-5)
        assert not torch.allclose(small(name, **settings)(x, t, context), inside, atol=1e-2)


def test_pixart_delta_has_about_half_of_the_blocks_and_a_layer_for_each():
    with torch.device("meta"):
        branch = Branch(NETWORKS["dit"](width=8, heads=1, depth=28), 1, 2)
    assert len(branch.encoder.blocks) == len(branch.zero_convs) == 14


def test_stable_diffusions_control_has_twelve_skips_and_the_middle():
    with torch.device("meta"):
        network = NETWORKS["unet"](channels=4, width=32, levels=(1, 2, 4, 4), blocks=2)
        assert len(Branch(network, 3, 2).zero_convs) == 13


@pytest.mark.parametrize(("name", "settings"), CASES, ids=str)
def test_only_the_branch_learns_and_after_the_first_steps_all_of_it(name, settings):
    network = small(name, **settings)
    branch = Branch(network, 2, 2)
    x, t, context = inputs_of(network)
    context = replace(context, hints={"a": hint_for(branch)})
    optimizer = torch.optim.SGD(branch.parameters(), 0.1)
    for step in range(3):
        optimizer.zero_grad()
        (controlled(network, context, x, t) - 1).square().mean().backward()
        moved = {name.split(".")[0] for name, p in branch.named_parameters() if p.grad.abs().max() > 0}
        assert moved == {"zero_convs"} if step == 0 else moved == {"zero_convs", "encoder", "stem"}
        optimizer.step()
    still = [name for name, p in branch.named_parameters() if not p.grad.abs().max() > 0]
    assert not [name for name in still if "token_types" not in name]
    assert all(p.grad is None for p in network.parameters())


@pytest.mark.parametrize("name", SMALL)
def test_weights_scale_residuals_and_sum_over_branches(name):
    network = small(name)
    one, two = (stirred(Branch(network, 2, 2), seed) for seed in (3, 4))
    x, t, context = inputs_of(network)
    hints = {"one": hint_for(one), "two": hint_for(two, seed=5)}

    def residuals(**control) -> tuple[torch.Tensor, ...]:
        return replace(context, hints=hints).weight_controls(control).resolve_controls(x, t, torch.tensor(1.0)).residuals

    with torch.no_grad():
        for a, b, both in zip(residuals(two=[0.0]), residuals(one=[0.0]), residuals(one=[0.5], two=[-2.0]), strict=True):
            assert torch.allclose(both, 0.5 * a - 2 * b, atol=1e-5) and a.std() > 0 and b.std() > 0
        assert residuals(one=[0.0], two=[0.0]) == ()
        assert torch.equal(
            controlled(network, replace(context, hints=hints).weight_controls({"one": [0.0], "two": [0.0]}), x, t), network(x, t, context)
        )


@pytest.mark.parametrize("name", SMALL)
def test_a_sample_of_weight_0_is_the_bases_to_the_bit_beside_others(name):
    network = small(name)
    hint = replace(hint_for(stirred(Branch(network, 2, 2)), n=3), weight=torch.tensor([1.0, 0.0, 1.0]))
    x, t, context = inputs_of(network, n=3)
    with torch.no_grad():
        answer, plain = controlled(network, replace(context, hints={"a": hint}), x, t), network(x, t, context)
    assert torch.equal(answer[1], plain[1]) and not torch.allclose(answer[0], plain[0], atol=1e-3)


@pytest.mark.parametrize(("noise", "heard"), [(0.4, False), (0.5, False), (0.6, True), (2.0, True), (2.1, False)])
def test_a_branch_runs_within_its_interval_alone(noise, heard):
    network = small("unet")
    branch, calls = stirred(Branch(network, 2, 2)), []
    branch.register_forward_hook(lambda *_: calls.append(1))
    x, t, context = inputs_of(network)
    context = replace(context, hints={"a": hint_for(branch)}).weight_controls({"a": [1.0, 0.5, 2.0]})
    with torch.no_grad():
        same = torch.equal(controlled(network, context, x, t, noise), network(x, t, context.resolve_controls(x, t, torch.tensor(9.0))))
    assert len(calls) == heard and same != heard


@pytest.mark.parametrize("name", SMALL)
def test_recomputing_changes_no_gradient(name):
    network, gradients = small(name), []
    branch = stirred(Branch(network, 2, 2)).train()
    x, t, context = inputs_of(network)
    context = replace(context, hints={"a": hint_for(branch)})
    for on in (False, True):
        assert recompute(network, on) and recompute(branch, on)
        branch.zero_grad()
        controlled(network, context, x, t).square().sum().backward()
        gradients.append([p.grad.clone() for p in branch.parameters()])
    for one, two in zip(*gradients, strict=True):
        assert torch.allclose(one, two, rtol=1e-4, atol=1e-4)


def test_two_batches_of_hints_follow_one_another():
    branch = stirred(Branch(small("unet"), 2, 2))
    x, t, context = inputs_of(small("unet"))
    a, b = (replace(context, hints={"a": hint_for(branch, seed=seed)}) for seed in (2, 7))
    both = a.cat(b)
    with torch.no_grad():
        whole = both.resolve_controls(torch.cat([x, x]), torch.cat([t, t]), torch.tensor(1.0)).residuals
        parts = [part.resolve_controls(x, t, torch.tensor(1.0)).residuals for part in (a, b)]
    assert all(torch.allclose(w, torch.cat([p, q]), atol=1e-5) for w, p, q in zip(whole, *parts, strict=True))


def test_hints_that_nobody_turned_into_residuals_are_not_overlooked():
    network = small("unet")
    x, t, context = inputs_of(network)
    with pytest.raises(Usage, match="not as hints"):
        network(x, t, replace(context, hints={"a": hint_for(Branch(network, 1, 2))}))
