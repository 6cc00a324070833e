"""How long a run is: images alone decide; minutes become images once."""

import json
import shutil
import signal
import threading
import time

import pytest

import fromnoise.training.loop as training
from fromnoise import config
from fromnoise.errors import Usage
from fromnoise.runs.folder import Run
from fromnoise.training.loop import train
from fromnoise.training.previews import Samples
from fromnoise.training.settings import TrainSettings
from fromnoise.training.state import Pace, State
from tests.training.test_train import cut_short, recipe, same

OWN = {key: f"tests.parts:{name}" for key, name in (("optimizer", "sgd"), ("weight", "twice"), ("distance", "cubed"), ("tracker", "Tracker"))}


def lines(folder) -> list[dict]:
    """A run's log without what differs when it is cut: times, and that it was."""
    kept = [e for e in Run(folder).entries() if e.get("event") not in ("started", "resumed", "stopped", "finished")]
    return [{key: value for key, value in entry.items() if key not in ("seconds", "images_per_second")} for entry in kept]


def cut_at(step: int, monkeypatch, run) -> None:
    """Runs until this step, and is then told to stop, as by Ctrl+C."""
    real = training._agreed
    with monkeypatch.context() as patch:
        counted = iter(range(1, 10**6))
        patch.setattr(training, "_agreed", lambda accelerator, *numbers: [numbers[0], 2 * (next(counted) == step), *numbers[2:]])
        with pytest.raises(training.Stopped):
            run()
    assert training._agreed is real


def test_images_and_steps_are_one_length():
    assert TrainSettings(steps=30, batch=16).total == TrainSettings(images=480, batch=16).total == 480
    assert TrainSettings(minutes=1).total is None
    with pytest.raises(Usage, match="one length at a time"):
        TrainSettings(images=480, minutes=1)


def test_a_length_on_the_command_line_replaces_the_recipes(tmp_path):
    file = tmp_path / "mine.yaml"
    file.write_text("train: {minutes: 5, lr: 0.1}\n")
    assert config.load(str(file)).train == {"minutes": 5, "lr": 0.1}
    assert config.load(str(file), ["train.steps=300"]).train == {"steps": 300, "lr": 0.1}
    assert config.load(str(file), ["train.images=1_000", "train.lr=1"]).train["images"] == 1000
    assert config.load(str(file), ["train.steps=300", "train.minutes=null"]).train == {"steps": 300, "minutes": None, "lr": 0.1}
    both = config.load(str(file), ["train.steps=300", "train.images=400"]).train
    with pytest.raises(Usage, match="one length at a time"):
        config.call(TrainSettings, both, "train")


def test_a_run_ends_at_the_first_step_that_has_seen_its_images(tmp_path, capfd):
    train(recipe(train={"steps": None, "images": 100, "evals": 0}), tmp_path / "run")
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert (summary["images"], summary["steps"]) == (112, 7)
    assert "done: 112 images (train.images) in 7 steps" in " ".join(capfd.readouterr().err.split())


def test_the_rate_is_a_function_of_images():
    """(images + batch) / warmup while it rises; then the course by the share of the run that is done; half of both at half the batch."""
    settings = TrainSettings(images=1000, batch=10, warmup=100, lr=1.0, rate="linear")
    rates = [State(images=n, total=1000).rate(settings) for n in (0, 40, 90, 500, 990)]
    assert rates == pytest.approx([0.1, 0.5 * 0.96, 0.91, 0.5, 0.01])
    assert State(images=500).rate(settings) == 1, "at the beginning of its course, until the length is known"
    own = TrainSettings(images=1000, batch=10, warmup=0, lr=1.0, rate=lambda done: done**2)
    assert State(images=500, total=1000).rate(own) == 0.25


