import math
from dataclasses import asdict

import pytest
import torch

from fromnoise import config
from fromnoise.diffusion import Level
from fromnoise.errors import Usage
from fromnoise.training.optim import OPTIMIZERS, RATES, Muon, Plateau, ScheduleFreeAdamW, orthogonal
from fromnoise.training.settings import TrainSettings
from fromnoise.training.state import State


def test_schedule_free_adamw_is_the_papers_algorithm():
    """Algorithm 1 of Defazio et al. (2024): y = (1 - b1) z + b1 x, z - rate (g / (sqrt(v) + eps) + lambda y), x averaged by rate² / sum rate²."""
    generator = torch.Generator().manual_seed(0)
    A = torch.randn(5, 5, dtype=torch.float64, generator=generator)
    start = torch.randn(5, dtype=torch.float64, generator=generator)
    b1, b2, eps, decay = 0.9, 0.99, 1e-8, 0.1
    rates = [0.1 * min(1.0, (t + 1) / 5) for t in range(40)]

    def gradient(w):
        return A.T @ (A @ w - 1)

    x = z = start
    v, total = torch.zeros(5).double(), 0.0
    for t, rate in enumerate(rates, 1):
        y = (1 - b1) * z + b1 * x
        g = gradient(y)
        v = b2 * v + (1 - b2) * g**2
        z = z - rate * (g / ((v / (1 - b2**t)).sqrt() + eps) + decay * y)
        total += rate**2
        c = rate**2 / total
        x = (1 - c) * x + c * z
    y = (1 - b1) * z + b1 * x

    weight = torch.nn.Parameter(start.clone())
    optimizer = ScheduleFreeAdamW([weight], betas=(b1, b2), eps=eps, weight_decay=decay)
    for rate in rates:
        optimizer.param_groups[0]["lr"] = rate
        weight.grad = gradient(weight.detach())
        optimizer.step()
    assert torch.allclose(weight.detach(), y, rtol=1e-9)


def test_orthogonal_keeps_the_directions_and_evens_out_their_lengths():
    """X = U S Vᵀ becomes about U Vᵀ: the iteration is an odd polynomial, so the singular vectors stay, and the values come near 1."""
    generator = torch.Generator().manual_seed(0)
    for shape in ((3, 24, 40), (2, 40, 24), (1, 32, 32)):
        x = torch.randn(shape, generator=generator)
        u, s, vt = torch.linalg.svd(x, full_matrices=False)
        turned = u.mT @ orthogonal(x) @ vt.mT
        values = turned.diagonal(dim1=1, dim2=2)
        well = s / s.amax(1, keepdim=True) > 0.05  # smaller ones take more steps
        assert 0.6 < values[well].min() and values[well].max() < 1.3
        assert (turned - torch.diag_embed(values)).abs().max() < 0.05


def test_muon_is_the_published_step():
    """Jordan's loop, typed out: momentum 0.95, Nesterov's look ahead, five quintic steps; the length 0.2 sqrt(max(rows, columns)) of Liu et al."""

    def newton_schulz(g):
        a, b, c = 3.4445, -4.7750, 2.0315
        X = g / g.norm()
        for _ in range(5):
            A = X @ X.T
            X = a * X + (b * A + c * A @ A) @ X
        return X

    generator = torch.Generator().manual_seed(0)
    start, grads = torch.randn(24, 4, 3, 3, generator=generator), torch.randn(4, 24, 4, 3, 3, generator=generator)
    weight = torch.nn.Parameter(start.clone())
    optimizer = Muon([weight], 0.01)
    wanted, momentum = start.flatten(1).double(), torch.zeros(24, 36).double()
    for grad in grads:
        weight.grad = grad.clone()
        optimizer.step()
        flat = grad.flatten(1).double()
        momentum = 0.95 * momentum + flat
        wanted -= 0.01 * 0.2 * 36**0.5 * newton_schulz(flat + 0.95 * momentum)
    moved = (wanted - start.flatten(1)).norm()
    assert (weight.detach().flatten(1) - wanted).norm() < 0.02 * moved, "to bfloat16's accuracy"


