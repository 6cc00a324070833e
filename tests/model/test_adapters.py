"""Runs of adapters: what they keep, how they are put together, and what the command line says to wrong input."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import fromnoise
from fromnoise import config as settings
from fromnoise.config import Recipe
from fromnoise.errors import Problem, Usage
from fromnoise.model.compose import composed
from fromnoise.runs.folder import Run
from fromnoise.training.estimate import estimate
from fromnoise.training.loop import train
from tests.cli.test_cli import call
from tests.parts import built
from tests.training.test_train import recipe, same

SHAPE, CLASSES = (1, 8, 8), ("left", "right")
BUILT_IN = {"name": "unet", "width": 16, "levels": [1, 2], "blocks": 1}
SHORT = {"steps": 6, "evals": 0, "batch": 8, "lr": 1e-2, "save_every": 3}


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("adapters") / "base"
    train(recipe(train=SHORT) | {"network": BUILT_IN}, path, quiet=True)
    return path


def tuned(base, path, adapter, **plan):
    keys = {key: value for key, value in recipe(train=SHORT | plan).items() if key in ("data", "train")}
    train(keys | {"base": str(base), "seed": 3} | ({"adapter": adapter} if adapter else {}), path, quiet=True)
    return path


@pytest.fixture(scope="module")
def runs(base):
    """Runs that began with the base, by name."""
    kinds = {
        "lora": {"name": "lora", "rank": 2, "alpha": 6.0, "also": ["conditions"]},
        "convs": {"name": "lora", "rank": 1, "pattern": "conv"},
        "dora": {"name": "dora", "rank": 1, "pattern": "network"},
        "whole": None,
    }
    return {name: tuned(base, base.parent / name, adapter) for name, adapter in kinds.items()}


def weights(run) -> dict[str, torch.Tensor]:
    return load_file(run / "model.safetensors")


def typed_out(base, run, share=1.0) -> dict[str, torch.Tensor]:
    """share · (W' - W) for what a run of LoRA or one tuned whole has learnt, from its file alone."""
    begun, file, found = weights(base), weights(run), {}
    node = Run(run).recipe(True).as_dict().get("adapter") or {}
    for name, tensor in file.items():
        if name.endswith(".change.B"):
            at = name.removesuffix(".change.B")
            s = node.get("alpha", 8.0) / node["rank"]
            found[f"{at}.weight"] = share * s * (tensor @ file[f"{at}.change.A"]).view_as(begun[f"{at}.weight"])
        elif ".change." not in name:
            found[name] = share * (tensor - begun[name])
    return found


def test_a_run_keeps_its_adapter_alone_and_loads_over_its_base(base, runs):
    for name in ("lora", "convs", "dora"):
        model, file = fromnoise.load(runs[name], "cpu", trust=True), weights(runs[name])
        assert set(file) == {n for n, p in model.named_parameters() if p.requires_grad} and any(
            bool(t.any()) for n, t in file.items() if n.endswith("B")
        )
        count, all_of_it = sum(t.numel() for t in file.values()), sum(t.numel() for t in weights(base).values())
        size, whole = ((path / "model.safetensors").stat().st_size for path in (runs[name], base))
        assert count < all_of_it / 4 and size < 4 * count + 200 * len(file) + 500 and size < whole / 2
    assert weights(runs["whole"]).keys() == weights(base).keys()


def test_what_loads_is_the_base_and_what_the_file_says(base, runs):
    """W + s B A, put together by hand in a plain model: the same samples to the last bit."""
    config = Run(base).recipe(True).as_dict()
    plain = built(config, SHAPE, CLASSES)
    tensors, file = weights(base), weights(runs["lora"])
    for name, change in typed_out(base, runs["lora"]).items():
        tensors[name] = file[name] if name in file else tensors[name] + change
    plain.load_state_dict(tensors)
    model = fromnoise.load(runs["lora"], "cpu", trust=True)
    plain.denoiser.autocast = model.denoiser.autocast
    assert torch.equal(model.sample(4, seed=1), plain.eval().sample(4, seed=1))
    assert not torch.allclose(model.sample(4, seed=1), fromnoise.load(base, "cpu", trust=True).sample(4, seed=1), atol=1e-3)


def test_it_begins_as_its_base(base, tmp_path):
    run = tuned(base, tmp_path / "run", {"name": "lora", "pattern": "network"}, steps=1, lr=1e-30)
    a, b = (fromnoise.load(path, "cpu", trust=True).sample(3) for path in (run, base))
    assert torch.equal(a, b)


def test_a_run_that_goes_on_is_as_one_in_one_go(base, tmp_path):
    adapter = {"name": "dora", "rank": 2}
    whole = tuned(base, tmp_path / "whole", adapter, rate="constant", steps=8)
    tuned(base, tmp_path / "parts", adapter, rate="constant", steps=4)
    assert not same(whole, tmp_path / "parts")
    assert same(whole, tuned(base, tmp_path / "parts", adapter, rate="constant", steps=8))


def test_runs_put_on_a_base_in_shares_are_the_sum_typed_out(base, runs):
    """W + a s1 B1 A1 + b s2 B2 A2, and the same of what was tuned whole."""
    chosen = [(runs["lora"], 0.7), (runs["convs"], -0.4), (runs["whole"], 0.25)]
    expected = weights(base)
    for run, share in chosen:
        for name, change in typed_out(base, run, share).items():
            expected[name] = expected[name] + change
    found = composed(base, chosen, "cpu", trust=True).state_dict()
    assert found.keys() == expected.keys() and all(torch.allclose(found[name], expected[name], atol=1e-6) for name in expected)


@pytest.mark.parametrize("name", ["lora", "convs", "dora", "whole"])
def test_one_run_put_on_its_base_is_that_run(base, runs, name):
    a, b = composed(base, [(runs[name], 1.0)], "cpu", True), fromnoise.load(runs[name], "cpu", trust=True)
    a.denoiser.autocast = b.denoiser.autocast = None
    assert torch.allclose(a.sample(3), b.sample(3), atol=1e-4)
    none = composed(base, [(runs[name], 0.0)], "cpu", True)
    assert all(torch.equal(tensor, none.state_dict()[at]) for at, tensor in weights(base).items())


def test_an_adapter_can_be_begun_with_and_adapted_again(runs, tmp_path):
    again = tuned(runs["dora"], tmp_path / "again", {"name": "lora", "rank": 1}, steps=1, lr=1e-30)
    a, b = (fromnoise.load(path, "cpu", trust=True) for path in (again, runs["dora"]))
    assert torch.equal(a.sample(2), b.sample(2)) and "adapter" not in Run(tuned(runs["dora"], tmp_path / "whole", None, steps=1)).recipe(True).as_dict()


def test_a_condition_that_the_base_has_not_is_learnt(tmp_path):
    free = tmp_path / "free"
    train(recipe(conditions=[], train=SHORT) | {"network": BUILT_IN}, free, quiet=True)
    keys = {key: value for key, value in recipe(train=SHORT).items() if key in ("data", "train", "conditions")}
    train(keys | {"base": str(free), "adapter": {"name": "lora", "rank": 1}}, tmp_path / "told", quiet=True)
    file, begun = weights(tmp_path / "told"), weights(free)
    table = "conditions.label.embed.weight"
    assert {name for name in file if ".change." not in name} == {table} and table not in begun
    model = fromnoise.load(tmp_path / "told", "cpu", trust=True)
    assert torch.equal(model.state_dict()[table], file[table])
    with pytest.raises(Problem, match="has conditions.label.embed.weight, which its base has not"):
        composed(free, [(tmp_path / "told", 1.0)], "cpu", True)


def test_an_adapter_needs_a_base(tmp_path):
    with pytest.raises(Usage, match="set base to its run, as in base=runs/mnist"):
        train(recipe(train=SHORT) | {"adapter": "lora"}, tmp_path / "run", quiet=True)


@pytest.mark.parametrize(
    ("adapter", "says"),
    [
        ("lara", "no adapter 'lara'; did you mean 'lora'"),
        ({"name": "lora", "rang": 3}, "adapter lora has no setting 'rang'; did you mean 'rank'"),
        ({"name": "lora", "rank": "big"}, "adapter lora: rank is a whole number, not 'big'"),
        ({"name": "lora", "pattern": "attention"}, "'attention' is found in no name"),
    ],
)
def test_adapters_that_cannot_be(base, tmp_path, adapter, says):
    with pytest.raises(Usage, match=says):
        tuned(base, tmp_path / "run", adapter)


def test_overrides_of_an_adapter():
    assert settings.load("fashion_lora", ["adapter=dora"]).adapter == {"name": "dora"}
    assert settings.load("fashion_lora", ["adapter.rank=4"]).adapter["rank"] == 4
    assert settings.load("fashion_lora", ["adapter=null"]).adapter is None


def test_what_an_adapter_takes_is_estimated_with_its_base(base):
    plan = {key: value for key, value in recipe(train=SHORT).items() if key in ("data", "train", "sample")} | {"base": str(base)}
    whole, thin = (estimate(plan | more, seconds=0.1) for more in ({}, {"adapter": {"name": "lora", "rank": 1}}))
    added = thin.parameters - whole.parameters
    assert 0 < added < whole.parameters / 20 and thin.flop == whole.flop
    assert thin.fixed == pytest.approx(4 * (whole.parameters + 5 * added), rel=1e-3)  # Adam's: weight, gradient, average, two moments


def test_weights_of_another_adapter_are_refused(base, runs, tmp_path):
    run = tuned(base, tmp_path / "run", {"name": "lora", "rank": 3}, steps=1)
    (run / "model.safetensors").write_bytes((runs["lora"] / "model.safetensors").read_bytes())
    with pytest.raises(Problem, match="is of another model: .*change.A is .* there"):
        fromnoise.load(run, "cpu", trust=True)
    save_file({"x": torch.zeros(1)}, run / "model.safetensors")
    with pytest.raises(Problem, match="is of another model: it lacks"):
        fromnoise.load(run, "cpu", trust=True)


# The command line


def test_sample_with_adapters(base, runs, tmp_path, monkeypatch, capsys):
    def drawn(name, *words):
        out = tmp_path / f"{name}.npz"
        code, _, err = call(monkeypatch, capsys, "sample", *words, "-n", 4, "--out", out, "--trust", "--device", "cpu")
        assert code == 0, err
        return np.load(out)["arr_0"].astype(int)

    alone, on, half = (
        drawn("a", runs["lora"]),
        drawn("b", base, "--adapter", runs["lora"]),
        drawn("c", base, "--adapter", f"{runs['lora']}:0.5"),
    )
    plain, none = drawn("d", base), drawn("e", base, "--adapter", f"{runs['lora']}:0")
    assert np.abs(alone - on).max() <= 8, "bfloat16 rounds a last bit otherwise"
    assert np.array_equal(plain, none) and np.abs(plain - on).max() > 8 and np.abs(half - on).max() > 2
    both = drawn("f", base, "--adapter", runs["lora"], "--adapter", f"{runs['convs']}:-1")
    assert np.abs(both - on).max() > 2


def test_merge_writes_a_plain_run(base, runs, tmp_path, monkeypatch, capsys):
    code, out, err = call(monkeypatch, capsys, "merge", runs["dora"], "--out", tmp_path / "plain", "--trust")
    assert code == 0 and "a plain run of" in out, err
    config = Run(tmp_path / "plain").recipe(True).as_dict()
    assert not {"base", "adapter"} & set(config) and weights(tmp_path / "plain").keys() == weights(base).keys()
    a, b = (fromnoise.load(path, "cpu", trust=True).sample(3) for path in (tmp_path / "plain", runs["dora"]))
    assert torch.equal(a, b)
    words = ["merge", base, "--adapter", f"{runs['lora']}:0.5", "--adapter", runs["convs"], "-o", tmp_path / "two", "--trust"]
    assert call(monkeypatch, capsys, *words)[0] == 0
    expected = composed(base, [(runs["lora"], 0.5), (runs["convs"], 1.0)], "cpu", True).state_dict()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(tmp_path / "two").items())


