"""A small network learns two moons, whatever it predicts and on whichever schedule."""

import math

import pytest
import torch

from fromnoise.diffusion import PREDICT
from tests.parts import built

NEAR = {("v", "cosine"), ("velocity", "flow"), ("eps", "cosine"), ("x0", "flow")}
ALL = [pytest.param(p, n, marks=[] if (p, n) in NEAR else pytest.mark.slow) for p in PREDICT for n in ("flow", "cosine")]


def moons(n: int, generator: torch.Generator) -> torch.Tensor:
    """Two half circles, interleaved, a little blurred, of spread 0.6."""
    angle, lower = math.pi * torch.rand(n, generator=generator), torch.rand(n, generator=generator) < 0.5
    x = torch.where(lower, 0.5 - angle.cos(), angle.cos() - 0.5)
    y = torch.where(lower, 0.25 - angle.sin(), angle.sin() - 0.25)
    return torch.stack([x, y], 1) + 0.03 * torch.randn(n, 2, generator=generator)


def distance(a: torch.Tensor, b: torch.Tensor) -> float:
    """How far the points of a are from the nearest of b, on average."""
    return float(torch.cdist(a, b).min(1).values.mean())


def learn(config: dict, steps: int = 600) -> torch.Tensor:
    torch.manual_seed(0)
    model = built({"network": {"name": "mlp", "width": 64, "depth": 3}, "sample": {"name": "dpmpp_2m", "steps": 30}, **config}, (2,))
    optimizer, generator = torch.optim.Adam(model.parameters(), 4e-3), torch.Generator().manual_seed(1)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 4e-3 * (1 - step / steps)
        t = (torch.arange(256) + torch.rand(256)) / 256
        optimizer.zero_grad()
        model({"x": moons(256, generator)}, model.noise(t)).mean().backward()
        optimizer.step()
    return model.sample(500, seed=0)


@pytest.mark.parametrize(("predict", "noise"), ALL)
def test_moons_are_learnt(predict, noise):
    data = moons(2000, torch.Generator().manual_seed(2))
    # eps says little about x0 near alpha = 0: its errors come back there times 1 / alpha
    samples = learn({"predict": predict, "noise": {"name": noise, "high": 0.95 if predict == "eps" else 1.0}})
    assert distance(samples, data) < 0.1 < 0.25 < distance(torch.randn(500, 2), data)
    assert distance(data, samples) < 0.12  # and no part is left out
