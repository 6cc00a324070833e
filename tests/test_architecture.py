"""The house's rules, as far as a program can read them: imports point one way, functions are short, everything named has words, recipes build."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch

import fromnoise
from fromnoise import config
from fromnoise.autoencoders import AUTOENCODERS
from fromnoise.conditions import CONDITIONS
from fromnoise.data import DATASETS
from fromnoise.diffusion import BETAS, PREDICT, SCHEDULES, SOURCES, WEIGHTS
from fromnoise.draws import Draws
from fromnoise.model import Base, build_autoencoder, inherited
from fromnoise.networks import ADAPTERS, NETWORKS
from fromnoise.runs import Run
from fromnoise.samplers import ORDER, SAMPLERS
from tests.parts import built

ROOT = Path(fromnoise.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
HOUSE = (  # a package imports those of the lines above its own, and nothing else
    {"synonyms"},
    {"errors"},
    {"files", "device", "progress", "registry", "draws"},
    {"diffusion", "networks", "config"},
    {"samplers", "autoencoders", "conditions", "data", "runs"},
    {"convert"},
    {"model"},
    {"editing", "evaluation"},
    {"figures"},
    {"training"},
    {"cli", "app"},
    {"__init__", "__main__"},
)
FLOOR = {package: floor for floor, packages in enumerate(HOUSE) for package in packages}
BANNED = (  # a private dialect, where the field or plain English has a word: see the glossary
    "heeding heeded heard heed lent rehearse settle settles joints strikes looks looked calmed quietly obedience fitted steered "
    "ClockEmbedding WAYS asked told"
).split()


def module(file: Path) -> str:
    parts = file.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module(file): file for file in FILES}


@cache
def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text())


def imports(file: Path) -> Iterator[tuple[str, str]]:
    """(module, name) of everything of ours that a file imports, on top or inside a function, for types alone as well."""
    inside = file.relative_to(ROOT.parent).parent.parts
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.ImportFrom):
            base = ".".join(inside[: len(inside) - node.level + 1]) if node.level else ""
            target = ".".join(part for part in (base, node.module) if part)
            for alias in node.names if target.split(".")[0] == "fromnoise" else ():
                whole = f"{target}.{alias.name}"
                exported = target in MODULES and re.search(rf"^from \.\w+ import .*\b{alias.name}\b", MODULES[target].read_text(), re.M)
                yield (whole, "") if whole in MODULES and not exported else (target, alias.name)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names if alias.name.startswith("fromnoise."))


def home(name: str) -> str:
    """The package, or the loose file, that a module is of."""
    return (name.split(".") + ["__init__"])[1]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_package_imports_those_below_it_and_nothing_else(file):
    own = home(module(file))
    assert own in FLOOR, f"say in HOUSE on which floor {own} is"
    if own == "__init__":
        return
    for target, name in imports(file):
        theirs = home(target)
        assert theirs == own or FLOOR[theirs] < FLOOR[own], f"{own} may not import {theirs} ({target} {name})"
        assert theirs == own or not name.startswith("_"), f"{name} is private to {target}"


def test_no_two_modules_import_each_other():
    """Nor do three or more in a ring."""
    graph = {module(file): {target for target, _ in imports(file)} for file in FILES if module(file) != "fromnoise"}
    done: set[str] = set()

    def visit(name: str, way: tuple[str, ...]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name) :], name]) if name in way else ""
        if name in done:
            return
        for target in graph.get(name, ()):
            visit(target, (*way, name))
        done.add(name)

    for name in graph:
        visit(name, ())


def functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    for file in FILES:
        for node in ast.walk(tree(file)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                yield f"{module(file)}.{node.name}", node


def parameters(node: ast.FunctionDef) -> list[str]:
    every = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return [arg.arg for arg in every if arg.arg not in ("self", "cls")]


def test_functions_take_few_parameters():
    """At most 8, `**words` beside them; constructors of networks and settings aside."""
    assert [f"{name} takes {len(parameters(node))}" for name, node in functions() if len(parameters(node)) > 8 and node.name != "__init__"] == []


def test_functions_are_short():
    """At most 60 lines; the training loop is read from top to bottom in at most 110."""
    most = {"fromnoise.training.loop._train": 110}
    sizes = {name: node.end_lineno - node.lineno + 1 for name, node in functions()}
    assert {name: size for name, size in sizes.items() if size > most.get(name, 60)} == {}


def test_one_value_says_how_to_draw():
    """`guidance` is a field of Sampling, and not a parameter that climbs through the house."""
    assert len([name for name, node in functions() if "guidance" in parameters(node)]) <= 4


def test_the_library_is_small():
    """It was 14,475 lines when the house stood; it grows with what it does, not by saying a thing twice."""
    assert sum(len(file.read_text().splitlines()) for file in FILES) < 26_800


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_names_are_the_fields(file):
    """What the code names, in every identifier; words of comments and messages are read by people."""
    names = {node.id for node in ast.walk(tree(file)) if isinstance(node, ast.Name)}
    names |= {node.attr for node in ast.walk(tree(file)) if isinstance(node, ast.Attribute)}
    names |= {node.arg for node in ast.walk(tree(file)) if isinstance(node, ast.arg)}
    names |= {node.name for node in ast.walk(tree(file)) if isinstance(node, (ast.FunctionDef, ast.ClassDef))}
    assert names & set(BANNED) == set()


@pytest.mark.parametrize("table", [ADAPTERS, AUTOENCODERS, BETAS, CONDITIONS, DATASETS, NETWORKS, PREDICT, SAMPLERS, SCHEDULES, SOURCES, WEIGHTS])
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
    "meshes": (1, 16, 16, 16),
    "lines": (1, 48),
    "sound": (1, 6144),
    "moving_digits": (1, 16, 32, 32),
}


def shape_of(data):
    """That of the examples of a recipe's data."""
    return (3, 64) if data.get("points") else SHAPES.get(data["name"], (1, 28, 28))


