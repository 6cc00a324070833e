import json

from fromnoise.evaluation import Adherence, Card, EvaluateSettings, Row, is_evaluated, measured_of, write_result
from fromnoise.model import Sampling
from fromnoise.runs import Run

CARD = Card("mnist, 20 samples", "CNN", 20, 9, "p", [Row("Fréchet distance · CNN", 3.0, 2.0)])


def test_a_result_lies_beside_its_run_with_what_it_was_measured_of(tmp_path):
    run = Run(tmp_path)
    run.log(step=7, loss=1.0)
    sampling = Sampling("ddim", 50, guidance=2.0, seed=3, control={"edges": 0.5})
    how = measured_of(run, sampling, "cnn", "best", against=tmp_path / "weak")
    assert (
        write_result(run, CARD, how) == "evaluation.json" and write_result(run, Adherence(9, 0.5, 0.1, None, None), how) == "adherence.json"
    )
    found = json.loads((tmp_path / "evaluation.json").read_text())
    assert found.items() >= CARD.json().items()
    assert (found["step"], found["weights"], found["seed"], found["network"]) == (7, "best", 3, "cnn")
    drawn = {"sampler": "ddim", "steps": 50, "guidance": 2.0, "seed": 3, "control": {"edges": [0.5]}, "against": str(tmp_path / "weak")}
    assert found["sampling"] == drawn
    assert json.loads((tmp_path / "adherence.json").read_text())["edges"] == 0.5


def test_an_evaluation_is_made_once_of_the_same_weights_and_settings(tmp_path):
    run, settings, sampling = Run(tmp_path), EvaluateSettings(20), Sampling(control={"edges": [1.0, 0.1, 5.0]})
    run.log(step=7, loss=1.0)
    assert not is_evaluated(run, settings, sampling)
    write_result(run, CARD, measured_of(run, sampling, settings.features))
    assert is_evaluated(run, settings, sampling)
    assert not is_evaluated(run, EvaluateSettings(30), sampling) and not is_evaluated(run, EvaluateSettings(20, "inception"), sampling)
    assert not is_evaluated(run, settings, Sampling(steps=5))
    quick = settings.quick
    write_result(run, CARD, measured_of(run, sampling, quick.features) | {"n": quick.n})
    assert is_evaluated(run, settings, sampling) and is_evaluated(run, quick, sampling), "a quick one takes no other's place"
    assert (tmp_path / "quick_evaluation.json").is_file() and (quick.n, EvaluateSettings(30_000).quick.n) == (20, 1000)
    run.log(step=8, loss=1.0)
    assert not is_evaluated(run, settings, sampling)
    (tmp_path / "evaluation.json").write_text('{"step": 8')
    assert not is_evaluated(run, settings, sampling)
