import torch
from PIL import Image

from fromnoise.editing import between
from fromnoise.figures import guidance, interpolate, latent_walk, tiles

from .pixels import holds


def test_rows_hold_what_lies_between_and_name_the_ends(labelled):
    noises = torch.stack([labelled.start(2, seed) for seed in (0, 1, 2)])
    picture = interpolate(labelled, noises, 5, ends=["a", "b", "c"], steps=3)
    for row in between(labelled, noises, 5, steps=3):
        for tile in tiles(row):
            assert holds(picture, tile) >= 1
    assert picture.height > interpolate(labelled, noises, 5, steps=3).height, "the names have a line of their own"


def test_a_square_has_the_four_seeds_in_its_corners(labelled):
    noises = torch.stack([labelled.start(1, seed) for seed in range(4)])
    picture = interpolate(labelled, noises, 3, square=True, steps=3, label=1)
    edge = (picture.width - 2) // 3
    for i, seed in enumerate(range(4)):
        corner = picture.crop(((i % 2) * 2 * edge, (i // 2) * 2 * edge, (i % 2) * 2 * edge + edge + 2, (i // 2) * 2 * edge + edge + 2))
        assert holds(corner, tiles(labelled.sample(1, seed=seed, sampler="ddim", steps=3, label=1))[0]) == 1


def test_points_walk_as_clouds(points, tmp_path):
    noises = torch.stack([points.start(50, seed) for seed in (0, 1)])
    with Image.open(latent_walk(points, noises, tmp_path / "w.gif", 4, steps=2)) as film:
        assert film.n_frames == 4
    assert holds(interpolate(points, noises, 3, steps=2), tiles(points.sample(50, seed=1, sampler="ddim", steps=2))[0]) == 1


def test_guidance_against_steps_is_the_same_seeds_in_every_cell(labelled):
    picture = guidance(labelled, [1, 3], [2, 4], n=2, label=[0, 2], seed=5)
    for scale in (1, 3):
        for steps in (2, 4):
            for tile in tiles(labelled.sample(2, guidance=scale, steps=steps, label=[0, 2], seed=5)):
                assert holds(picture, tile) >= 1