def test_wrong_words_are_one_line(base, runs, tmp_path, monkeypatch, capsys):
    other = tmp_path / "other"
    train(recipe(train=SHORT) | {"network": BUILT_IN, "seed": 9}, other, quiet=True)
    for words, code, says in [
        (["sample", base, "--adapter", f"{runs['lora']}:much"], 2, "RUN:SHARE such as"),
        (["sample", base, "--adapter", f"{runs['lora']}:nan"], 2, "RUN:SHARE such as"),
        (["sample", base, "--adapter", tmp_path / "nowhere"], 2, "there is no run folder"),
        (["sample", base, "--adapter", other], 1, "was not begun with a base"),
        (["sample", other, "--adapter", runs["lora"]], 1, "was begun with other weights"),
        (["merge", base, "-o", tmp_path / "m"], 1, "has no adapter, so there is nothing to merge"),
        (["merge", runs["lora"], "-o", other], 1, "nothing is overwritten"),
        (["export", base, tmp_path / "x", "--adapter"], 1, "has no adapter; leave --adapter out"),
        (["export", runs["lora"], tmp_path / "x", "--adapter"], 1, "has also trained conditions.label.embed.weight whole"),
    ]:
        found, _, err = call(monkeypatch, capsys, *words, *(["--trust"] if words[0] != "export" else []))
        assert found == code and says in err and err.count("\n") == 1, (words, err)