def test_a_warmup_longer_than_the_run_is_a_tenth_of_it_and_said_once(tmp_path, monkeypatch):
    long = recipe(train={"warmup": 5000, "lr": 1.0, "rate": "constant"})
    cut_at(9, monkeypatch, lambda: train(long, tmp_path / "run", quiet=True))
    run = train(long, tmp_path / "run", quiet=True)
    said = [entry["why"] for entry in run.entries() if entry.get("event") == "warm-up"]
    assert said == ["train.warmup is 5,000 images, longer than the run of 320; the rate rises over 32, a tenth of it"]
    assert [entry["lr"] for entry in run.entries() if "lr" in entry][:3] == [0.5, 1.0, 1.0]


def test_evaluations_are_due_at_even_shares_of_the_images():
    state, due = State(total=1000, evals=4), []
    while state.done < 1:
        state.images += 30
        if state.evaluation_due(30):
            state.evaluated = state.images
            due.append(state.images)
    assert due == [270, 510, 750]
    assert not State(images=260, total=1000, evals=4, evaluated=180).evaluation_due(30), "one was taken shortly before"


def test_minutes_become_images_by_the_speed_that_was_measured():
    """100 images a second, the first three steps slower: 60 s hold 20 s of slow steps, 0.5 s of each evaluation, and images for the rest."""
    settings, state = TrainSettings(minutes=1, batch=10, evals=10), State()
    pace, speed = Pace(state, settings), None
    while speed is None:
        state.step, state.images = state.step + 1, state.images + 10
        state.seconds += 0.1 if state.step > 3 else 0.5
        speed = pace.speed(state)
    assert speed == pytest.approx(100) and 12 <= state.seconds <= 12.2
    state.seconds += 0.5  # an evaluation
    said = state.decide(settings, speed, 0.5)
    assert state.evals == 3 and state.total == pytest.approx(state.images + 100 * (60 - state.seconds - 2 * 0.5), abs=10)
    assert said.startswith(f"1 min are {state.total:,} images, at 100.0 a second") and state.total % 10 == 0
    total = state.total
    assert state.begin(settings) is None and state.total == total, "known once, it stays"
    state.images, state.seconds = total, 60.0
    assert "images from now on" in state.begin(TrainSettings(minutes=2, batch=10)) and state.total == pytest.approx(2 * total, rel=0.01)


def test_a_run_of_minutes_is_one_of_images_once_the_speed_is_known(tmp_path, monkeypatch):
    timed = recipe(train={"steps": None, "minutes": 0.02, "log_every": 1, "warmup": 0})
    run = train(timed, tmp_path / "run", quiet=True)
    state = run.load_checkpoint()["state"]
    events = [entry for entry in run.entries() if entry.get("event") == "length"]
    assert len(events) == 1 and f"{state['total']:,} images" in events[0]["why"]
    assert state["images"] == state["total"] and 1 <= state["evals"] <= 2
    before = [entry["lr"] for entry in run.entries() if "lr" in entry and entry["step"] <= events[0]["step"]]
    assert set(before) == {1e-3}, "the beginning of the course, until then"


def test_a_run_of_minutes_goes_on_exactly_once_its_length_is_known(tmp_path, monkeypatch):
    """Cut half-way and gone on with twice, once on a machine whose clock says something else: the same run."""
    timed = recipe(train={"steps": None, "minutes": 0.02, "warmup": 0, "save_every": 1, "held_out": 4})
    cut_short(timed, tmp_path / "one", monkeypatch, lambda state: state.done > 0.5)
    saved = Run(tmp_path / "one").load_checkpoint()["state"]
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    train(timed, tmp_path / "one", quiet=True)
    monkeypatch.setattr(training.time, "perf_counter", lambda: 7 * time.monotonic())
    train(timed, tmp_path / "two", quiet=True)
    assert lines(tmp_path / "one") == lines(tmp_path / "two") and same(tmp_path / "one", tmp_path / "two")
    assert Run(tmp_path / "two").load_checkpoint()["state"]["images"] == saved["total"] > saved["images"]


