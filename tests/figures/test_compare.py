import importlib
from dataclasses import replace

import numpy as np
import pytest

from fromnoise.errors import Usage
from fromnoise.figures import by_class, compare, sweep, tiles
from fromnoise.model import Sampling

from .pixels import holds


@pytest.fixture
def compared(monkeypatch):
    """(model, specs, …) -> the rows of tiles and their names."""
    module, found = importlib.import_module("fromnoise.figures.compare"), []  # the package's name of it is the function
    monkeypatch.setattr(module, "strip", lambda rows, names, columns: found.append((rows, names)))
    return lambda *args, **words: compare(*args, **words) or found.pop()


def test_evaluations_are_counted_as_the_papers_count_them(compared, model, labelled):
    _, names = compared(model, [("ddim", 7), ("ddpm", 9), ("heun", 5), ("dpmpp_2m", 4)], n=3)
    evaluations = [int(name.split("\n")[1].split(" function evaluations (NFE), ")[0]) for name in names]
    assert evaluations == [7, 9, 2 * 5 - 1, 4]  # Heun's last step is Euler's (Karras et al. 2022, algorithm 1)
    assert "14 function evaluations (NFE)" in compared(labelled, [("ddim", 7)], n=3, sampling=Sampling(guidance=2.0))[1][0]
    assert not model.denoiser._forward_pre_hooks and not model.denoiser.network._forward_pre_hooks


def test_the_noise_is_the_same(compared, model):
    (first, second), _ = compared(model, [("ddim", 5), ("euler", 5)], n=2, sampling=Sampling(seed=4))
    for one, other in zip(first, second, strict=True):
        assert np.abs(np.asarray(one).astype(int) - np.asarray(other)).max() <= 1  # DDIM is Euler's method


def test_compare_shows_what_was_drawn(labelled):
    picture = compare(labelled, [("ddim", 3), ("dpmpp_2m", 3)], n=2, label=[2, 0])
    for sampler in ("ddim", "dpmpp_2m"):
        for tile in tiles(labelled.sample(2, Sampling(sampler, 3), label=[2, 0])):
            assert holds(picture, tile) >= 1
    with pytest.raises(Usage):
        compare(labelled, [])
    with pytest.raises(Usage, match="no sampler 'dimm'"):
        compare(labelled, [("dimm", 3)])


def test_sweep_of_eta_begins_with_ddim_and_ends_with_ddpm(model):
    picture = sweep(model, "eta", [0.0, 1.0], 2, Sampling("ddim", 6))
    for sampler in ("ddim", "ddpm"):
        for tile in tiles(model.sample(2, Sampling(sampler, 6))):
            assert holds(picture, tile) == 1


def test_sweep_of_guidance_from_the_unconditional_to_the_conditional(labelled):
    picture = sweep(labelled, "guidance", [0, 1], 3, Sampling("ddim", 4))
    for label in (None, [0, 1, 2]):
        for tile in tiles(labelled.sample(3, Sampling("ddim", 4), label=label)):
            assert holds(picture, tile) == 1


def test_sweep_is_of_ddim_and_else_the_models_own(points):
    points.sampling = replace(points.sampling, sampler="heun", seed=3)
    picture = sweep(points, "steps", [2.0, 5.0])
    for steps in (2, 5):
        assert holds(picture, tiles(points.sample(1000, Sampling("ddim", steps, seed=3)))[0]) == 1


def test_sweep_says_what_cannot_be(model):
    with pytest.raises(Usage, match="at least one value"):
        sweep(model, "eta", [])
    with pytest.raises(Usage, match="no option 'etta'"):
        sweep(model, "etta", [1])
    with pytest.raises(Usage, match="whole number"):
        sweep(model, "steps", [2.5])


@pytest.mark.parametrize("draw", [lambda m, **c: compare(m, n=2, **c), lambda m, **c: sweep(m, "eta", [0, 1], **c), by_class])
def test_what_belongs_to_sampling_is_no_condition(labelled, draw):
    with pytest.raises(Usage, match="no condition 'steps'"):
        draw(labelled, steps=3)


def test_classes_stand_in_columns(labelled, monkeypatch):
    monkeypatch.setattr(labelled, "sample", lambda n, _, label: (label - 1.0).reshape(n, 1, 1, 1).expand(n, 3, 8, 8))
    picture = by_class(labelled, rows=2)
    row = [picture.getpixel((x, picture.height - 30))[0] for x in range(picture.width)]
    assert [value for i, value in enumerate(row) if i == 0 or value != row[i - 1]] == [255, 0, 255, 128, 255]  # black, grey, white on white
    with pytest.raises(Usage, match="no classes"):
        labelled.conditions.clear()
        by_class(labelled)
