"""Everything with everything: each pair of choices over the registries is built, trained a step and sampled at least once."""

import inspect
import itertools

import pytest
import torch

from fromnoise.conditions import Label
from fromnoise.config import Recipe
from fromnoise.diffusion import PREDICT, SCHEDULES, WEIGHTS
from fromnoise.errors import Usage
from fromnoise.model import build_autoencoder
from fromnoise.networks import NETWORKS
from fromnoise.runs import Run
from fromnoise.samplers import SAMPLERS
from tests.parts import built

AXES = {
    "network": list(NETWORKS),
    "predict": list(PREDICT),
    "noise": list(SCHEDULES),
    "sampler": list(SAMPLERS),
    "label": ["none", "as it likes", *Label.ways],
    "weight": list(WEIGHTS),
    "autoencoder": ["identity", "conv_ae", "conv_vae", "kl", "tiny", "vq"],
    "examples": ["pictures", "signals", "volumes", "clips"],
}
SMALL = {
    "mlp": {"width": 16, "depth": 1},
    "two_linear": {"width": 16, "vector": 8},
    "conv": {"width": 8, "kernel": 3},
    "unet": {"width": 8, "levels": [1, 2], "blocks": 1},
}
STAGES = {
    "conv_ae": {"widths": [8, 8], "latent": 3, "groups": 4},
    "conv_vae": {"widths": [8], "latent": 3},
    "kl": {"width": 8, "levels": [1, 1], "blocks": 1, "latent": 3},
    "tiny": {"width": 8, "blocks": [1, 1], "latent": 3},
    "vq": {"width": 8, "levels": [1, 1], "blocks": 1, "codes": 16},
}
SHAPES = {"pictures": (2, 5, 6), "signals": (2, 6), "volumes": (2, 4, 3, 4), "clips": (2, 4, 3, 4)}  # the last by temporal layers, where a network has them
TEMPORAL = [name for name, network in NETWORKS.items() if "temporal" in inspect.signature(network).parameters]


def pairs(row: tuple) -> set:
    return set(itertools.combinations(enumerate(row), 2))


def covering(axes: list[list]) -> list[tuple]:
    """Rows in which every pair of values of two axes meets, found greedily: each row begins with a pair still missing."""
    missing = {
        pair
        for a, b in itertools.combinations(range(len(axes)), 2)
        for pair in itertools.product(((a, v) for v in axes[a]), ((b, v) for v in axes[b]))
    }
    rows = []
    while missing:
        (a, first), (b, second) = min(missing, key=repr)
        row = {a: first, b: second}
        for axis in range(len(axes)):
            if axis not in row:
                gain = lambda v: sum(tuple(sorted([(axis, v), (k, w)])) in missing for k, w in row.items())  # noqa: B023, E731
                row[axis] = max(axes[axis], key=gain)
        rows.append(tuple(row[axis] for axis in range(len(axes))))
        missing -= pairs(rows[-1])
    return rows


ROWS = covering(list(AXES.values()))


def test_the_rows_hold_every_pair():
    met = set().union(*map(pairs, ROWS))
    for (a, first), (b, second) in itertools.combinations(enumerate(AXES.values()), 2):
        assert all(((a, v), (b, w)) in met for v in first for w in second)
    assert len(ROWS) < 2 * len(SAMPLERS) * len(SCHEDULES)


@pytest.fixture(scope="module")
def stages(tmp_path_factory):
    """Runs of autoencoders, untrained, by name and what they are of."""
    found = {("identity", examples): {"name": "identity"} for examples in SHAPES}
    for (name, settings), (examples, shape) in itertools.product(STAGES.items(), SHAPES.items()):
        run, recipe = Run(tmp_path_factory.mktemp(name) / "run"), Recipe(autoencoder={"name": name, **settings}, shape=shape)
        run.path.mkdir()
        run.write_recipe(recipe)
        model = build_autoencoder(recipe)
        if name == "tiny":  # whose pictures are in [0, 1] before they are in [-1, 1]
            [*model.autoencoder.decoder.parameters()][-1].data.fill_(0.5)
        run.save_weights(model, 0)
        found[name, examples] = {"name": "run", "path": str(run.path)}
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: "-".join(map(str, row)))
def test_every_pair_of_choices_trains_and_samples(row, stages):
    network, predict, noise, sampler, label, weight, autoencoder, examples = row
    torch.manual_seed(0)
    shape, temporal = SHAPES[examples], {"temporal": True} if examples == "clips" and network in TEMPORAL else {}
    config = {
        "network": {"name": network, **SMALL.get(network, {}), **temporal},
        "predict": predict,
        "noise": {"name": noise, "high": 0.99 if predict == "eps" else 1.0},
        "conditions": {"none": [], "as it likes": ["label"]}.get(label, [{"name": "label", "enter": label}]),
        "sample": {"name": sampler, "steps": 3},
        "autoencoder": stages[autoencoder, examples],
    }
    if network == "set_transformer" and examples != "signals":  # of points alone: tests/networks/test_set_transformer.py
        with pytest.raises(Usage, match="points in any order|cannot enter"):
            built(config, shape, ("a", "b", "c"))
        return
    if label in Label.ways and label not in NETWORKS[network].ways:
        with pytest.raises(Usage, match=f"cannot enter {NETWORKS[network].__name__} by {label}; it can by"):
            built(config, shape, ("a", "b", "c"))
        return
    labelled = label != "none"
    model = built(config, shape, ("a", "b", "c") if labelled else ())
    batch = {"x": torch.rand(8, *shape) * 2 - 1, "label": torch.arange(8) % 3}
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    for _ in range(2):
        value = model(batch, model.noise((torch.arange(8) + 0.5) / 8), weight=WEIGHTS[weight])
        assert value.shape == (8,) and torch.isfinite(value).all()
        optimizer.zero_grad()
        value.mean().backward()
        norm = torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        assert torch.isfinite(norm) and norm > 0
        optimizer.step()
    samples = model.sample(4, seed=1, **({"guidance": 2.0, "label": [0, 1, 2, 0]} if labelled else {}))
    assert samples.shape == (4, *shape) and torch.isfinite(samples).all() and samples.abs().max() <= 1
    assert samples.std() > 0
