"""Self-conditioning: the network sees its last estimate beside x, every sampler hands it over, and without it nothing changes."""

from dataclasses import replace

import pytest
import torch
from torch import nn

import fromnoise
from fromnoise import config
from fromnoise.convert.folder import counterpart
from fromnoise.diffusion import Bound, Denoiser, Flow, Last, guided
from fromnoise.diffusion.loss import loss
from fromnoise.draws import Draws
from fromnoise.errors import Problem, Usage
from fromnoise.model.build import self_conditioned
from fromnoise.networks import NETWORKS, NOTHING, Context
from fromnoise.networks.network import Network
from fromnoise.runs import Run
from fromnoise.samplers import SAMPLERS, stepper, walk
from fromnoise.training import train
from tests.parts import built, stirred
from tests.test_matrix import SMALL
from tests.training.test_length import cut_at
from tests.training.test_train import same

SHAPE = (2, 5, 6)
RECIPE = {"network": {"name": "conv", "width": 8, "kernel": 3}, "predict": "x0", "noise": "flow", "sample": {"name": "ddim", "steps": 3}}


class Seen(nn.Module):
    """A network that predicts x0 = what it sees beside x + 1, and keeps what it has seen."""

    def __init__(self):
        super().__init__()
        self.seen, self.nothing = [], nn.Parameter(torch.zeros(()))

    def forward(self, x, t, context):
        self.seen.append(context.concat.clone())
        return context.concat + 1


def drawn(sampler, denoise, levels, x):
    return [step for step in stepper(sampler, torch.zeros_like)(denoise, x, levels)]


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_hands_over_the_last_estimate(sampler):
    """The k-th evaluation sees k - 1, so its estimate is k: what is drawn in n evaluations is n, but for what a second evaluation of a step averages."""
    network, last, x = Seen(), Last(), torch.randn(3, 2)
    denoise = last.of(Bound(Denoiser(network, "x0", self_condition=True), NOTHING, last))
    steps = drawn(sampler, denoise, Flow(high=0.9).levels(12), x)
    assert [float(seen.unique()) for seen in network.seen] == list(range(len(network.seen)))
    assert torch.equal(last.x0, torch.full_like(x, len(network.seen)))
    if sampler in ("ddim", "ddpm", "iadb", "dpmpp_2m"):
        assert torch.allclose(steps[-1][0], torch.full_like(x, 12.0)) and len(network.seen) == 12