def test_muon_leaves_vectors_and_thin_matrices_to_adam():
    generator = torch.Generator().manual_seed(0)
    shapes = [(8,), (32, 1, 3, 3), (4, 32, 3, 3), (1,)]
    ours, theirs = ([torch.nn.Parameter(torch.ones(shape)) for shape in shapes] for _ in range(2))
    muon, adamw = Muon(ours, 0.01, weight_decay=0.1), torch.optim.AdamW(theirs, 0.01, (0.9, 0.99), weight_decay=0.1)
    for _ in range(5):
        for p, q in zip(ours, theirs, strict=True):
            p.grad = torch.randn(p.shape, generator=generator)
            q.grad = p.grad.clone()
        muon.step()
        adamw.step()
    assert all(torch.allclose(p, q, atol=1e-6) for p, q in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_find_the_minimum(name):
    weight, untouched = torch.nn.Parameter(torch.tensor([3.0, -2.0])), torch.nn.Parameter(torch.ones(1))
    optimizer = OPTIMIZERS[name](iter([weight, untouched]), lr=0.05, betas=(0.9, 0.99), weight_decay=0.0)
    for _ in range(1000):
        optimizer.zero_grad()
        (weight - torch.tensor([1.0, 2.0])).square().sum().backward()
        optimizer.step()
    assert weight.tolist() == pytest.approx([1.0, 2.0], abs=0.06)
    assert untouched.tolist() == [1.0]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_go_on_from_their_state(name):
    def run(parts):
        torch.manual_seed(0)
        weight, state = torch.nn.Parameter(torch.ones(3)), None
        for steps in parts:
            optimizer = OPTIMIZERS[name]([weight], lr=0.1, betas=(0.9, 0.99), weight_decay=0.01)
            if state:
                optimizer.load_state_dict(state)
            for _ in range(steps):
                optimizer.zero_grad()
                (weight * torch.randn(3)).sum().backward()
                optimizer.step()
            state = optimizer.state_dict()
        return weight

    assert torch.equal(run([6]), run([2, 4]))


def test_rates_from_peak_to_end():
    assert [RATES["constant"](t) for t in (0, 0.5, 1)] == [RATES["plateau"](t) for t in (0, 0.5, 1)] == [1, 1, 1]
    assert [RATES["linear"](t) for t in (0, 0.25, 1, 1.2)] == [1, 0.75, 0, 0]
    assert [RATES["cosine"](t) for t in (0, 1 / 3, 0.5, 1, 1.2)] == pytest.approx([1, 0.75, 0.5, 0, 0])


@pytest.mark.parametrize(("gamma", "milestones"), [(0.1, [0.5, 0.75]), (0.5, [0.2, 0.4, 0.6, 0.8]), (0.3, [])])
def test_step_is_multi_step_lr(gamma, milestones):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], 1.0)
    theirs = torch.optim.lr_scheduler.MultiStepLR(optimizer, [int(share * 20) for share in milestones], gamma)
    for i in range(20):
        assert RATES["step"](i / 20, gamma, milestones) == pytest.approx(theirs.get_last_lr()[0], rel=1e-12)
        optimizer.step()
        theirs.step()


def test_parts_of_training_take_settings_of_their_own():
    nodes = {"rate": {"name": "step", "gamma": 0.5}, "optimizer": {"name": "muon", "momentum": 0.8}, "distance": {"name": "huber", "delta": 2}}
    settings = config.call(TrainSettings, {"images": 10, "weight": {"name": "sigmoid", "bias": 1}, **nodes}, "train")
    assert [settings.parts["rate"](done) for done in (0, 0.5, 0.8)] == [1, 0.5, 0.25]
    assert settings.parts["optimizer"]([torch.nn.Parameter(torch.zeros(20, 20))], lr=0.1).param_groups[0]["momentum"] == 0.8
    a, b = torch.tensor([3.0]), torch.tensor([0.0])
    assert settings.parts["distance"](a, b).item() == 2 * (3 - 1)
    level = Level(torch.tensor([0.5]), torch.tensor([0.5]))  # log SNR 0
    assert settings.parts["weight"](level, torch.ones(1), 1.0).item() == pytest.approx(1 / (1 + math.exp(-1)))


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"name": "step", "gama": 1}, "no setting 'gama'"),
        ({"name": "step", "gamma": 2}, "from 0 to 1"),
        ({"gamma": 0.5}, "needs a name"),
        ({"name": "cosine", "done": 1}, "no setting 'done'"),
    ],
)
def test_settings_of_a_part_are_checked(node, said):
    with pytest.raises(Usage, match=said):
        config.call(TrainSettings, {"images": 10, "rate": node}, "train")


def test_plateau_takes_its_settings_to_the_state():
    settings = config.call(TrainSettings, {"images": 10, "rate": {"name": "plateau", "patience": 1, "by": 0.25}}, "train")
    state = State()
    state.begin(settings)
    state.plateau.update(1.0)
    state.plateau.update(2.0)
    assert (state.plateau.patience, state.plateau.factor) == (1, 0.25)


def test_plateau_waits_then_halves_and_starts_waiting_anew():
    plateau = Plateau(patience=3, by=0.5, least=0.2)
    factors = []
    for value in (1.0, 0.9, 0.95, 0.92, 0.91, 0.8, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9):
        plateau.update(value)
        factors.append(plateau.factor)
    assert factors == [1, 1, 1, 1, 0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.2]


def test_plateau_counts_what_is_not_a_number_as_no_improvement():
    plateau = Plateau(patience=2)
    for value in (1.0, math.nan, math.nan):
        plateau.update(value)
    assert plateau.factor == 0.5 and plateau.best == 1.0


def test_plateau_goes_on_from_its_state():
    one = Plateau(patience=2)
    for value in (1.0, 1.1):
        one.update(value)
    two = Plateau(**asdict(one))
    one.update(1.2), two.update(1.2)
    assert one == two and two.factor == 0.5