@pytest.mark.parametrize("step", [1, 7, 10, 19])
def test_a_run_that_is_stopped_and_resumed_has_the_log_of_an_uninterrupted_one(tmp_path, monkeypatch, step):
    """Lines at every 3rd step, evaluations and saves in between: losses, their running mean, rates, norms, held-out losses are the same."""
    settings = recipe(train={"log_every": 3, "evals": 4, "save_every": 5, "rate": "plateau"})
    train(settings, tmp_path / "whole", quiet=True)
    cut_at(step, monkeypatch, lambda: train(settings, tmp_path / "cut", quiet=True))
    assert Run(tmp_path / "cut").load_checkpoint()["state"]["step"] == step
    train(settings, tmp_path / "cut", quiet=True)
    assert lines(tmp_path / "cut") == lines(tmp_path / "whole") and len(lines(tmp_path / "whole")) == 8 + 4
    assert same(tmp_path / "cut", tmp_path / "whole")


def test_training_works_off_the_main_thread_and_leaves_the_process_alone(tmp_path):
    """No signal handler is touched, and the caller's random stream goes on as if nothing had been."""
    import os

    import torch

    before, failed = signal.getsignal(signal.SIGINT), []
    umask = os.umask(0o027)
    try:
        torch.manual_seed(3)
        stream = torch.get_rng_state()

        def work() -> None:
            try:
                train(recipe(train={"steps": 3, "evals": 1}) | {"network": {"name": "unet", "width": 8, "levels": [1], "dropout": 0.3}},
                      tmp_path / "run", quiet=True)  # fmt: skip
            except BaseException as error:
                failed.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        assert not failed and (tmp_path / "run" / "summary.json").is_file()
        assert torch.equal(torch.get_rng_state(), stream) and signal.getsignal(signal.SIGINT) is before
        assert (tmp_path / "run" / "config.yaml").stat().st_mode & 0o777 == 0o640, "files are as the user's umask says"
    finally:
        assert os.umask(umask) == 0o027


def test_parts_of_ones_own_train(tmp_path):
    """By module:Name; and what is misspelt is named."""
    for key in ("optimizer", "rate", "weight", "distance", "penalty", "tracker"):
        with pytest.raises(Usage, match=f"no train.{key} 'nonsense'"):
            TrainSettings(steps=2, **{key: "nonsense"})
    train(recipe(train={"steps": 2, "evals": 0, "warmup": 0, "rate": "tests.parts:falling", **OWN}), tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "tracked.txt").read_text().splitlines() == ["1", "2", "closed"]
    assert [entry["lr"] for entry in Run(tmp_path / "run").entries() if "lr" in entry] == [1e-3, 0.5e-3]


def test_a_signal_during_an_evaluation_ends_it_at_once_and_the_resumed_run_makes_up_for_it(tmp_path, monkeypatch, capfd):
    """It comes as a picture's first step is taken, or the first held-out loss: neither is finished, and the log is that of an uninterrupted run."""
    settings = recipe(train={"evals": 4, "rate": "plateau"})
    train(settings, tmp_path / "whole", quiet=True)
    for kind, method, name in ((training.Monitor, "held_out", "early"), (Samples, "grid", "late")):
        real, calls = getattr(kind, method), []

        def interrupted(self, *rest, real=real, calls=calls):
            calls.append(1)
            if len(calls) == 2:
                signal.raise_signal(signal.SIGINT)
                signal.raise_signal(signal.SIGINT)  # as torchrun hands it on
            return real(self, *rest)

        monkeypatch.setattr(Samples, "drawable", lambda self, seconds: 10**6)
        with monkeypatch.context() as patch:
            patch.setattr(kind, method, interrupted)
            with pytest.raises(training.Stopped):
                train(settings, tmp_path / name)
        assert "stopping: saving" in capfd.readouterr().err
        assert Run(tmp_path / name).load_checkpoint()["state"]["step"] == 10 and len(calls) == 2
        assert not (tmp_path / name / "samples" / "step_00000010.png").exists()
        train(settings, tmp_path / name, quiet=True)
        assert lines(tmp_path / name) == lines(tmp_path / "whole") and same(tmp_path / name, tmp_path / "whole")


