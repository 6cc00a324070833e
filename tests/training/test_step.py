"""The gradient of a batch: the same in any number of micro-batches, and however the memory runs out."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from fromnoise.errors import Problem
from fromnoise.model import Model
from fromnoise.training.loop import train
from tests.training.test_train import recipe


class Small:
    """A machine on which only so many examples fit."""

    def __init__(self, monkeypatch, most: int, error: RuntimeError):
        self.real, self.most, self.error, self.sizes = Model.forward, most, error, []
        monkeypatch.setattr(Model, "forward", lambda model, batch, *rest, **more: self(model, batch, *rest, **more))

    def __call__(self, model, batch, *rest, **more):
        if torch.is_grad_enabled():
            self.sizes.append(len(batch["x"]))
            if len(batch["x"]) > self.most:
                raise self.error
        return self.real(model, batch, *rest, **more)


CUDA, CPU = (
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("error", [CUDA, CPU], ids=["cuda", "cpu"])
def test_where_memory_runs_out_batches_are_cut_finer_and_the_run_is_the_same(tmp_path, monkeypatch, error):
    config = recipe(train={"batch": 12, "steps": 4, "evals": 0, "precision": "fp32"})
    train(config, tmp_path / "large", quiet=True)
    small = Small(monkeypatch, 5, error)
    run = train(config, tmp_path / "small", quiet=True)
    assert small.sizes[:6] == [12, 6, 3, 3, 3, 3]  # halves, and it stays there
    one, two = weights(tmp_path / "large"), weights(tmp_path / "small")
    assert all(torch.allclose(one[name], two[name], rtol=1e-4, atol=1e-6) for name in one)
    assert [entry["why"] for entry in run.entries() if entry.get("event") == "memory"] == [
        "it ran out: each batch now goes through in 4 parts, with the same result"
    ]


def test_memory_for_not_one_example_is_a_line(tmp_path, monkeypatch):
    Small(monkeypatch, 0, CUDA)
    with pytest.raises(Problem, match="not hold a single example"):
        train(recipe(train={"steps": 2}), tmp_path / "run", quiet=True)


def test_other_errors_are_not_taken_for_memory(tmp_path, monkeypatch):
    Small(monkeypatch, 0, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        train(recipe(train={"steps": 2}), tmp_path / "run", quiet=True)


def test_recomputing_changes_no_run(tmp_path):
    network = {"name": "unet", "width": 8, "levels": [1, 2], "blocks": 1, "dropout": 0.3}
    for name, on in (("kept", False), ("recomputed", True)):
        train(recipe(train={"steps": 4, "recompute": on, "evals": 0}) | {"network": network}, tmp_path / name, quiet=True)
    one, two = weights(tmp_path / "kept"), weights(tmp_path / "recomputed")
    assert all(torch.allclose(one[name], two[name], rtol=1e-4, atol=1e-6) for name in one)


def test_a_network_without_blocks_cannot_be_recomputed(tmp_path):
    with pytest.raises(Problem, match="nothing to recompute"):
        train(recipe(train={"recompute": True}), tmp_path / "run", quiet=True)


def saved(network: torch.nn.Module, size: int) -> int:
    """Bytes that a forward pass keeps for the way back, counted by autograd itself."""
    storages: dict[int, int] = {}
    own = {p.untyped_storage().data_ptr() for p in network.parameters()}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            storages[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        answer = network(torch.randn(1, 3, size, size), torch.rand(1))
    kept = sum(storages.values())
    assert bool(torch.isfinite(answer).all())
    return kept


def test_recomputing_keeps_far_less():
    from fromnoise.networks import UNet, recompute

    network = UNet(3, 16, (1, 2, 2), 1)
    plain = saved(network, 32)
    recompute(network)
    assert saved(network, 32) < 0.4 * plain  # what lies between the blocks is kept all the same
