"""The gradient of a batch: the same in any number of micro-batches, and however the memory runs out."""

from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from PIL import Image
from safetensors.torch import load_file

from fromnoise.data import Tensors
from fromnoise.diffusion import SOURCES, Denoiser
from fromnoise.draws import Draws
from fromnoise.errors import Problem
from fromnoise.model import Model
from fromnoise.runs import Run
from fromnoise.training.denoising import Denoising
from fromnoise.training.loop import train
from fromnoise.training.previews import Samples
from fromnoise.training.settings import TrainSettings
from fromnoise.training.step import Gradient
from tests.parts import built, stirred
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


@pytest.mark.parametrize("error", [CUDA, CPU], ids=["cuda", "cpu"])
def test_where_memory_runs_out_in_an_evaluation_it_goes_in_smaller_parts_and_the_run_is_the_same(tmp_path, monkeypatch, error):
    """Held-out examples, previews, the last pictures: first by micro-batches, then by halves; the figures and pictures are the same."""
    change = {"batch": 16, "accumulate": 2, "steps": 4, "evals": 2, "held_out": 20, "precision": "fp32"}
    monkeypatch.setattr(Samples, "drawable", lambda self, seconds: 10**6)  # however long it takes
    train(recipe(train=change), tmp_path / "large", quiet=True)
    real, sizes = Denoiser.raw, []

    def raw(denoiser, x, *rest):
        if not torch.is_grad_enabled():
            sizes.append(len(x))
            if len(x) > 3:
                raise error
        return real(denoiser, x, *rest)

    monkeypatch.setattr(Denoiser, "raw", raw)
    run = train(recipe(train=change), tmp_path / "small", quiet=True)
    assert sizes[:4] == [1, 8, 4, 2] and max(sizes[4:]) == 2, "a dry run, a micro-batch, its halves; then no more"
    assert [e["why"].partition(":")[2].split()[0] for e in run.entries() if e.get("event") == "memory"] == ["4", "2"]
    one, two = ([entry["held_out_by_level"] for entry in Run(tmp_path / name).entries() if "held_out" in entry] for name in ("large", "small"))
    assert [list(a.values()) for a in one] == [pytest.approx(list(b.values()), rel=1e-5) for b in two] and len(one) == 2
    assert all(torch.equal(value, weights(tmp_path / "large")[name]) for name, value in weights(tmp_path / "small").items())
    for name in ("step_00000002.png", "final.png"):
        a, b = (np.asarray(Image.open(tmp_path / run / "samples" / name)).astype(int) for run in ("large", "small"))
        assert a.shape == b.shape and abs(a - b).max() <= 1
    assert (tmp_path / "small" / "samples" / "reverse.gif").is_file()


def test_memory_that_holds_no_example_in_an_evaluation_does_not_end_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(Samples, "grid", lambda self, path, *rest: self.monitor.within_memory(lambda most: (_ for _ in ()).throw(CUDA)))
    run = train(recipe(train={"steps": 2, "evals": 1}), tmp_path / "run", quiet=True)
    assert run.finished(2) and "without" in [e["why"] for e in run.entries() if e.get("event") == "memory"][-1]


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


def two_conditions(image: str) -> tuple[Model, dict[str, torch.Tensor]]:
    """A model of labels and pictures, or of labels and words, both left out by chance, with dropout; and a batch."""
    torch.manual_seed(0)
    other = {"name": "image", "hint": "masked", "drop": 0.3} if image == "image" else {"name": "text", "encoder": "words", "width": 8, "drop": 0.3}
    network = {"name": "unet", "width": 8, "levels": [1, 1], "blocks": 1, "attention": [1], "dropout": 0.3}
    model = built({"network": network, "conditions": [{"name": "label", "drop": 0.3}, other], "predict": "v", "noise": "cosine"},
                  (1, 8, 8), ("a", "b"))  # fmt: skip
    model.source = SOURCES["gaussian"]()
    text = ["red circle", "", "a blue square", "red"] * 4
    batch = {"x": torch.randn(16, 1, 8, 8), "label": torch.arange(16) % 2, "text": text}
    for condition in model.conditions.values():
        condition.prepare(Tensors("tiny", batch["x"], batch["label"], text, ("a", "b")))
    return stirred(model).train(), batch


@pytest.mark.parametrize("kind", ["image", "text"])
def test_a_batch_in_parts_has_the_same_gradient_with_two_conditions_and_dropout(kind):
    """Which conditions are left out, where holes and dropped elements are, noise and levels: all by the example's place in the batch."""
    accelerator, settings, found = Accelerator(cpu=True), TrainSettings(steps=1, batch=16, clip=1e9), []
    for parts in (1, 2, 4, 16):
        model, batch = two_conditions(kind)
        parameters, draws = [p for p in model.parameters() if p.requires_grad], Draws((0, 3), range(16), 16)
        objective = Denoising(model, settings, accelerator)
        gradient, drawn = Gradient(accelerator, model, parameters, settings, objective.loss, parts), objective.drawn(batch, draws, 0.0)
        value, norm = gradient(drawn, draws)
        found.append(torch.cat([value[None], torch.tensor([norm]), *(p.grad.flatten() for p in parameters if p.grad is not None)]))
    assert all(torch.allclose(found[0], other, rtol=1e-5, atol=1e-5) for other in found[1:])
    gradient(drawn, Draws((0, 4), range(16), 16))
    assert not torch.allclose(found[0][2:], torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]), atol=1e-2)


def test_only_training_is_compiled_not_what_looks_at_it(tmp_path, monkeypatch):
    """Held-out losses and grids have batches of other sizes, each of which would be compiled for."""
    seen = []

    def counting(graph, inputs):
        seen.append(torch.is_grad_enabled())
        return graph.forward

    monkeypatch.setattr("fromnoise.training.setup.compiled", lambda network, *_: network.compile(backend=counting, dynamic=False))
    train(recipe(train={"steps": 4, "batch": 12, "evals": 2, "held_out": 5, "compile": True}), tmp_path / "run", quiet=True)
    assert seen == [True]
