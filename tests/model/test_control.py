"""Runs with control branches: what they hold, how they are drawn from, and several on one base."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from fromnoise import load
from fromnoise.cli.options import RunOptions, parse_controls
from fromnoise.conditions.hints import HINTS
from fromnoise.data.examples import examples
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import control_adherence
from fromnoise.runs.folder import Run
from fromnoise.training.loop import train
from tests.cli.test_cli import call
from tests.parts import built

SHAPE, COUNT = (3, 12, 12), 24
DATA = {"name": "shapes", "size": 12, "count": COUNT}
NETWORKS = {
    "unet": {"name": "unet", "width": 8, "levels": [1, 2], "blocks": 1, "compat": {"groups": 4}},
    "dit": {"name": "dit", "width": 16, "depth": 2, "heads": 2, "patch": 4},
    "uvit": {"name": "uvit", "width": 16, "depth": 3, "heads": 2, "patch": 4},
}
QUICK = {"steps": 3, "batch": 8, "evals": 0, "warmup": 0, "lr": 0.02}


def parsed(model, run, words):
    """--control as the command line reads it, for a model that is loaded already."""
    options = RunOptions(run=run, device="cpu")
    options.__dict__["model"] = model
    return parse_controls(options, words)


def first(path, network="unet", **changes):
    config = {"data": DATA, "network": NETWORKS[network], "conditions": ["label"], "sample": {"name": "ddim", "steps": 3, "guidance": 1.5}}
    train(config | {"train": QUICK} | changes, path, quiet=True)
    return path


def second(base, path, hint="edges", **changes):
    node = {"name": "control", "hint": hint}
    train({"base": str(base), "data": DATA, "conditions": [node], "train": QUICK, **changes}, path, quiet=True)
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A base, and two branches that were trained on it apart."""
    home = tmp_path_factory.mktemp("control")
    base = first(home / "base")
    return {"base": base, "edges": second(base, home / "edges"), "palette": second(base, home / "palette", "palette"), "home": home}


def hint(name: str, n: int = 1) -> torch.Tensor:
    return HINTS[name](examples(DATA, "test").get(torch.arange(n))["x"], None)


@pytest.mark.parametrize("network", NETWORKS)
def test_before_it_has_learnt_a_control_run_draws_what_its_base_does(network, tmp_path):
    base = first(tmp_path / "base", network)
    fresh = second(base, tmp_path / "fresh", train=QUICK | {"lr": 1e-30})
    was, now = load(base, "cpu"), load(fresh, "cpu")
    drawn = was.sample(3, label=[0, 1, 2])
    assert torch.equal(now.sample(3, label=[0, 1, 2], edges=hint("edges", 3)), drawn)
    assert torch.equal(now.sample(3, label=[0, 1, 2], edges=None), drawn)


def test_a_control_run_holds_its_branch_alone_and_leaves_its_base_as_it_was(runs):
    held = load_file(runs["edges"] / "model.safetensors")
    assert held and all(name.startswith("conditions.edges.branch.") for name in held)
    was, model = load(runs["base"], "cpu"), load(runs["edges"], "cpu")
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in was.state_dict().items())
    assert {name for name, p in model.named_parameters() if p.requires_grad} == set(held)
    moved = [name for name, tensor in held.items() if name.startswith("conditions.edges.branch.zero_convs") and tensor.abs().max() > 0]
    assert moved, "what was trained is what was saved"
    again = load(runs["edges"], "cpu")
    assert torch.equal(model.sample(2, edges=hint("edges")), again.sample(2, edges=hint("edges")))
    assert not torch.equal(model.sample(2, edges=hint("edges")), model.sample(2, edges=None))
    assert torch.equal(model.sample(2, edges=None, label=1), was.sample(2, label=1))


def test_a_branch_begins_as_a_copy_of_what_the_base_has_learnt(runs, tmp_path):
    fresh = load(second(runs["base"], tmp_path / "fresh", train=QUICK | {"lr": 1e-30}), "cpu")
    base = load(runs["base"], "cpu").denoiser.network.state_dict()
    branch = fresh.conditions["edges"].branch.encoder.state_dict()
    assert all(torch.equal(tensor, base[name]) for name, tensor in branch.items()) and len(branch) < len(base)