@pytest.mark.parametrize("sampler", ["ddim", "heun"])
def test_both_sides_of_guidance_see_the_guided_estimate(sampler):
    """strong = seen + 2, weak = seen + 1, together seen + 1 + 3 · 1: each evaluation adds 4, in one pass or in two, and 2 where guidance rests."""

    class Sided(Seen):
        def forward(self, x, t, context):
            return super().forward(x, t, context) + context.vector

    def side(denoiser, value):
        return Bound(denoiser, Context(vector=torch.full((3, 1), value)), last)

    for other in (False, True):
        network, last = Sided(), Last()
        strong = Denoiser(network, "x0", self_condition=True)
        weak = Denoiser(network, "x0", self_condition=True) if other else strong
        denoise = last.of(guided(side(strong, 1.0), side(weak, 0.0), 3.0, low=0.5))
        drawn(sampler, denoise, Flow(high=0.9).levels(4), torch.randn(3, 2))
        parts = [seen.chunk(1 if other or len(seen) == 3 else 2) for seen in network.seen]
        values = [float(part.unique()) for seen in parts for part in seen]
        guided_calls = sum(float(level.sigma / level.alpha) > 0.5 for level in Flow(high=0.9).levels(4)[:-1])
        if sampler == "ddim":
            assert values == [4.0 * (i // 2) for i in range(2 * guided_calls)] + [4.0 * guided_calls + 2 * i for i in range(4 - guided_calls)]
        assert values == sorted(values) and values[:4] == [0, 0, 4, 4]


def test_what_is_clipped_is_what_is_seen():
    network, model = Seen(), built(RECIPE | {"self_condition": True}, SHAPE)
    model.denoiser.network = network
    model.sample(2, replace(model.sampling, steps=4, clip={"name": "static", "bound": 1.5}))
    assert [float(seen.unique()) for seen in network.seen] == [0, 1, 1.5, 1.5]
    network.seen.clear()
    model.sample(5, replace(model.sampling, steps=2, batch=2))
    assert [float(seen.unique()) for seen in network.seen] == [0, 1] * 3, "every batch is a walk of its own"


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_without_it_nothing_changes(sampler):
    model = built(RECIPE | {"predict": "v"}, SHAPE)
    stirred(model.denoiser.network)
    assert model.denoiser.network.concat == 0 and not model.denoiser.self_condition
    x, levels = torch.randn(3, *SHAPE), Flow().levels(6)
    last = Last()
    plain, noted = Bound(model.denoiser, NOTHING), last.of(Bound(model.denoiser, NOTHING, last))
    assert torch.equal(walk(sampler, plain, x, levels, randn=torch.zeros_like), walk(sampler, noted, x, levels, randn=torch.zeros_like))
    batch, level, eps = {"x": x}, model.noise(torch.tensor([0.2, 0.5, 0.9])), torch.randn_like(x)
    assert torch.equal(model(batch, level, eps), loss(model.denoiser, x, level, NOTHING, eps))


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_takes_it_beside_other_conditions(network):
    """It comes first of what lies beside x, whatever the shape of examples; what it is matters."""
    shape = (2, 30) if network == "set_transformer" else SHAPE
    recipe = RECIPE | {"network": {"name": network, **SMALL.get(network, {})}, "conditions": [{"name": "label", "enter": "concat"}]}
    model = built(recipe | {"self_condition": True}, shape, ("a", "b"))
    assert model.denoiser.network.concat == shape[0] + 4
    stirred(model.denoiser.network)
    x, level, context = torch.randn(2, *shape), model.noise(torch.tensor([0.4, 0.6])), model.context(2, {"label": [0, 1]})
    zeros, none, own = (model.denoiser.seeing(context, x, x0) for x0 in (torch.zeros_like(x), None, x))
    one, two, three = (model.denoiser(x, level, seen)[0] for seen in (zeros, none, own))
    assert torch.equal(one, two) and not torch.allclose(one, three)
    assert torch.equal(own.concat[:, : shape[0]], x) and torch.equal(own.concat[:, shape[0] :], context.concat)
    assert model.sample(2, label=[0, 1]).isfinite().all()
    assert torch.isfinite(model({"x": x, "label": torch.tensor([0, 1])}, level)).all()


def test_a_network_with_no_place_beside_x_says_so():
    class Alone(Network):
        """A network that sees x alone."""

        def forward(self, x, t, context=None):
            return x

    with pytest.raises(Usage, match="self_condition: Alone takes nothing beside x"):
        self_conditioned(Alone, None)


def test_half_of_the_batches_see_a_first_estimate_and_learn_nothing_of_it():
    model = built(RECIPE | {"self_condition": True}, SHAPE)
    stirred(model.denoiser.network).train()
    model.train()
    x, eps, level = torch.randn(4, *SHAPE), torch.randn(4, *SHAPE), model.noise(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    none = model.denoiser.seeing(NOTHING, x)
    with torch.no_grad():
        first, _ = model.denoiser(level.mix(x, eps), level, none)
    seen = model.denoiser.seeing(NOTHING, x, first)

    def gradients(value):
        return torch.autograd.grad(value.mean(), list(model.parameters()))

    without, estimated = (gradients(loss(model.denoiser, x, level, context, eps)) for context in (none, seen))
    kinds = []
    for step in range(200):
        draws = Draws((0, step), range(4), 4)
        found = gradients(model({"x": x}, level, eps, draws=draws))
        kinds.append(all(map(torch.equal, found, estimated)))
        assert kinds[-1] or all(map(torch.equal, found, without))
        part = draws.part(slice(2, 4))
        assert torch.equal(model({"x": x}, level, eps, draws=draws)[:2], model({"x": x}, level, eps, draws=part)[:2]), "a batch may be cut"
    assert 70 < sum(kinds) < 130
    model.eval()  # what is measured is what draws: with an estimate, whatever the draws
    values = {float(model({"x": x}, level, eps, draws=Draws((0, step), range(4), 4)).detach().sum()) for step in range(9)}
    assert values == {float(loss(model.denoiser, x, level, seen, eps).detach().sum())}


def test_reduced_precision_keeps_the_gradient():
    """Weights that autocast has cast without gradient in the first pass are not those of the second."""
    model = built(RECIPE | {"self_condition": True}, SHAPE)
    stirred(model.denoiser.network).train()
    model.train().autocast = torch.bfloat16
    x, level = torch.randn(4, *SHAPE), model.noise(torch.tensor([0.2, 0.4, 0.6, 0.8]))
    for step in range(8):
        grads = torch.autograd.grad(model({"x": x}, level, draws=Draws((0, step), range(4), 4)).mean(), list(model.parameters()))
        assert all(bool(g.any()) for g in grads)


def recipe(**more):
    own = {"steps": 8, "batch": 16, "evals": 2, "log_every": 4, "warmup": 0, "lr": 1e-3, "held_out": 16}
    return RECIPE | {"data": {"name": "tests.parts:blobs"}, "conditions": ["label"], "train": own, "self_condition": True} | more


def test_a_run_keeps_it_goes_on_bit_for_bit_and_hands_it_to_those_begun_with_it(tmp_path, monkeypatch):
    train(recipe(), tmp_path / "whole", trust=True, quiet=True)
    cut_at(5, monkeypatch, lambda: train(recipe(), tmp_path / "cut", trust=True, quiet=True))
    train(recipe(), tmp_path / "cut", trust=True, quiet=True)
    assert same(tmp_path / "whole", tmp_path / "cut")
    model = fromnoise.load(tmp_path / "whole", "cpu", trust=True)
    assert model.denoiser.self_condition and Run(tmp_path / "whole").recipe(True).self_condition is True
    assert torch.equal(model.sample(4, label=1)[:2], model.sample(2, label=1))
    with pytest.raises(Problem, match="self_condition=False, this run has self_condition=True"):
        counterpart({"self_condition": True, "shape": [1, 8, 8]}, {"name": "unet"}, {})
    tuned = {"base": str(tmp_path / "whole"), "data": "tests.parts:blobs", "adapter": "lora", "train": recipe()["train"]}
    assert train(tuned, tmp_path / "tuned", trust=True, quiet=True).recipe(True).self_condition is True


def test_it_is_a_setting_of_denoisers_alone(tmp_path):
    with pytest.raises(Usage, match="self_condition is true or false"):
        config.Recipe.of({"self_condition": "often"})
    with pytest.raises(Usage, match="self_condition has no part"):
        train({"data": "tests.parts:blobs", "autoencoder": "conv_ae", "self_condition": True, "train": {"steps": 1}}, tmp_path / "run", quiet=True)