def test_a_signal_at_the_end_leaves_the_last_pictures_for_the_next_time(tmp_path, monkeypatch):
    settings = recipe(train={"steps": 3, "evals": 0})
    with monkeypatch.context() as patch:
        patch.setattr(Samples, "drawable", lambda self, seconds: signal.raise_signal(signal.SIGINT) or 8)
        with pytest.raises(training.Stopped):
            train(settings, tmp_path / "run", quiet=True)
    assert not (tmp_path / "run" / "samples" / "final.png").exists() and not Run(tmp_path / "run").finished(3)
    train(settings, tmp_path / "run", quiet=True)
    assert (tmp_path / "run" / "samples" / "final.png").is_file() and Run(tmp_path / "run").finished(3)


def test_two_signals_within_half_a_second_are_one_and_a_later_one_ends_the_process(monkeypatch):
    now, said = [100.0], []
    monkeypatch.setattr(training.time, "monotonic", lambda: now[0])
    with training.signals(lambda: said.append(1)) as noted:
        for moment in (100.0, 100.4):
            now[0] = moment
            signal.raise_signal(signal.SIGINT)
        assert noted == [signal.SIGINT] and said == [1]
        now[0] = 100.6
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_all_looks_together_take_a_tenth_of_the_run():
    """100 s, ten looks: a second each, and what one leaves is there for the next; the last ends at ten seconds."""
    settings = TrainSettings(images=1000, batch=10, evals=10)
    state = State(images=100, total=1000, evals=10, seconds=10.0)
    assert state.seconds_left(settings) == pytest.approx(0.1 * 100 * 0.2)
    assert State(images=100, total=1000).share(settings) == 0.1 == State(seconds=6.0).share(TrainSettings(minutes=1)), "by the clock until images are known"
    state = State(images=900, total=1000, evals=10, seconds=99.0, evaluating=9.0)
    assert state.seconds_left(settings) == pytest.approx(0.1 * 100 - 9.0)
    assert State(seconds=18.0).seconds_left(TrainSettings(minutes=1.5, evals=10)) == pytest.approx(0.1 * 90 * 0.3)


def test_a_held_out_loss_is_of_as_many_examples_as_a_twentieth_of_the_run_allows_and_of_as_many_ever_after():
    settings = TrainSettings(images=28_000, batch=10, evals=10, held_out=256)
    state = State(total=28_000, evals=10)
    assert state.held_out_share(settings, 7) == 60, "3 x 0.05 x 28,000 passes, for 10 looks at 7 levels"
    state.total = 10**9
    assert state.held_out_share(settings, 7) == 60
    assert State(total=10**9, evals=10).held_out_share(settings, 7) == 256 and State(total=100, evals=10).held_out_share(settings, 7) == 16


def test_a_run_too_short_for_its_grids_leaves_some_out_and_draws_a_row_at_its_end(tmp_path, monkeypatch, capfd):
    from PIL import Image

    monkeypatch.setattr(Samples, "drawable", lambda self, seconds: 0)
    train(recipe(train={"evals": 4}), tmp_path / "run")
    assert "no grid yet" in (said := " ".join(capfd.readouterr().err.split())) and said.count("no grid yet") == 1
    assert "drawing the last pictures, for about" in said
    assert [file.name for file in (tmp_path / "run" / "samples").glob("step_*")] == ["step_00000020.png"]
    with Image.open(tmp_path / "run" / "samples" / "final.png") as final:
        assert final.height < 2 * 64 < final.width, "one row"


def test_lines_come_by_time_as_well_as_by_steps(tmp_path, monkeypatch):
    """A step of 31 seconds has a line of its own, whatever log_every is."""
    import fromnoise.training.monitor as monitor

    monkeypatch.setattr(monitor, "SILENCE", -1)
    run = train(recipe(train={"steps": 5, "log_every": 1000, "evals": 0}), tmp_path / "run", quiet=True)
    assert [entry["step"] for entry in run.entries() if "loss" in entry] == [1, 2, 3, 4, 5]
