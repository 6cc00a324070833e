"""Random numbers of a batch do not depend on how it is cut."""

import torch

from fromnoise.draws import Draws, mixed


def draws(rows: range = range(12), key=(0, 5)) -> Draws:
    return Draws(key, rows, 12)


def test_parts_and_ranks_draw_what_the_whole_draws():
    for what in (lambda d: d.rand(3), lambda d: d.randn(2, 4), lambda d: d.randperm()):
        whole = what(draws())
        assert len(whole) == 12
        for cut in (3, 5, 12):
            assert torch.equal(torch.cat([what(draws().part(slice(i, min(i + cut, 12)))) for i in range(0, 12, cut)]), whole)
        ranks = [Draws((0, 5), range(r * 6, r * 6 + 6), 12) for r in range(2)]
        assert torch.equal(torch.cat([what(rank) for rank in ranks]), whole)
        assert torch.equal(torch.cat([what(ranks[1].part(slice(i, i + 3))) for i in (0, 3)]), whole[6:])


def test_streams_go_on_and_are_apart():
    one = draws()
    first, second = one.rand(), one.rand()
    assert not torch.equal(first, second) and torch.equal(draws().rand(), first)
    others = [draws().of("noise"), draws().of("levels"), draws(key=(0, 6)), draws(key=(1, 5))]
    assert all(not torch.equal(other.rand(), first) for other in others)
    assert torch.equal(draws().of("noise").rand(), draws().of("noise").rand())


def test_the_permutation_is_one_and_uniform_numbers_are_uniform():
    assert sorted(draws().randperm().tolist()) == list(range(12))
    many = Draws(("x",), range(20_000), 20_000)
    assert abs(float(many.rand().mean()) - 0.5) < 4 * (1 / 12 / 20_000) ** 0.5 and abs(float(many.randn().std()) - 1) < 0.03


def test_seeds_of_neighbours_share_nothing():
    assert len({mixed("noise", seed, step) for seed in range(20) for step in range(20)}) == 400
    assert 0 <= mixed("a") < 2**63