def test_a_base_that_moved_or_changed_is_named(base, runs, tmp_path, monkeypatch, capsys):
    run = Run(runs["lora"])
    config = run.recipe(True).as_dict()
    for node, says in [
        (config["base"] | {"run": str(tmp_path / "gone")}, "is not there; "),
        (config["base"] | {"run": str(runs["whole"])}, "holds other weights than the ones this run began with"),
    ]:
        copy = Run(tmp_path / says[:9].strip())
        copy.write_recipe(Recipe.of(config | {"base": node}))
        (copy.path / "model.safetensors").write_bytes(run.weights.read_bytes())
        code, _, err = call(monkeypatch, capsys, "sample", copy.path, "--trust", "--out", tmp_path / "x.png")
        assert code == 1 and says in err and err.count("\n") == 1


def drawn(home, *folders):
    """Grey pictures of 8 x 8, four in each folder."""
    from PIL import Image

    for folder in folders:
        (home / folder).mkdir(parents=True)
        for i in range(4):
            Image.fromarray(np.random.default_rng(i).integers(0, 256, (8, 8), np.uint8)).save(home / folder / f"{i}.png")
    return {"name": "folder", "path": str(home), "channels": "grey", "held_out": 0.3}


def on_pictures(base, data):
    return {"base": str(base), "adapter": {"name": "lora", "rank": 2}, "data": data, "train": {**SHORT, "steps": 2, "batch": 2}, "sample": {"steps": 1}}


