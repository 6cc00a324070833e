import pytest
import torch

from fromnoise.conditions import Text
from fromnoise.errors import Usage
from fromnoise.networks import NETWORKS
from tests.parts import built

SMALL = {
    "unet": {"width": 8, "levels": [1, 2], "blocks": 1, "attention": [1]},
    "dit": {"width": 32, "depth": 2, "heads": 2},
    "uvit": {"width": 32, "depth": 3, "heads": 2},
}
CASES = [(name, way) for name in SMALL for way in Text.ways if way in NETWORKS[name].ways]


def model(network: str, enter: str | None = None, **settings):
    torch.manual_seed(0)
    node = {"name": "text", "width": 64, "enter": enter, **settings}
    return built({"network": {"name": network, **SMALL[network]}, "conditions": [node]}, (2, 8, 8))


@pytest.mark.parametrize(("network", "way"), CASES)
def test_a_caption_is_heard_in_every_way_and_the_encoder_learns(network, way):
    m = model(network, way)
    with torch.no_grad():
        for p in m.denoiser.parameters():  # nothing zero
            p.add_(0.05 * torch.randn(p.shape))
    batch = {"x": torch.randn(4, 2, 8, 8), "text": ["a red circle", "a blue square", "", "cat"]}
    level = m.noise(torch.full((4,), 0.5))
    m(batch, level).mean().backward()
    for name, p in m.conditions.named_parameters():
        assert p.grad is not None and p.grad.abs().sum() > 0, name
    with torch.no_grad():
        a, b = (m.denoise(2, text=text)(batch["x"][:2], m.noise(torch.tensor(0.5)))[0] for text in ("a red circle", "a blue square"))
    assert not torch.allclose(a, b, atol=1e-5)


@pytest.mark.parametrize("network", SMALL)
def test_what_fills_up_a_batch_does_not_count(network):
    m = model(network, "token" if network == "uvit" else "cross")
    with torch.no_grad():
        for p in m.denoiser.parameters():
            p.add_(0.05 * torch.randn(p.shape))
        x, level = torch.randn(2, 2, 8, 8), m.noise(torch.tensor(0.5))
        long = "one two three four five six seven eight nine ten eleven twelve"
        together = m.denoise(2, text=["cat", long])(x, level)[0]
        alone = m.denoise(1, text="cat")(x[:1], level)[0]
    assert torch.allclose(together[:1], alone, atol=1e-4)


def test_nothing_asked_is_the_empty_caption():
    condition = model("dit").conditions["text"]
    null, empty = condition.null(2), condition(["", ""])
    assert torch.equal(null.tokens, empty.tokens) and torch.equal(null.mask, empty.mask)
    assert condition.dropped(["a", "b", "c"], torch.tensor([False, True, False])) == ["a", "", "c"]
    with pytest.raises(Usage, match="cannot be guided"):
        model("dit", drop=0.0).conditions["text"].null(1)


def test_one_caption_or_one_for_each():
    condition = Text()
    assert condition.values("cat", 3) == ["cat"] * 3 and condition.values(["a", "b"], 2) == ["a", "b"]
    with pytest.raises(Usage, match="3 samples need one caption or 3"):
        condition.values(["a", "b"], 3)
    with pytest.raises(Usage, match="a caption is words, not 3"):
        condition.values([3], 1)


def test_words_and_classes_together_and_what_does_not_fit():
    nodes = [{"name": "text", "width": 64}, "label"]
    both = built({"network": {"name": "dit", **SMALL["dit"]}, "conditions": nodes}, (2, 8, 8), ("a", "b"))
    assert both.sample(2, text="cat", label=1, steps=1).shape == (2, 2, 8, 8)
    nodes[1] = {"name": "label", "enter": "cross"}
    with pytest.raises(Usage, match="network's context_dim to be 64, another 256"):
        built({"network": {"name": "dit", **SMALL["dit"]}, "conditions": nodes}, (2, 8, 8), ("a", "b"))
    with pytest.raises(Usage, match="context_dim is 32, but the conditions call for 64; leave it out"):
        built({"network": {"name": "dit", "context_dim": 32}, "conditions": nodes[:1]}, (2, 8, 8))
    with pytest.raises(Usage, match="a text enters by"):
        model("dit", "sideways")
    with pytest.raises(Usage, match="two conditions are called text"):
        built({"network": "dit", "conditions": ["text", "text"]}, (2, 8, 8))


def test_a_negative_caption_is_the_weak_side():
    m = model("dit")
    with torch.no_grad():
        for p in m.denoiser.parameters():
            p.add_(0.05 * torch.randn(p.shape))
    asked = {"text": "a red circle", "guidance": 3.0, "steps": 2}
    plain, away = m.sample(2, **asked), m.sample(2, negative={"text": "a blue square"}, **asked)
    assert not torch.allclose(plain, away, atol=1e-3)
    assert torch.allclose(m.sample(2, negative={"text": ""}, **asked), plain, atol=1e-5)
    with pytest.raises(Usage, match="set it above 1"):
        m.sample(2, text="a", guidance=1.0, negative={"text": "b"})