def test_a_resumed_control_run_equals_an_uninterrupted_one(runs, tmp_path):
    config = {"base": str(runs["base"]), "data": DATA, "conditions": [{"name": "control", "hint": "edges", "drop": 0.3}]}
    for steps in (2, 5):
        train(config | {"train": QUICK | {"steps": steps, "rate": "constant"}}, tmp_path / "parts", quiet=True)
    train(config | {"train": QUICK | {"steps": 5, "rate": "constant"}}, tmp_path / "whole", quiet=True)
    one, two = (load_file(tmp_path / name / "model.safetensors") for name in ("parts", "whole"))
    weights = [torch.load(tmp_path / name / "last.ckpt", weights_only=True)["model"] for name in ("parts", "whole")]
    assert one.keys() == two.keys() and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_sample_i_does_not_depend_on_the_batch_and_some_may_be_asked_nothing(runs):
    model = load(runs["edges"], "cpu")
    model.denoiser.autocast = None  # in bf16 a product's rounding follows the size of its batch
    hints = hint("edges", 5)
    hints[2] = torch.nan
    labels = [0, 1, 2, 3, 4]
    whole = model.sample(5, label=labels, edges=hints)
    assert torch.allclose(model.sample(5, batch=2, label=labels, edges=hints), whole, atol=1e-5)
    assert torch.equal(whole[2], model.sample(5, label=labels, edges=None)[2])
    assert (whole - model.sample(5, label=labels, edges=None))[[0, 1, 3, 4]].abs().amax((1, 2, 3)).min() > 1e-4


def test_weights_and_intervals_when_sampling(runs):
    model = load(runs["edges"], "cpu")
    draw = lambda **how: model.sample(2, label=0, edges=hint("edges"), **how)  # noqa: E731
    plain, full = model.sample(2, label=0, edges=None), draw()
    assert torch.equal(draw(control={"edges": 0.0}), plain) and torch.equal(draw(control={"edges": 1.0}), full)
    assert torch.equal(draw(control={"edges": [1.0, 1e6, 2e6]}), plain), "no step is so noisy"
    assert torch.equal(draw(control={"edges": [1, 0, float("inf")]}), full)
    half, late = draw(control={"edges": 0.5}), draw(control={"edges": [1.0, 0.0, 1.0]})
    assert not any(torch.equal(a, b) for a in (half, late) for b in (plain, full))


def test_guidance_leads_away_from_no_label_and_both_of_its_answers_hear_the_hint(runs):
    """Stated with what sampling is made of: x0 = weak + g (strong - weak), weak without the label and with the hint."""
    from fromnoise.diffusion import guided
    from fromnoise.samplers import ddim, walk

    model = load(runs["edges"], "cpu")
    edges = hint("edges")
    with torch.no_grad():
        strong, weak = model.denoise(2, label=1, edges=edges), model.denoise(2, edges=edges)
        wanted = walk(ddim, guided(strong, weak, 3.0), model.start(2), model.sampling_schedule().levels(3)).clamp(-1, 1)
    assert torch.allclose(model.sample(2, label=1, edges=edges, guidance=3.0), wanted, atol=1e-5)


def test_two_branches_trained_together(runs, tmp_path):
    nodes = [{"name": "control", "hint": "edges"}, {"name": "control", "hint": "palette", "key": "colour"}]
    run = second(runs["base"], tmp_path / "both", conditions=nodes)
    model, hints = load(run, "cpu"), {"edges": hint("edges"), "colour": hint("palette")}
    assert list(model.conditions) == ["label", "edges", "colour"]
    plain = load(runs["base"], "cpu").sample(2, label=1)
    assert torch.equal(model.sample(2, label=1, control={"edges": 0, "colour": 0}, **hints), plain)
    answers = [model.sample(2, label=1, control=control, **hints) for control in ({}, {"edges": 0}, {"colour": 0})]
    assert not any(torch.equal(a, b) for i, a in enumerate([*answers, plain]) for b in answers[:i])


def test_branches_trained_apart_are_composed(runs):
    base, edges, palette = (load(runs[name], "cpu") for name in ("base", "edges", "palette"))
    hints = {"edges": hint("edges"), "palette": hint("palette")}
    alone = [edges.sample(2, label=1, edges=hints["edges"]), palette.sample(2, label=1, palette=hints["palette"])]
    _, control = parsed(base, runs["base"], [f"{runs['edges']}", f"{runs['palette']}:0.5:0:80"])
    assert control == {"edges": [1.0], "palette": [0.5, 0.0, 80.0]} and list(base.conditions) == ["label", "edges", "palette"]
    for weights, wanted in ((control | {"palette": 0}, alone[0]), ({"edges": 0}, alone[1])):
        assert torch.equal(base.sample(2, label=1, control=weights, **hints), wanted)
    both = base.sample(2, label=1, control=control, **hints)
    assert not any(torch.equal(both, one) for one in alone)
    parsed(edges, runs["edges"], [str(runs["palette"])])  # onto a run that has a branch already
    assert torch.equal(edges.sample(2, label=1, control=control, **hints), both)