def autoencoder_of(recipe):
    """That of a recipe, untrained."""
    return build_autoencoder(replace(recipe, shape=shape_of(recipe.data)))


@pytest.mark.parametrize("name", config.recipes())
def test_every_recipe_builds_and_learns_something_finite(name, tmp_path):
    from fromnoise.training import AutoencoderSettings, TrainSettings

    recipe = config.load(name)
    header = config.find(name).read_text().split("\n")[0]
    assert header.startswith("# ") and len(header) > 30, "the first line says what the recipe is"
    if recipe.reconstructs:
        settings, model = config.call(AutoencoderSettings, recipe.train, "train"), autoencoder_of(recipe)
        assert torch.isfinite(model({"x": torch.rand(2, *model.shape)}, Draws.fixed(2), settings.measure)).all()
        return
    config.call(TrainSettings, recipe.train, "train")
    if recipe.autoencoder and "/" in recipe.autoencoder["name"]:  # the run of another recipe
        first = config.load(Path(recipe.autoencoder["name"]).name)
        Run(tmp_path).write_recipe(replace(first, shape=autoencoder_of(first).shape))
        Run(tmp_path).save_weights(autoencoder_of(first), 0)
        recipe = replace(recipe, autoencoder={"name": "run", "path": str(tmp_path)})
    if recipe.base:  # the run of another recipe: its settings are inherited
        recipe = inherited(recipe, Base(config.load(Path(recipe.base).name), {}, {"run": recipe.base}))
    data = recipe.data.get("x") or recipe.data  # of two sets, that of x
    shape = shape_of(data)
    image = (1, *shape[1:])
    model = built(replace(recipe, image=image), shape, tuple("0123456789"))
    level, draws = model.noise(torch.tensor([0.3, 0.7])), Draws.fixed(2)
    batch = {"x": torch.randn(2, *shape), "label": torch.tensor([1, 2]), "text": ["a red circle", ""], "image": torch.randn(2, *image)}
    assert torch.isfinite(model(batch, level, draws=draws)).all()
    assert model.sampling.steps >= 1


def test_help_does_not_wait_for_torch():
    code = """import sys; sys.argv = ['fromnoise', '--help']
try:
    from fromnoise.cli.main import main; main()
except SystemExit:
    pass
assert 'torch' not in sys.modules and 'numpy' not in sys.modules"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_two_linear_recipe_has_the_published_count():
    """7,421,508 where a label is always given, as published; "no label", which guidance leads away from, is one vector of 239 more."""
    always, guided = (config.load("mnist_two_linear", settings) for settings in (["conditions.0.drop=0", "sample.guidance=1"], []))
    for recipe, parameters in ((always, 7_421_508), (guided, 7_421_508 + 239)):
        model = built(recipe, (1, 28, 28), tuple("0123456789"))
        assert sum(p.numel() for p in model.parameters()) == parameters
