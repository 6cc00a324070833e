"""Runs put together: what several runs have changed of one base, in shares; control branches of other runs; a run without its adapter."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from ..conditions import Control
from ..errors import Problem, Usage
from ..files import vacant
from ..networks import merge
from ..runs import Run, digest
from .build import build
from .load import example_of, load, read_base
from .model import Model


@torch.no_grad()
def composed(
    path: str | Path, others: Sequence[tuple[str | Path, float]], device: str | None = None, trust: bool = False, weights: str = "last"
) -> Model:
    """The model of a run with what others, begun with it, have changed: W + sum of share · (W' - W), others being (run, share).

    An adapter's W' - W is what it adds; that of a run tuned whole is its task vector (Ilharco et al. 2023). Raises Problem where a run was
    begun with another base.
    """
    model = merge(load(path, device, trust, weights))
    began = read_base({"run": str(path), "weights": weights}, trust)
    own = dict(model.named_parameters())
    for other, share in others:
        node = Run(other).recipe(trust).base
        if not isinstance(node, Mapping):
            raise Problem(f"{other} was not begun with a base, so it changes none; give a run that was trained with base={path}")
        if node.get("digest") != began.node["digest"]:
            raise Problem(f"{other} was begun with other weights ({node.get('weights')} of {node.get('run')}) than those of {path}")
        for name, parameter in merge(load(other, device, trust)).named_parameters():
            if name not in own:
                raise Problem(f"{other} has {name}, which its base has not, so it cannot be put on that in shares; sample the run itself")
            own[name].add_(parameter - began.tensors[name].to(parameter), alpha=share)
    return model


def write_merged(path: Path, others: Sequence[tuple[str | Path, float]], out: Path, trust: bool = False, weights: str = "last") -> Model:
    """Writes a run, with others put on it, as a plain one, whose weights hold all changes; its model."""
    out = vacant(out)
    recipe, examples = Run(path).recipe(trust), Run(path).load_examples()
    if not (recipe.adapter or others):
        raise Problem(f"{path} has no adapter, so there is nothing to merge; put runs on it with --adapter")
    recipe = replace(recipe, base=None, adapter=None)
    model = build(recipe, example_of(recipe))
    merged = composed(path, others, "cpu", trust, weights) if others else merge(load(path, "cpu", trust, weights))
    model.load_state_dict(merged.state_dict())
    run = Run(out)
    run.save_weights(model, 0)
    if examples:
        run.save_examples(examples)
    run.write_recipe(recipe)
    return model


def add_control(model: Model, path: str | Path, own: str, device: str | None = None, trust: bool = False) -> str:
    """Adds another run's branch to a model whose base has the digest `own`, and returns its key; raises Problem where the bases differ."""
    node = Run(path).recipe(trust).base or {}
    other = load(path, device, trust)
    keys = controls(other)
    if len(keys) != 1:
        several = f"several branches ({', '.join(keys)}); sample that run itself"
        raise Usage(f"{path} has {several if keys else 'no control branch; choose a run that was trained with one'}")
    if node.get("digest") != own:
        which = f"{node.get('run')} ({node.get('weights')} weights)"
        raise Problem(f"{path} was trained on {which}, which are not the ones here; a branch fits its base alone")
    (key,) = keys
    if key in model.conditions:
        cure = "train one of them with another key, as in conditions=[{name: control, hint: …, key: …}]"
        raise Usage(f"two branches are called {key}; {cure}")
    if extra := [name for name in other.conditions if name != key and name not in model.conditions]:
        raise Usage(f"{path} has also learnt the condition {extra[0]}, which the base has not; sample that run itself")
    model.conditions[key] = other.conditions[key]
    for name, condition in other.conditions.items():
        model.conditions[name].example_values = condition.example_values
    return key


def control_key(model: Model, run: Path, what: str, own: str, device: str | None = None, trust: bool = False) -> str:
    """The key of the control branch `what`: the run's own, or another run's, which is added to its model as `add_control` does."""
    mine, path = controls(model), Path(what)
    if what in mine:
        return what
    if path.is_dir() and path.resolve() == run.resolve() and len(mine) == 1:
        return mine[0]
    if not path.is_dir():
        there = f"this run's are {', '.join(mine)}" if mine else "this run has none of its own"
        raise Usage(f"no control {what!r}: {there}, and there is no run folder of that name")
    return add_control(model, path, own, device, trust)


def controls(model: Model) -> list[str]:
    """The keys of a model's control branches."""
    return [key for key, condition in model.conditions.items() if isinstance(condition, Control)]


def base_digest(model: Model, run: Path) -> str:
    """The digest of the weights that branches of a model rest on: of its base, or of its own where it has none."""
    return Run(run).recipe(True).base["digest"] if controls(model) else digest(model.state_dict())