def test_what_nobody_asks_is_asked_as_remembered_examples_do_labels_too(runs):
    model = load(runs["edges"], "cpu")
    batch = examples(DATA, "train").get(torch.arange(4))  # no look, so nothing is held out
    assert torch.equal(model.with_defaults(4, {})["label"], batch["label"])
    assert torch.equal(model.with_defaults(4, {})["edges"], HINTS["edges"](batch["x"], None))


def test_adherence_measures_the_same_samples_with_and_without(runs):
    model, data = load(runs["edges"], "cpu"), examples(DATA, "test")
    measured = control_adherence(model, data, 8, model.sampling)
    assert measured.n == 8 and 0 <= measured.edges <= 1 and 0 <= measured.colour <= 1 and len(measured.lines()) == 2
    off = control_adherence(model, data, 8, model.sampling.merged({"control": {"edges": 0}}))
    assert (off.edges, off.colour) == (off.edges_without, off.colour_without)


def test_a_converted_unet_is_a_base(runs, tmp_path, monkeypatch, capsys):
    base = first(tmp_path / "run", predict="eps", noise={"name": "table"}, conditions=[{"name": "label", "drop": 0.1}])
    assert call(monkeypatch, capsys, "export", base, tmp_path / "theirs")[0] == 0
    run = second(tmp_path / "theirs", tmp_path / "edges", train=QUICK | {"lr": 1e-30})
    labels = {"label": [0, 1], "sampler": "ddim", "steps": 2}
    drawn = load(run, "cpu").sample(2, edges=hint("edges"), **labels)
    assert torch.equal(drawn, load(tmp_path / "theirs", "cpu").sample(2, **labels))
    trained = load(second(tmp_path / "theirs", tmp_path / "more"), "cpu")
    assert not torch.equal(trained.sample(2, edges=hint("edges"), **labels), drawn)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"base": None}, Usage, "is trained on a network that has been trained already; set base"),
        ({"base": "nowhere"}, Problem, "is not there"),
        ({"conditions": [{"name": "control"}]}, Usage, "conditioned on an image, and the data has none; name a hint"),
        ({"conditions": [{"name": "control", "hint": "edges", "key": "steps"}]}, Usage, "a word of sampling already"),
        ({"conditions": [{"name": "control", "hint": "edges"}] * 2}, Usage, "two conditions are called edges"),
        ({"conditions": [{"name": "control", "hint": "edges", "key": "label"}]}, Usage, "two conditions are called label"),
        ({"sample": {"name": "ddim", "control": {"edges": "much"}}}, Usage, "is a weight, or"),
        ({"sample": {"name": "ddim", "control": {"edges": [1, 5, 2]}}}, Usage, "low < high"),
        ({"sample": {"name": "ddim", "control": {"lines": 1}}}, Usage, "no control 'lines'"),
        ({"sample": {"name": "ddim", "control": {"label": 1}}}, Usage, "no control 'label'"),
        ({"adapter": "lora"}, Usage, "trained whole, .* leave the adapter out"),
    ],
)
def test_control_runs_that_cannot_be(runs, tmp_path, change, error, says):
    config = {"base": str(runs["base"]), "data": DATA, "network": NETWORKS["unet"], "conditions": [{"name": "control", "hint": "edges"}]}
    config = {key: value for key, value in (config | {"train": QUICK} | change).items() if value is not None}
    with pytest.raises(error, match=says):
        train(config, tmp_path / "run", quiet=True)


def test_a_base_without_features_is_refused(tmp_path):
    with pytest.raises(Usage, match="Conv has no features that a control branch could add to"):
        built({"network": "conv", "base": "x", "conditions": [{"name": "control", "hint": "edges"}]}, SHAPE)


def test_a_control_run_is_no_base_of_another(runs, tmp_path):
    with pytest.raises(Problem, match="has control branches of its own"):
        second(runs["edges"], tmp_path / "run", "lines")


def test_a_branch_that_learnt_with_another_condition_is_not_composed(runs, tmp_path):
    base = first(tmp_path / "base", conditions=[], sample={"name": "ddim", "steps": 2})
    run = second(base, tmp_path / "edges", conditions=["label", {"name": "control", "hint": "edges"}])
    with pytest.raises(Usage, match="learnt the condition label, which the base has not"):
        parsed(load(base, "cpu"), base, [str(run)])


