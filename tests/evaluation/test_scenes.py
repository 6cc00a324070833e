import dataclasses

import numpy as np
import pytest
import torch

from fromnoise.data import DATASETS
from fromnoise.data.sets.shapes import NAMES, OTHER_WAY, PAINTS, RADII, RELATIONS, SIDES, Scene, Thing, picture, read_caption
from fromnoise.errors import Usage
from fromnoise.evaluation.metrics.scenes import Tally, seen, tallied


@pytest.mark.parametrize("size", [32, 48])
def test_the_judge_reads_what_was_drawn(size):
    data = DATASETS["shapes_text"](size=size, count=300, split="test")
    found = tallied(data.get(torch.arange(300))["x"], data.text)
    assert found.share == 1.0 and found.mistakes() == []


def test_the_judge_is_not_easily_pleased():
    data = DATASETS["shapes_text"](count=200)
    assert tallied(data.get(torch.arange(199))["x"], data.text[1:]).share < 0.02
    noisy = data.get(torch.arange(200))["x"] + 0.06 * torch.randn(200, 3, 32, 32)  # as grainy as samples are at worst
    assert 0.9 < tallied(noisy, data.text).share


CHANGES = {
    "size": lambda thing: dataclasses.replace(thing, size="small" if thing.size == "large" else "large"),
    "colour": lambda thing: dataclasses.replace(thing, colour=PAINTS[PAINTS.index(thing.colour) - 1]),
    "shape": lambda thing: dataclasses.replace(thing, name=NAMES[NAMES.index(thing.name) - 1]),
}


@pytest.mark.parametrize("attribute", CHANGES)
def test_one_wrong_attribute_is_found_and_only_that(attribute):
    first, second = Thing("large", "red", "circle"), Thing("small", "blue", "square")
    drawn = picture(32, (CHANGES[attribute](first), second), [(0.25, 0.5), (0.75, 0.5)], (0.0, 0.0))
    tally = Tally()
    assert not tally.add(drawn, str(Scene((first, second), "left of")))
    assert tally.of(attribute) == 0.5
    assert all(tally.of(other) == 1 for other in (*CHANGES, "count", "relation") if other != attribute)


def test_relations_and_counts():
    first, second = Thing("large", "red", "circle"), Thing("small", "blue", "square")
    places = {"left of": (0.25, 0.5), "right of": (0.75, 0.5), "above": (0.5, 0.25), "below": (0.5, 0.75)}
    for relation in RELATIONS:
        drawn = picture(32, (first, second), [places[relation], places[OTHER_WAY[relation]]], (0.0, 0.0))
        for said in RELATIONS:
            tally = Tally()
            assert tally.add(drawn, str(Scene((first, second), said))) == (said == relation)
            assert tally.of("relation") == (said == relation) and tally.of("colour") == 1
    tally = Tally()
    assert not tally.add(drawn, str(first)) and tally.of("count") == 0 and not tally.checked["colour"]
    assert seen(np.full((32, 32, 3), (24, 26, 34), np.uint8)) == []


def test_the_side_of_a_thing_alone():
    thing, places = Thing("small", "blue", "cross"), dict(zip(SIDES, [(0.3, 0.6), (0.7, 0.4), (0.4, 0.3), (0.6, 0.7)], strict=True))
    for place in places.values():
        drawn = picture(32, (thing,), [place], (0.0, 0.0))
        assert Tally().add(drawn, str(thing))
        for said in SIDES:
            dx, dy = SIDES[said]
            assert Tally().add(drawn, str(Scene((thing,), said))) == (dx * (place[0] - 0.5) + dy * (place[1] - 0.5) > 0)
    data = DATASETS["shapes_text"](count=300)
    alone = [i for i, text in enumerate(data.text) if len(read_caption(text).things) == 1]
    assert {read_caption(data.text[i]).relation for i in alone} == {"", *SIDES}
    assert tallied(data.get(torch.tensor(alone))["x"], [data.text[i] for i in alone]).share == 1.0


def test_captions_are_read_back_and_held_out_both_ways_round():
    for text in DATASETS["shapes_text"](count=200).text:
        scene = read_caption(text)
        assert str(scene) == text and not scene.held_out
        if len(scene.things) == 2:
            assert Scene(scene.things[::-1], OTHER_WAY[scene.relation]).held_out == scene.held_out
    test = DATASETS["shapes_text"](count=200, split="test").text
    assert all(read_caption(text).held_out for text in test)
    everything = [Scene((Thing(*a), Thing(*b)), r) for a in _things() for b in _things()[::7] for r in RELATIONS]
    assert sum(scene.held_out for scene in everything) / len(everything) == pytest.approx(0.1, abs=0.02)


def _things():
    return [(size, paint, name) for size in RADII for paint in PAINTS for name in NAMES]


@pytest.mark.parametrize("text", ["", "a red circle", "a huge red circle", "a large red circle near a small blue square"])
def test_other_captions_are_refused(text):
    with pytest.raises(Usage, match="is no caption of these scenes"):
        read_caption(text)


def test_what_the_scenes_cannot_be():
    with pytest.raises(Usage, match="size >= 24"):
        DATASETS["shapes_text"](size=8)
