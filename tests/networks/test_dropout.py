"""Dropout by the example's key: its share, its independence, and that nothing but the key and the place decides."""

import pytest
import torch
from torch import nn

from fromnoise.draws import Draws
from fromnoise.errors import Usage
from fromnoise.networks import Dropout, UNet, recompute, set_dropout_keys
from fromnoise.networks.layers.dropout import hashed


def draws(step: int = 0, rows: range = range(64), total: int = 64) -> Draws:
    return Draws((0, step, "dropout"), rows, total)


def masks(p: float, step: int = 0, layers: int = 2, shape: tuple[int, ...] = (3, 40, 40)) -> torch.Tensor:
    """(layers, examples, elements), 1 where an element is kept."""
    model = nn.ModuleList([nn.Linear(1, 1), *(Dropout(p) for _ in range(layers))])
    set_dropout_keys(model, draws(step))
    return torch.stack([(layer(torch.ones(64, *shape)) > 0).double().flatten(1) for layer in model[1:]])


@pytest.mark.parametrize("p", [0.03, 0.3, 0.5, 0.9])
def test_the_share_of_zeros_is_p_in_every_example_and_layer(p):
    kept = masks(p)
    n = kept.shape[-1]
    z = (kept.mean(-1) - (1 - p)) / (p * (1 - p) / n) ** 0.5  # standard normal for independent elements
    assert float(z.abs().max()) < 4.5 and 0.75 < float(z.std()) < 1.25


def test_examples_layers_steps_and_neighbours_are_independent():
    one, other = masks(0.5, 0), masks(0.5, 1)
    rows = torch.cat([one.flatten(0, 1), other.flatten(0, 1)])
    z = torch.corrcoef(rows)[torch.triu(torch.ones(len(rows), len(rows)), 1) > 0] * rows.shape[1] ** 0.5
    assert float(z.abs().max()) < 5.5 and float(z.std()) == pytest.approx(1, abs=0.03)
    for apart in (1, 2, 40, 1600):  # neighbours in rows, columns and channels
        a, b = rows[:, apart:] - 0.5, rows[:, :-apart] - 0.5
        assert abs(float((a * b).mean())) * 4 * a.numel() ** 0.5 < 4.5


def test_the_hash_is_one_to_one():
    bits = torch.arange(-(2**20), 2**20, dtype=torch.int32)
    assert len(hashed(bits).unique()) == len(bits)
    ones = torch.stack([(hashed(bits) >> b & 1).double().mean() for b in range(32)])
    assert float((ones - 0.5).abs().max()) < 0.005
    for b in range(32):  # a bit of the input changes every bit of the output half of the time
        changed = hashed(bits) ^ hashed(bits ^ (1 << b if b < 31 else -(2**31)))
        assert float((torch.stack([(changed >> k & 1).double().mean() for k in range(32)]) - 0.5).abs().max()) < 0.05


def test_the_mean_stays_and_evaluation_changes_nothing():
    layer, x = Dropout(0.25), torch.ones(64, 10_000)
    set_dropout_keys(nn.ModuleList([nn.Linear(1, 1), layer]), draws())
    answer = layer(x)
    assert answer.unique().tolist() == pytest.approx([0, 4 / 3]) and float(answer.mean()) == pytest.approx(1, abs=0.005)
    assert layer.eval()(x) is x and Dropout(0.0)(x) is x


def test_without_keys_it_is_torchs():
    x, layer, theirs = torch.randn(5, 7), Dropout(0.3), nn.Dropout(0.3)
    set_dropout_keys(nn.ModuleList([nn.Linear(1, 1), layer]), draws(rows=range(5)))
    set_dropout_keys(nn.ModuleList([layer]), None)
    torch.manual_seed(0)
    ours = layer(x)
    torch.manual_seed(0)
    assert torch.equal(ours, theirs(x))
    with pytest.raises(Usage, match="0 <= dropout < 1"):
        Dropout(1.0)


def network() -> UNet:
    torch.manual_seed(0)
    net = UNet(1, 8, [1, 2], blocks=1, dropout=0.4)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.1)
    return net.train()


def answer(net: nn.Module, rows: range) -> torch.Tensor:
    x, t = torch.randn(8, 1, 8, 8, generator=torch.Generator().manual_seed(1)), torch.linspace(0, 1, 8)
    set_dropout_keys(net, draws(rows=rows, total=8))
    return net(x[rows.start : rows.stop], t[rows.start : rows.stop])


def test_a_batch_in_parts_drops_the_same():
    net = network()
    whole = answer(net, range(8))
    parts = torch.cat([answer(net, range(0, 3)), answer(net, range(3, 8))])
    assert torch.allclose(whole, parts, atol=1e-6) and not torch.allclose(whole, net.eval()(torch.zeros(8, 1, 8, 8), torch.zeros(8)))


def test_recomputing_draws_the_same_masks():
    gradients = []
    for again in (False, True):
        net = network()
        recompute(net, again)
        answer(net, range(8)).square().sum().backward()
        gradients.append([p.grad for p in net.parameters() if p.grad is not None])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


@pytest.mark.slow
def test_a_compiled_network_drops_the_same_and_is_compiled_once(tmp_path, monkeypatch):
    import torch._dynamo

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, net = network(), network()
    net.compile(dynamic=False)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    for step in range(3):
        x, t = torch.randn(8, 1, 8, 8), torch.linspace(0, 1, 8)
        for module in (plain, net):
            set_dropout_keys(module, draws(step, range(8), 8))
        assert torch.allclose(plain(x, t), net(x, t), atol=1e-4)
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