def test_weights_that_nobody_mentions_are_the_runs_own(runs, tmp_path):
    run = second(runs["base"], tmp_path / "run", sample={"name": "ddim", "steps": 2, "control": {"edges": [0.7, 0.2, 5]}})
    assert parsed(load(run, "cpu"), run, ["edges"])[1] == {"edges": [0.7, 0.2, 5]}
    assert parsed(load(run, "cpu"), run, ["edges:0.5"])[1] == {"edges": [0.5]}


def test_holes_by_chance_are_the_same_at_every_look():
    from fromnoise.conditions import Control

    condition = Control("masked")
    batch = {"x": torch.rand(4, *SHAPE)}
    assert torch.equal(condition.read(batch), condition.read(batch))


def test_guidance_needs_something_to_lead_away_from(tmp_path):
    base = first(tmp_path / "base", conditions=[], sample={"name": "ddim", "steps": 2})
    model = load(second(base, tmp_path / "edges"), "cpu")
    assert torch.isfinite(model.sample(2, edges=hint("edges"))).all()
    with pytest.raises(Usage, match="no condition to guide by"):
        model.sample(2, edges=hint("edges"), guidance=2.0)


def test_depth_of_drawn_shapes_is_a_picture_of_the_data(runs, tmp_path):
    data = DATA | {"depth": True}
    run = second(runs["base"], tmp_path / "depth", data=data, conditions=[{"name": "control", "key": "depth"}])
    batch = examples(data, "test").get(torch.arange(2))
    assert torch.isfinite(load(run, "cpu").sample(2, depth=batch["image"])).all()


# By command


@pytest.fixture
def pictures(tmp_path):
    for name in ("edges", "palette"):
        pixels = ((hint(name)[0] + 1) * 127.5).round().to(torch.uint8).movedim(0, -1).squeeze(-1).numpy()
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    Image.new("RGB", (10, 12)).save(tmp_path / "small.png")
    (tmp_path / "text.png").write_text("not a picture")
    return tmp_path


def test_sample_with_controls_by_command(runs, pictures, monkeypatch, capsys):
    def drawn(run, *words) -> np.ndarray:
        words = ("sample", runs[run], "-n", 3, "--label", 1, *words, "--out", pictures / "s.npz")
        assert call(monkeypatch, capsys, *words)[0] == 0
        return np.load(pictures / "s.npz")["arr_0"]

    edges = ("--control", f"{runs['edges']}={pictures}/edges.png")
    composed, own = drawn("base", *edges), drawn("edges", "--control", f"edges={pictures}/edges.png")
    assert np.array_equal(composed, own) and not np.array_equal(own, drawn("base"))
    assert np.array_equal(drawn("edges", *edges), own), "a run may be named by its folder as well"
    assert np.array_equal(drawn("base", "--control", f"{runs['edges']}={pictures}/edges.png:0"), drawn("base"))
    both = drawn("base", *edges, "--control", f"{runs['palette']}={pictures}/palette.png:0.8:0:80")
    assert not np.array_equal(both, own)
    assert (
        call(monkeypatch, capsys, "sample", runs["edges"], "-n", 2, "--control", "edges:0.5", "--gif", "--out", pictures / "s.png")[0] == 0
    )


def test_adherence_by_command(runs, monkeypatch, capsys):
    composed = ("--control", runs["edges"], "--control", f"{runs['palette']}:0.8")
    code, said, _ = call(monkeypatch, capsys, "evaluate", runs["base"], "-n", 8, *composed)
    found = json.loads((runs["base"] / "adherence.json").read_text())
    assert code == 0 and found["n"] == 8 and found["sampling"]["control"] == {"edges": [1.0], "palette": [0.8]}
    assert f"IoU {found['edges']:.3f}" in said and f"{found['colour']:.1%} right" in said
    for words, says in (((*composed, "--pairs"), "different questions"), (("--control", f"{runs['edges']}=e.png"), "there is no picture")):
        code, _, error = call(monkeypatch, capsys, "evaluate", runs["base"], *words)
        assert code == 2 and says in error


