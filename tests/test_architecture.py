"""The house's rules, as far as a program can read them: imports point one way, everything named has words, recipes build."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import fromnoise
from fromnoise import config
from fromnoise.conditions import CONDITIONS
from fromnoise.data import DATASETS
from fromnoise.diffusion import BETAS, PREDICT, SCHEDULES, SOURCES, WEIGHTS
from fromnoise.model import Base, build, inherited
from fromnoise.networks import ADAPTERS, NETWORKS
from fromnoise.samplers import ORDER, SAMPLERS

ROOT = Path(fromnoise.__file__).parent
BASE = {"errors", "files"}
ALLOWED = {
    "diffusion": set(),
    "samplers": {"diffusion"},
    "networks": set(),
    "convert": {"diffusion", "networks"},
    "conditions": {"networks", "text"},
    "control": {"base", "conditions", "data", "model", "run"},
    "text": {"data", "device", "networks"},
    "data": set(),
    "config": set(),
    "device": set(),
    "ema": set(),
    "optim": set(),
    "sampling": {"diffusion", "samplers"},
    "base": {"convert", "model", "networks", "run"},
    "compose": {"base", "model", "networks", "run"},
    "model": {"base", "config", "conditions", "convert", "diffusion", "networks", "samplers", "sampling", "device", "run"},
    "run": {"config"},
    "edit": {"diffusion", "model", "samplers"},
    "show": {"model", "data", "diffusion", "edit", "evaluate", "samplers", "run", "config", "sampling"},
    "evaluate": {"text", "conditions", "model", "data", "device", "samplers", "sampling"},
    "checkpoint": {"config", "device", "ema", "run"},
    "estimate": {"base", "config", "data", "device", "diffusion", "ema", "gradient", "model", "networks", "optim", "train"},
    "gradient": {"device", "diffusion", "train"},
    "watch": {"gradient", "data", "diffusion", "ema", "model", "run", "show", "train", "checkpoint"},
    "train": {
        "base",
        "checkpoint",
        "config",
        "data",
        "device",
        "diffusion",
        "ema",
        "gradient",
        "model",
        "networks",
        "optim",
        "run",
        "watch",
    },
    "asking": {"conditions", "data", "model"},
    "commands": {
        "asking",
        "compose",
        "conditions",
        "config",
        "control",
        "convert",
        "data",
        "diffusion",
        "edit",
        "estimate",
        "evaluate",
        "model",
        "networks",
        "optim",
        "run",
        "samplers",
        "show",
        "train",
    },
    "cli_edit": {"asking", "run", "cli", "commands", "edit", "evaluate", "model", "show"},
    "cli": {"cli_edit", "cli_show", "commands", "config", "train"},
    "cli_show": {"cli", "commands", "config", "data", "diffusion", "evaluate", "model", "run", "show", "train"},
    "__main__": {"cli"},
}
TOP = {"__init__"}


def ours(file: Path) -> set[str]:
    """The parts of fromnoise that a file imports, whether on top or inside a function."""
    depth = len(file.relative_to(ROOT).parts)
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            if node.level == depth:
                found |= {node.module.split(".")[0]} if node.module else {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("fromnoise."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("fromnoise.")}
    return found


@pytest.mark.parametrize("file", sorted(ROOT.rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_one_way(file):
    home = file.relative_to(ROOT).parts[0].removesuffix(".py")
    if home in TOP:
        return
    assert home in ALLOWED or home in BASE, f"say in this test what {home} may import"
    assert ours(file) <= ALLOWED.get(home, set()) | BASE | {home}


@pytest.mark.parametrize("table", [ADAPTERS, BETAS, CONDITIONS, DATASETS, NETWORKS, PREDICT, SAMPLERS, SCHEDULES, SOURCES, WEIGHTS])
def test_everything_in_a_registry_says_what_it_is(table):
    for name, thing in table.items():
        first = (thing.__doc__ or "").strip().split("\n")[0]
        assert len(first) > 20 and first != dict.__doc__, name


def test_orders_are_of_samplers():
    assert set(ORDER) <= set(SAMPLERS)


def test_every_public_name_is_there():
    for name in fromnoise.__all__:
        assert getattr(fromnoise, name) is not None
    with pytest.raises(AttributeError):
        fromnoise.nonsense  # noqa: B018


SHAPES = {
    "digits": (1, 8, 8),
    "cifar10": (3, 32, 32),
    "shapes": (3, 32, 32),
    "shapes_text": (3, 32, 32),
    "folder": (3, 48, 48),
    "pairs": (3, 64, 64),
    "moons": (2,),
}


@pytest.mark.parametrize("name", config.recipes())
def test_every_recipe_builds_and_learns_something_finite(name):
    from fromnoise.diffusion import Level
    from fromnoise.training.settings import TrainSettings

    settings = config.load(name)
    header = config.find(name).read_text().split("\n")[0]
    assert header.startswith("# ") and len(header) > 30, "the first line says what the recipe is"
    config.call(TrainSettings, settings["train"], "train")
    if "base" in settings:  # the run of another recipe: its settings are inherited
        theirs = config.load(Path(settings["base"]).name)
        settings = inherited(settings, Base(theirs, {}, {"run": settings["base"]}))
    shape = SHAPES.get(settings["data"]["name"], (1, 28, 28))
    image = (1, *shape[1:])
    model = build(settings | {"image": image}, shape, tuple("0123456789"))
    level = model.noise(torch.tensor([0.3, 0.7]))
    batch = {"x": torch.randn(2, *shape), "label": torch.tensor([1, 2]), "text": ["a red circle", ""], "image": torch.randn(2, *image)}
    assert torch.isfinite(model(batch, Level(level.alpha, level.sigma))).all()
    assert model.sampling.steps >= 1


def test_help_does_not_wait_for_torch():
    code = """import sys; sys.argv = ['fromnoise', '--help']
try:
    from fromnoise.cli import main; main()
except SystemExit:
    pass
assert 'torch' not in sys.modules and 'numpy' not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_two_linear_recipe_has_the_published_count():
    model = build(config.load("mnist_two_linear"), (1, 28, 28), tuple("0123456789"))
    assert sum(p.numel() for p in model.parameters()) == 7_421_508
