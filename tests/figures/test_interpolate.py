from dataclasses import replace

import torch
from PIL import Image

from fromnoise.editing import between
from fromnoise.figures import guidance, interpolate, latent_walk, sweep, tiles
from fromnoise.model import Sampling

from .pixels import holds

FEW = Sampling("ddim", 3)


def test_rows_hold_what_lies_between_and_name_the_ends(labelled):
    noises = torch.stack([labelled.start(2, seed) for seed in (0, 1, 2)])
    picture = interpolate(labelled, noises, 5, ends=["a", "b", "c"], sampling=FEW)
    for row in between(labelled, noises, 5, sampling=FEW):
        for tile in tiles(row):
            assert holds(picture, tile) >= 1
    assert picture.height > interpolate(labelled, noises, 5, sampling=FEW).height, "the names have a line of their own"


def test_a_square_has_the_four_seeds_in_its_corners(labelled):
    noises = torch.stack([labelled.start(1, seed) for seed in range(4)])
    picture = interpolate(labelled, noises, 3, square=True, sampling=FEW, label=1)
    edge = (picture.width - 2) // 3
    for i, seed in enumerate(range(4)):
        corner = picture.crop(((i % 2) * 2 * edge, (i // 2) * 2 * edge, (i % 2) * 2 * edge + edge + 2, (i // 2) * 2 * edge + edge + 2))
        assert holds(corner, tiles(labelled.sample(1, replace(FEW, seed=seed), label=1))[0]) == 1


def test_points_walk_as_clouds(points, tmp_path):
    noises = torch.stack([points.start(50, seed) for seed in (0, 1)])
    with Image.open(latent_walk(points, noises, tmp_path / "w.gif", 4, sampling=FEW)) as film:
        assert film.n_frames == 4
    assert holds(interpolate(points, noises, 3, sampling=FEW), tiles(points.sample(50, replace(FEW, seed=1)))[0]) == 1


def test_guidance_against_steps_is_the_same_seeds_in_every_cell(labelled):
    picture = guidance(labelled, [1, 3], [2, 4], 2, Sampling(seed=5), label=[0, 2])
    for scale in (1, 3):
        for steps in (2, 4):
            for tile in tiles(labelled.sample(2, Sampling(steps=steps, guidance=scale, seed=5), label=[0, 2])):
                assert holds(picture, tile) >= 1


def test_scale_1_of_guidance_against_another_is_the_model_alone(labelled):
    """At 1 there is nothing to lead away from, so the row is that of the model without a negative label."""
    sampling = Sampling(steps=2, negative={"label": 0})
    rows = guidance(labelled, [1, 3], [2], 2, sampling, label=[1, 2]), sweep(labelled, "guidance", [1, 3], 2, sampling, label=[1, 2])
    for picture in rows:
        for walk in (Sampling(steps=2), replace(sampling, guidance=3.0)):
            for tile in tiles(labelled.sample(2, walk, label=[1, 2])):
                assert holds(picture, tile) >= 1


def test_rows_and_cells_say_their_class_or_caption(labelled, monkeypatch):
    seen = {}
    monkeypatch.setitem(interpolate.__globals__, "strip", lambda rows, names, columns: seen.update(rows=names))
    interpolate(labelled, torch.stack([labelled.start(3, seed) for seed in (0, 1)]), 2, sampling=FEW, label=[2, 0, 1])
    assert seen["rows"] == [labelled.classes[i] for i in (2, 0, 1)]
    monkeypatch.setitem(guidance.__globals__, "strip", lambda rows, names, columns: seen.update(cells=names))
    guidance(labelled, [1, 3], [2], 4, FEW, label=[0, 1, 2, 0])
    a, b, c = labelled.classes[:3]
    assert seen["cells"] == [f"guidance {scale}\n{a}, {b}\n{c}, {a}" for scale in (1, 3)]