@pytest.mark.parametrize(
    ("run", "control", "code", "says"),
    [
        (
            "edges",
            "edges={0}/small.png",
            2,
            "small.png is 10x12, the hint edges 12x12; make one with `fromnoise data hint PICTURE edges --size 12x12`",
        ),
        ("edges", "edges={0}/none.png", 2, "there is no picture"),
        ("edges", "edges={0}/text.png", 1, "text.png: it is no picture"),
        ("edges", "edges={0}/edges.png:0.5:1", 2, "WHAT=HINT.png:WEIGHT:LOW:HIGH"),
        ("edges", "edges={0}/edges.png:1:5:2", 2, "low < high"),
        ("edges", "egdes={0}/edges.png", 2, "no control 'egdes': this run's are edges"),
        ("base", "edges={0}/edges.png", 2, "no control 'edges': this run has none of its own"),
        ("base", "{base}={0}/edges.png", 2, "has no control branch"),
        ("base", "{other}={0}/edges.png", 1, "a branch fits its base alone"),
        ("base", "={0}/edges.png", 2, "--control is WHAT=HINT.png"),
        ("base", "{edges}=", 2, "--control is WHAT=HINT.png"),
        ("base", "{0}={0}/edges.png", 2, "no config.yaml"),
    ],
)
def test_wrong_controls_are_one_line(runs, pictures, monkeypatch, capsys, run, control, code, says):
    if "{other}" in control and "other" not in runs:
        runs["other"] = second(first(runs["home"] / "strange", seed=7), runs["home"] / "other")
    words = ("sample", runs[run], "-n", 2, "--control", control.format(pictures, **runs), "--out", pictures / "s.png")
    found, _, said = call(monkeypatch, capsys, *words)
    assert found == code and says in said and said.strip().count("\n") == 0 and not (pictures / "s.png").exists()


def test_the_same_control_twice_is_one_line(runs, pictures, monkeypatch, capsys):
    twice = ("--control", "edges", "--control", f"edges={pictures}/edges.png")
    code, _, said = call(monkeypatch, capsys, "sample", runs["edges"], *twice, "--out", pictures / "s.png")
    assert code == 2 and "given twice" in said
    code, _, said = call(monkeypatch, capsys, "sample", runs["edges"], "--control", "edges", "--control", runs["edges"].parent / "edges")
    assert code == 2 and "given twice" in said


def test_show_estimate_and_export_by_command(runs, tmp_path, monkeypatch, capsys):
    code, _, _ = call(monkeypatch, capsys, "show", "condition", runs["edges"], "-n", 2, "--rows", 3, "-o", tmp_path / "c.png")
    with Image.open(tmp_path / "c.png") as picture:
        assert code == 0 and picture.width > 4 * 60 and picture.height > 3 * 60
    code, _, said = call(monkeypatch, capsys, "show", "condition", runs["base"], "-o", tmp_path / "d.png")
    assert code == 0
    code, _, said = call(monkeypatch, capsys, "export", runs["edges"], tmp_path / "theirs")
    assert code == 1 and "export its base" in said and not (tmp_path / "theirs").exists()
    words = (f"base={runs['base']}", "data.size=12", f"data.count={COUNT}", "--seconds", 0.2)
    code, said, _ = call(monkeypatch, capsys, "estimate", "control_edges", *words)
    assert code == 0 and "GFLOP" in said
    assert call(monkeypatch, capsys, "list", "hints")[0] == 0


def test_hints_are_made_by_command(tmp_path, monkeypatch, capsys):
    Image.new("RGB", (40, 30), "red").save(tmp_path / "a.png")
    made = ("data", "hint", tmp_path / "a.png")
    assert call(monkeypatch, capsys, *made, "edges", "--size", 16, "-o", tmp_path / "e.png")[0] == 0
    with Image.open(tmp_path / "e.png") as picture:
        assert picture.size == (16, 16) and picture.mode == "L" and picture.getextrema() == (0, 0)
    assert call(monkeypatch, capsys, *made, "edges", "--size", "24x10", "-o", tmp_path / "w.png")[0] == 0
    with Image.open(tmp_path / "w.png") as picture:
        assert picture.size == (24, 10)
    assert call(monkeypatch, capsys, *made, "palette", "-o", tmp_path / "p.png")[0] == 0
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.size == (40, 30) and picture.getpixel((3, 3)) == (255, 0, 0)
    for words, says in (
        ((*made, "egdes"), "did you mean 'edges'"),
        *(((*made, "edges", "--size", size), "a side in pixels") for size in (0, -3, "8x", "8x0", "8,9", "9" * 9)),
        ((*made, "edges", "--channels", "cmyk"), "no channels"),
        ((*made, "edges", "-o", tmp_path / "x.txt"), "no kind of picture"),
        (("data", "hint", tmp_path / "none.png", "edges"), "no picture"),
    ):
        code, _, said = call(monkeypatch, capsys, *words)
        assert code == 2 and says in said and said.strip().count("\n") == 0


def test_the_run_says_what_it_was_trained_on(runs):
    config = Run(runs["edges"]).recipe(True).as_dict()
    assert config["base"]["run"] == str(runs["base"].resolve()) and len(config["base"]["digest"]) == 16
