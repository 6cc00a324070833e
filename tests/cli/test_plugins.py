"""A folder with parts of one's own: trained, sampled and measured by the console command from that folder, and from Python."""

import subprocess
import sys

import pytest
import torch

import fromnoise
from fromnoise.errors import Problem
from fromnoise.training import train

MINE = '''
import torch
from torch import nn
from fromnoise.conditions import Condition
from fromnoise.data import Tensors
from fromnoise.networks import Context, Network


def rays(split="train", size=8):
    """Pictures of a bright row, whose number is the angle."""
    angle = torch.arange(64.0) % size
    x = -torch.ones(64, 1, size, size)
    x[torch.arange(64), 0, angle.long()] = 1.0
    return With(Tensors("rays", x), angle)


class With:
    """A data set with one more entry."""
    def __init__(self, data, angle):
        self.data, self.angle = data, angle
    def __getattr__(self, name):
        return getattr(self.data, name)
    def __len__(self):
        return len(self.data)
    def take(self, indices):
        return self.data.take(indices) | {"angle": self.angle[indices]}
    def get(self, indices):
        return self.data.get(indices) | {"angle": self.angle[indices]}
    def to(self, device):
        return self


class Net(Network):
    """One convolution."""
    def __init__(self, channels=1, width=8):
        super().__init__()
        self.dim = width
        self.first, self.last = nn.Conv2d(channels, width, 3, padding=1), nn.Conv2d(width, channels, 3, padding=1)
    @classmethod
    def fitting(cls, shape):
        return {"channels": shape[0]}
    def forward(self, x, t, context=None):
        h = self.first(x) + t[:, None, None, None]
        return self.last(torch.relu(h if context is None or context.vector is None else h + context.vector[..., None, None]))


class Angle(Condition):
    """A number."""
    key = "angle"
    ways = ("add",)
    def init_layers(self, network, example):
        super().init_layers(network, example)
        self.proj = nn.Linear(1, network.dim)
    def forward(self, value):
        return Context(vector=self.proj(value.float()[:, None]))
    def nothing(self, n):
        return torch.full((n,), -1.0)


def jump(denoise, x, levels):
    """A sampler: one step."""
    x0, _ = denoise(x, levels[0])
    yield x0, x0

def row(level, data_std):
    """A prediction: velocity, doubled."""
    return -2 * torch.ones_like(level.alpha), 2 * torch.ones_like(level.alpha)

def heavy(level, c_out, data_std):
    """A weight."""
    return 3 * torch.ones_like(c_out)

def betas(steps, start, end):
    """A beta table."""
    return torch.full((steps,), 0.02, dtype=torch.float64)

def sgd(params, lr, betas, weight_decay):
    """An optimizer."""
    return torch.optim.SGD(params, lr, momentum=0.9)
'''
RECIPE = """
data:       {name: "mine:rays"}
network:    {name: "mine:Net", width: 8}
conditions: [{name: "mine:Angle", drop: 0.2}]
predict:    "mine:row"
noise:      {name: table, betas: "mine:betas"}
train:      {images: 256, batch: 32, optimizer: "mine:sgd", weight: "mine:heavy", lr: 0.01, warmup: 0, evals: 1}
sample:     {name: "mine:jump", steps: 2}
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine.yaml").write_text(RECIPE)
    return tmp_path


def command(folder, *words):
    """The console command, run in a folder."""
    code = "import sys; sys.path = [p for p in sys.path if p]; from fromnoise.cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


@pytest.mark.slow
def test_by_command_from_the_folder_that_holds_it(folder):
    code, said = command(folder, "train", "mine.yaml")
    assert code == 0, said
    assert (folder / "runs" / "mine" / "plugins" / "mine.py").read_text() == MINE
    for words, ending in ((("--trust", "--condition", "angle=3"), 0), (("--trust", "--condition", "angle=1,2,3", "-g", 2), 0), (("--condition", "angle=3"), 1)):
        code, said = command(folder, "sample", "runs/mine", "-n", 6, *words, "--out", "s.png")
        assert code == ending and (ending == 0 or "say trust=True (--trust)" in said), said
    code, said = command(folder, "evaluate", "runs/mine", "-n", 16, "--trust")
    assert code == 0 and "Fréchet" in said, said
    code, said = command(folder, "sample", "runs/mine", "--trust", "--condition", "anlge=3")
    assert code == 2 and "did you mean 'angle'" in said
    code, said = command(folder, "train", "mine.yaml", "predict=mine:rwo", "--out", "runs/other")
    assert code == 2 and "cannot import mine:rwo" in said and "Traceback" not in said
    (folder / "mine.py").unlink()  # what the run has kept is enough
    code, said = command(folder, "sample", "runs/mine", "-n", 4, "--trust", "--condition", "angle=3", "--out", "again.png")
    assert code == 0, said


def test_from_python_with_plain_callables(folder, monkeypatch):
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    import mine

    train({
        "data": mine.rays, "network": {"name": mine.Net, "width": 4}, "conditions": [mine.Angle], "predict": mine.row,
        "noise": {"name": "table", "betas": mine.betas}, "sample": {"name": mine.jump, "steps": 2},
        "train": {"images": 64, "batch": 16, "optimizer": mine.sgd, "weight": mine.heavy, "warmup": 0, "evals": 0},
    }, folder / "run", quiet=True)  # fmt: skip
    with pytest.raises(Problem, match="trust=True"):
        fromnoise.load(folder / "run", "cpu")
    model = fromnoise.load(folder / "run", "cpu", trust=True)
    drawn = model.sample(3, angle=[0.0, 1.0, 2.0], sampler=mine.jump, steps=1)
    assert drawn.shape == (3, 1, 8, 8) and torch.isfinite(drawn).all()
    monkeypatch.delitem(sys.modules, "mine")
