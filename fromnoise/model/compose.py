"""Runs put together: what several runs have changed of one base, in shares; and a run without its adapter, its changes merged."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from ..errors import Problem
from ..files import vacant
from ..networks import merge
from ..runs.folder import Run
from .build import build
from .load import load, read_base
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
        node = Run(other).config().get("base")
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
    config, examples = Run(path).config(), Run(path).load_examples()
    if not (config.get("adapter") or others):
        raise Problem(f"{path} has no adapter, so there is nothing to merge; put runs on it with --adapter")
    config = {key: value for key, value in config.items() if key not in ("base", "adapter")}
    model = build(config, config["shape"], config.get("classes") or (), plugins=trust)
    merged = composed(path, others, "cpu", trust, weights) if others else merge(load(path, "cpu", trust, weights))
    model.load_state_dict(merged.state_dict())
    run = Run(out)
    run.save_weights(model, 0)
    if examples:
        run.save_examples(examples)
    run.write_config(config)
    return model