@pytest.mark.parametrize(
    ("folders", "label", "number"), [([""], None, None), (["right"], None, 1), (["other"], None, None), ([""], "left", 0), (["right"], "left", 0)]
)
def test_pictures_without_labels_under_a_labelled_base(base, tmp_path, folders, label, number):
    """Under no label; as the class of the base that their folder is called by; or as one that is named."""
    data = drawn(tmp_path / "data", *folders) | ({"label": label} if label else {})
    run = train(on_pictures(base, data), tmp_path / "run", quiet=True, trust=True)
    assert run.recipe(True).classes == CLASSES
    model = fromnoise.load(run.path, "cpu", trust=True)
    usual = model.with_defaults(3, {})["label"]
    assert usual is None if number is None else set(usual.tolist()) == {number}
    for label in (None, 0, 1):
        assert model.sample(2, label=label, steps=1).shape == (2, *SHAPE)


def test_pictures_of_a_class_that_the_base_does_not_know(base, tmp_path):
    data = drawn(tmp_path / "data", "")
    with pytest.raises(Usage, match="the base knows no class 'rihgt'; did you mean 'right'"):
        train(on_pictures(base, {**data, "label": "rihgt"}), tmp_path / "run", quiet=True, trust=True)
    with pytest.raises(Usage, match="say one of them"):
        train(on_pictures(base, {**data, "label": "right", "labels": False}), tmp_path / "run", quiet=True, trust=True)


def test_classes_of_other_names_take_the_bases_numbers(base, tmp_path):
    """As the Fashion-MNIST adapter of a model of digits does."""
    run = train(on_pictures(base, drawn(tmp_path / "data", "a", "b")), tmp_path / "run", quiet=True, trust=True)
    assert run.recipe(True).classes == ("a", "b")
