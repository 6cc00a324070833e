"""A plan's promises: every epoch a permutation, ranks that partition, and nothing but (seed, step, rank) to depend on."""

import pytest
import torch

from fromnoise.data import Plan
from fromnoise.errors import Usage


@pytest.mark.parametrize("size, batch", [(12, 4), (10, 4), (3, 7), (1, 1), (257, 64)])
def test_every_epoch_is_a_permutation(size, batch):
    plan = Plan(size, batch, seed=5)
    stream = torch.cat([plan(step) for step in range(4 * size)])
    for epoch in range(len(stream) // size):
        assert sorted(stream[epoch * size : (epoch + 1) * size].tolist()) == list(range(size))


def test_epochs_and_seeds_differ():
    first, second = (torch.cat([Plan(100, 50)(step) for step in steps]) for steps in ((0, 1), (2, 3)))
    assert not torch.equal(first, second)
    assert not torch.equal(first, torch.cat([Plan(100, 50, seed=1)(step) for step in (0, 1)]))


@pytest.mark.parametrize("world", [2, 3, 8])
def test_ranks_together_are_one_process_alone(world):
    alone = Plan(1000, 4 * world, seed=3)
    ranks = [Plan(1000, 4, seed=3, rank=rank, world=world) for rank in range(world)]
    for step in (0, 1, 17, 500):
        assert torch.equal(torch.cat([rank(step) for rank in ranks]), alone(step))
        assert torch.equal(torch.cat([rank.draws(step).rand() for rank in ranks]), alone.draws(step).rand())


def test_a_step_does_not_depend_on_those_before():
    walked = [Plan(50, 8, seed=2)(step) for step in range(40)]
    for step in (39, 0, 20, 7):
        assert torch.equal(Plan(50, 8, seed=2)(step), walked[step])


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    Plan(50, 8)(3), Plan(50, 8).draws(3).rand()
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("kwargs", [dict(size=0, batch=1), dict(size=3, batch=0)])
def test_what_cannot_be(kwargs):
    with pytest.raises(Usage):
        Plan(**kwargs)
