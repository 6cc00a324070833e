import pytest
import torch
from torch import nn

from fromnoise.errors import Usage
from fromnoise.networks import MLP, NETWORKS, NOTHING, Context, Conv, TwoLinear
from tests.parts import label_of, shaped


def count(*modules: nn.Module) -> int:
    return sum(p.numel() for module in modules for p in module.parameters())


def test_two_linear_has_the_parameters_that_are_claimed():
    """784 + 1 + 239 = 1024 -> 4096 -> 784, with the norms and an embedding of 10 x 239."""
    with torch.device("meta"):
        network = TwoLinear()
        assert count(network) == 7_419_118
        assert count(network, label_of(network.dim, 10, drop=0.0)) == 7_421_508
        assert count(TwoLinear(width=1024, vector=128), label_of(128, 10, drop=0.0)) == 1_743_120


def test_two_linear_typed_out():
    network = TwoLinear(6, 16, 4)
    with torch.no_grad():
        network.layers[3].weight.normal_()
    x, t, vector = torch.randn(3, 1, 2, 3), torch.rand(3), torch.randn(3, 4)
    normed = (vector - vector.mean(1, keepdim=True)) / (vector.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    h = torch.cat([x.reshape(3, 6), t[:, None], normed], 1) @ network.layers[0].weight.T + network.layers[0].bias
    h = h * torch.tanh(torch.log1p(h.exp()))  # Mish
    h = (h - h.mean(1, keepdim=True)) / (h.var(1, unbiased=False, keepdim=True) + 1e-5).sqrt()
    expected = (h @ network.layers[3].weight.T).reshape(3, 1, 2, 3)
    assert torch.allclose(network(x, t, Context(vector=vector)), expected, atol=1e-4)


NETS = {
    "mlp": lambda: (MLP(4, 16, 2), (4,)),
    "mlp of pictures": lambda: (MLP(2 * 3 * 5, 16, 2), (2, 3, 5)),
    "two_linear": lambda: (TwoLinear(2 * 3 * 5, 32, 8), (2, 3, 5)),
    "conv": lambda: (Conv(2, 8), (2, 7, 5)),
    "conv of odd width": lambda: (Conv(2, 9, kernel=3), (2, 7, 5)),
    "conv of folded pixels": lambda: (Conv(2, 8, depth=3, patch=4), (2, 7, 5)),
    "conv of signals": lambda: (Conv(1, 8, axes=1), (1, 11)),
    "conv of volumes": lambda: (Conv(1, 8, kernel=3, axes=3), (1, 3, 4, 5)),
}


@pytest.mark.parametrize("name", NETS)
class TestEach:
    def test_answers_like_x_and_sample_by_sample(self, name):
        network, shape = NETS[name]()
        for p in network.parameters():
            p.data.add_(0.1 * torch.randn_like(p))
        x, t, order = torch.randn(3, *shape), torch.rand(3), torch.tensor([1, 2, 0])
        answer = network(x, t)
        assert answer.shape == x.shape
        assert torch.allclose(answer[order], network(x[order], t[order]), atol=1e-5)

    def test_t_and_the_vector_matter(self, name):
        network, shape = NETS[name]()
        for p in network.parameters():
            p.data.add_(0.1 * torch.randn_like(p))
        x, t = torch.randn(3, *shape), torch.full((3,), 0.5)
        plain, context = network(x, t), Context(vector=torch.randn(3, network.dim))
        assert not torch.allclose(plain, network(x, t + 0.2), atol=1e-4)
        assert not torch.allclose(plain, network(x, t, context), atol=1e-4)

    def test_every_parameter_learns(self, name):
        network, shape = NETS[name]()
        optimizer = torch.optim.SGD(network.parameters(), 0.3)
        for _ in range(2):
            optimizer.zero_grad()
            context = Context(vector=torch.randn(4, network.dim))
            (network(torch.randn(4, *shape), torch.rand(4), context) - torch.randn(4, *shape)).square().mean().backward()
            optimizer.step()
        assert all(p.grad is not None and p.grad.abs().max() > 0 for p in network.parameters())

    def test_refuses_what_it_would_overlook(self, name):
        network, shape = NETS[name]()
        with pytest.raises(Usage, match="not as tokens"):
            network(torch.randn(2, *shape), torch.rand(2), Context(tokens=torch.zeros(2, 3, 4)))


@pytest.mark.parametrize(("depth", "kernel", "patch"), [(1, 5, 1), (2, 3, 2), (1, 3, 4)])
def test_conv_sees_as_far_as_it_says(depth, kernel, patch):
    """The pixels of x that the middle patch of the answer depends on."""
    sees, side = patch * ((depth + 2) * (kernel - 1) + 1), patch * 21
    network = Conv(1, 8, depth=depth, kernel=kernel, patch=patch)
    x = torch.randn(1, 1, side, side, requires_grad=True)
    middle = slice(side // 2 // patch * patch, (side // 2 // patch + 1) * patch)
    network(x, torch.rand(1))[..., middle, middle].sum().backward()
    rows = x.grad[0, 0].abs().amax(1).nonzero()
    assert rows.max() - rows.min() + 1 == sees


@pytest.mark.parametrize("network", [MLP(2), TwoLinear(2, 8, 4)], ids=["mlp", "two_linear"])
def test_fresh_networks_with_a_zero_layer_answer_zero(network):
    assert torch.equal(network(torch.randn(3, 2), torch.rand(3)), torch.zeros(3, 2))


@pytest.mark.parametrize("name", NETWORKS)
def test_each_network_fits_itself_to_pictures(name):
    shape = shaped(name, (2, 6, 7))
    network = NETWORKS[name](**NETWORKS[name].fitting(shape))
    assert network(torch.randn(1, *shape), torch.rand(1)).shape == (1, *shape)
    assert isinstance(network.dim, int)


def test_contexts_are_joined_by_batch_or_by_condition():
    a = Context(vector=torch.ones(2, 3), tokens=torch.zeros(2, 4, 5), mask=torch.ones(2, 4), concat=torch.ones(2, 1, 6))
    b = Context(vector=2 * torch.ones(2, 3), tokens=torch.ones(2, 4, 5), mask=torch.zeros(2, 4), concat=torch.zeros(2, 1, 6))
    two = a.cat(b)
    assert (
        torch.equal(two.vector[:, 0], torch.tensor([1.0, 1.0, 2.0, 2.0]))
        and two.tokens.shape == (4, 4, 5)
        and two.concat.shape == (4, 1, 6)
    )
    both = a.merged(b)
    assert torch.equal(both.vector, torch.full((2, 3), 3.0))
    assert both.tokens.shape == (2, 8, 5) and both.mask.tolist() == [[1.0] * 4 + [0.0] * 4] * 2 and both.concat.shape == (2, 2, 6)


def test_merging_with_nothing_changes_nothing():
    a = Context(vector=torch.randn(2, 3), residuals=(torch.ones(1),))
    for merged in (a.merged(NOTHING), NOTHING.merged(a)):
        assert torch.equal(merged.vector, a.vector) and len(merged.residuals) == 1 and merged.tokens is None


@pytest.mark.parametrize(
    "held",
    [{"tokens": torch.zeros(1, 1, 1)}, {"mask": torch.zeros(1, 1)}, {"concat": torch.zeros(1, 1, 1)}, {"residuals": (torch.zeros(1),)}],
    ids=lambda held: next(iter(held)),
)
def test_only_names_the_place_that_is_not_taken(held):
    with pytest.raises(Usage, match=next(iter(held))):
        Context(**held).only("vector")
    assert Context(**held).only(*held) is not None
    with pytest.raises(Usage, match="as nothing"):
        Context(vector=torch.zeros(1, 1)).only()


def test_tokens_without_a_mask_all_count_beside_others_that_have_one():
    words, mask = torch.randn(2, 3, 4), torch.tensor([[1, 1, 0], [1, 0, 0]]).bool()
    label, text = Context(tokens=torch.randn(2, 1, 4)), Context(tokens=words, mask=mask)
    whole = torch.ones(2, 1, dtype=torch.bool)
    assert torch.equal(label.merged(text).mask, torch.cat([whole, mask], 1))
    assert torch.equal(text.merged(label).mask, torch.cat([mask, whole], 1))
    assert torch.equal(text.merged(Context(vector=torch.ones(2, 4))).mask, mask) and label.merged(label).mask is None
