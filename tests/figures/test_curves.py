import json
import math

import numpy as np
import pytest
import torch

from fromnoise.diffusion import SCHEDULES, Cosine, Flow, Table
from fromnoise.errors import Problem, Usage
from fromnoise.figures import curves, schedules
from fromnoise.figures.curves import loss, measured, smoothed
from fromnoise.figures.figure import COLOURS, figure, focus, plain, short, thinned
from fromnoise.figures.process import timed
from fromnoise.figures.schedules import alpha_bar, betas
from fromnoise.runs.log import read


def write_log(folder, *lines, tail=""):
    folder.mkdir(exist_ok=True)
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return folder


def line(step, **more):
    return {"step": step, "images": step * 8, "seconds": step * 0.5, **more}


def test_a_half_written_line_does_not_break_reading(tmp_path):
    log = read(write_log(tmp_path, line(1, loss=0.5), line(2, held_out=0.4), [1], 7, {"loss": 1}, tail='{"step": 3, "lo'))
    assert [e["loss"] for e in log.training] == [0.5] and [e["held_out"] for e in log.held_out] == [0.4] and log.last["step"] == 2


def test_any_cut_of_a_log_can_be_read(tmp_path):
    whole = "".join(json.dumps(line(i, loss=1 / i, event="saved")) + "\n" for i in range(1, 4))
    for end in range(len(whole)):
        (tmp_path / "log.jsonl").write_text(whole[:end])
        assert len(read(tmp_path).training) in (whole[:end].count("\n"), whole[: end + 1].count("\n"))


def test_no_log_is_an_empty_log(tmp_path):
    assert read(tmp_path).training == [] and read(tmp_path).last == {}


def test_steps_lived_again_replace_the_first_life(tmp_path):
    lives = [line(10, loss=1.0), line(20, loss=9.0), line(30, loss=9.0), line(15, event="resumed", why=""), line(20, loss=0.5)]
    log = read(write_log(tmp_path, *lives))
    assert [(e["step"], e["loss"]) for e in log.training] == [(10, 1.0), (20, 0.5)] and len(log.events) == 1


def test_smoothing_keeps_constants_lines_and_length():
    assert np.allclose(smoothed([3.0] * 200), 3)
    line = np.arange(500.0)
    assert np.allclose(smoothed(line)[:480], line[:480])  # does not lag
    noise = np.random.default_rng(0).normal(size=5000)
    assert np.std(smoothed(noise)[300:]) < 0.12 and smoothed([1.0, 5.0]) == [1.0, 5.0] and smoothed([]) == []


def test_thinning_keeps_the_ends():
    x, y = thinned(list(range(10001)), list(range(10001)), 100)
    assert len(x) <= 102 and (x[0], x[-1]) == (0, 10000) and x == y
    assert thinned([], []) == ([], [])


def test_numbers_in_few_letters():
    assert [short(v) for v in (7, 950, 20_000, 1_500_000, 7_421_508)] == ["7", "950", "20k", "1.5M", "7.42M"]
    assert [plain(v) for v in (0.002, 1200, 1e-5, 0)] == ["0.002", "1,200", "1e-5", "0"]


def test_curves_of_one_run_and_of_two(tmp_path):
    training = [line(i, loss=math.exp(-i / 50), lr=1e-3, images_per_second=100.0) for i in range(1, 200)]
    evals = [line(i, held_out=0.5, held_out_by_level={"0.05": 0.4, "0.95": 0.6}) for i in (50, 150)]
    one = write_log(tmp_path / "a", *training, *evals)
    two = write_log(tmp_path / "b", *training, line(200, loss=float("nan")), line(200, event="skipped", why="NaN"))
    alone, both = curves(one), curves(one, two, over="images")
    assert alone.width > 700 and both.width > 1000 and len(alone.getcolors(1 << 20)) > 50
    assert curves(write_log(tmp_path / "c", training[0])).width > 700  # a single line is enough


