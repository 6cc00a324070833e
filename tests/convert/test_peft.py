"""Adapters under PEFT's names: diffusers' networks answer with them as ours do."""

import pytest
import torch
from diffusers import DiTTransformer2DModel, UNet2DModel
from safetensors.torch import load_file

import fromnoise
from fromnoise import convert
from fromnoise.config import Recipe
from fromnoise.convert.folder import factors
from fromnoise.errors import Problem
from fromnoise.networks import ADAPTERS, changes, merge
from fromnoise.networks.adapters import Changing
from fromnoise.runs.folder import Run
from tests.cli.test_cli import call
from tests.convert.test_folders import NET, run_with
from tests.networks.test_lora import stirred_changes
from tests.parts import built

DIT = {"name": "dit", "width": 32, "depth": 2, "heads": 2, "patch": 2, "compat": {"shift": 1}}
CHANGING = [kind for kind, adapter in ADAPTERS.items() if issubclass(adapter, Changing)]


def run_of(path, adapter) -> Run:
    """A run of an adapter on a UNet with a base beside it."""
    settings = {"network": NET, "noise": {"name": "table"}, "sample": {"name": "ddim", "steps": 10}}
    base = run_with(path / "base", settings)
    config = settings | {"adapter": adapter, "base": {"run": str(base.path), "weights": "last"}}
    model = stirred_changes(built(config, (3, 16, 16)), 0.1)
    run = Run(path / "run")
    run.save_weights(model, 1)
    run.write_recipe(Recipe.of(config | {"shape": [3, 16, 16], "classes": []}))
    return run


@pytest.mark.parametrize("kind", CHANGING)
def test_an_exported_adapter_is_put_on_the_exported_base_as_peft_would(tmp_path, monkeypatch, capsys, kind):
    run = run_of(tmp_path, {"name": kind, "rank": 2, "pattern": r"conv|qkv|emb_proj|out|skip|time_embedding"})
    for words in (["export", tmp_path / "base", tmp_path / "theirs"], ["export", run.path, tmp_path / "adapter", "--adapter"]):
        code, out, err = call(monkeypatch, capsys, *words)
        assert code == 0, err
    unet = UNet2DModel.from_pretrained(tmp_path / "theirs", subfolder="unet")
    on(unet, load_file(tmp_path / "adapter" / "pytorch_lora_weights.safetensors"), "unet.")
    ours = merge(fromnoise.load(run.path, "cpu")).denoiser.network
    x, t = torch.randn(2, 3, 16, 16), torch.tensor([10, 700])
    with torch.no_grad():
        expected = ours(x, t / 1000)
        assert torch.allclose(unet(x, t).sample, expected, atol=1e-4 * float(expected.abs().max()))
    call(monkeypatch, capsys, "export", run.path, tmp_path / "merged")
    whole = UNet2DModel.from_pretrained(tmp_path / "merged", subfolder="unet")
    with torch.no_grad():
        assert torch.allclose(whole(x, t).sample, expected, atol=1e-4 * float(expected.abs().max()))


def on(theirs, file, prefix: str) -> None:
    """W + B A in each of their layers that the file names (PEFT's lora_alpha = r, so the scale is 1)."""
    layers = {name.rpartition(".lora_")[0] for name in file}
    assert len(file) == 2 * len(layers)
    with torch.no_grad():
        for name in layers:
            A, B = file[f"{name}.lora_A.weight"], file[f"{name}.lora_B.weight"]
            weight = theirs.get_submodule(name.removeprefix(prefix)).weight
            assert A.shape[1:] == weight.shape[1:] and B.shape[0] == weight.shape[0] and len(A) == B.shape[1]
            assert weight.ndim == 2 or B.shape[2:] == (1, 1)
            weight += (B.flatten(1) @ A.flatten(1)).view_as(weight)


def test_one_layer_of_ours_is_several_of_theirs_each_of_our_rank(tmp_path):
    """A DiT: q, k and v are one layer with us; every block has a copy of the time embedding; its last layer orders its rows otherwise."""
    settings = {"network": DIT, "noise": {"name": "table"}, "conditions": [{"name": "label", "drop": 0.1}]}
    run_with(tmp_path / "base", settings, classes=("cat", "dog"))
    model = fromnoise.load(tmp_path / "base", "cpu")
    ADAPTERS["lora"](rank=2).attach(model)
    stirred_changes(model, 0.1)
    config = Run(tmp_path / "base").recipe(True).as_dict()
    convert.write(tmp_path / "theirs", config, DIT, {k: v for k, v in model.state_dict().items() if ".change." not in k}, model.sampling_schedule())
    file = load_file(convert.write_adapter(tmp_path / "adapter", config, DIT, model.state_dict(), changes(model)))
    ranks = {len(tensor) for name, tensor in file.items() if name.endswith("lora_A.weight")}
    assert ranks == {2}
    theirs = DiTTransformer2DModel.from_pretrained(tmp_path / "theirs", subfolder="transformer").eval()
    on(theirs, file, "transformer.")
    x, t, label = torch.randn(2, 3, 16, 16), torch.tensor([10, 700]), torch.tensor([1, 0])
    with torch.no_grad():
        expected = model.denoiser.network(x, t / 1000, model.context(2, {"label": label}))
        assert torch.allclose(theirs(x, t, label).sample, expected, atol=1e-4 * float(expected.abs().max()))


def test_factors_are_of_the_changes_own_rank():
    b, a = torch.randn(12, 3), torch.randn(3, 5 * 9)
    change = (b @ a).view(12, 5, 3, 3)
    A, B = factors(change)
    assert A.shape == (3, 5, 3, 3) and B.shape == (12, 3, 1, 1)
    assert torch.allclose((B.flatten(1) @ A.flatten(1)).view_as(change), change, atol=1e-5)
    assert len(factors(torch.zeros(4, 6))[0]) == 0


def test_what_was_not_trained_is_not_written(tmp_path):
    run = run_of(tmp_path, {"name": "lora"})
    config, model = run.recipe(True).as_dict(), fromnoise.load(tmp_path / "base", "cpu")
    ADAPTERS["lora"]().attach(model)
    with pytest.raises(Problem, match="has not changed any weight yet"):
        convert.write_adapter(tmp_path / "out", config, NET, model.state_dict(), changes(model))
    with pytest.raises(Problem, match="no change is to a weight that diffusers"):
        convert.write_adapter(tmp_path / "out", config, NET, model.state_dict(), {})
    assert not (tmp_path / "out").exists()