def test_curves_say_what_is_missing(tmp_path):
    with pytest.raises(Problem, match="no losses logged"):
        curves(tmp_path)
    with pytest.raises(Usage, match="did you mean 'images'"):
        curves(tmp_path, over="image")


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_gives_betas_and_alpha_bar(name):
    schedule = SCHEDULES[name]()
    beta, bar = betas(schedule), alpha_bar(schedule, torch.linspace(0, 1, 50, dtype=torch.float64))
    assert ((beta >= 0) & (beta <= 1)).all() and ((bar >= 0) & (bar <= 1)).all() and (bar.diff() <= 1e-9).all()


def test_alpha_bar_is_what_the_papers_say():
    t = torch.tensor([0.0, 0.25, 0.5], dtype=torch.float64)
    assert torch.allclose(alpha_bar(Cosine(), t), torch.cos(t * math.pi / 2) ** 2)
    assert torch.allclose(alpha_bar(Flow(), t), (1 - t) ** 2 / ((1 - t) ** 2 + t**2))


def test_betas_of_ddpm_and_of_a_curve():
    assert torch.allclose(betas(Table()), torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    product = (1 - betas(Cosine(high=0.9))).cumprod(0)
    assert torch.allclose(product[-1], torch.cos(torch.tensor(0.45 * math.pi, dtype=torch.float64)) ** 2)


def test_steps_of_a_table_stand_beside_t():
    table, half = Table(steps=1000), torch.tensor(0.5, dtype=torch.float64)
    assert timed(table, 0.5, table(half)) == "t 0.50 · step 500" and timed(table, 1, table(2 * half)) == "t 1.00 · step 999"
    assert timed(Flow(), 0.5, Flow()(half)) == "t 0.50"


def test_schedules_with_pictures_and_points():
    compared = {"cosine": Cosine(), "DDPM": Table(steps=100)}
    bare = schedules(compared)
    assert schedules(compared, torch.zeros(1, 1, 8, 8), times=4).height > bare.height + 2 * 64
    assert schedules(compared, torch.randn(50, 2), times=4).height > bare.height + 2 * 144
    with pytest.raises(Usage):
        schedules({})


def test_names_of_runs_are_drawn_as_they_are(tmp_path):
    """What stands between two $ is no formula, which this one would not even be."""
    runs = [write_log(tmp_path / name, line(1, loss=0.5), line(2, loss=0.4)) for name in (r"a$\frac{$", "b")]
    assert curves(*runs).width > 100


def test_one_spike_squashes_no_curve_and_is_marked(tmp_path):
    lines = [line(i, loss=4e4 if i == 50 else 1 / i) for i in range(1, 101)]
    _, (axes,) = figure()
    loss(axes, {"run": read(write_log(tmp_path, *lines))})
    assert axes.get_ylim()[1] < 2 and [text.get_text() for text in axes.texts] == ["▲ up to 40,000"]


def test_a_point_far_out_is_marked_at_the_edge_and_the_others_fill_the_axes():
    _, (axes,) = figure()
    points = [(float(i), i / 10, COLOURS[0]) for i in range(8)] + [(8.0, 600.0, COLOURS[1])]
    axes.plot([x for x, *_ in points], [y for _, y, _ in points])
    focus(axes, points, "y", 0.9)
    assert axes.get_ylim() == (0, pytest.approx(0.9 * 1.12))
    assert [text.get_text() for text in axes.texts] == ["600"] and axes.texts[0].xy == (8.0, axes.get_ylim()[1])


def test_axes_say_what_they_count(tmp_path):
    logs = {"run": read(write_log(tmp_path, *(line(i, loss=0.1, images_per_second=9.0, lr=1e-3) for i in range(1, 5))))}
    for over, below in (("seconds", "training time (s)"), ("images", "images seen")):
        _, (axes,) = figure()
        measured(axes, logs, "images_per_second", over)
        assert (axes.get_xlabel(), axes.get_ylabel()) == (below, "images/s")
