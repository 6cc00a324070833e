"""Errors of pairs, known from arithmetic; the perceptual distance against the network typed out."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from fromnoise.data import Tensors
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import load_perceptual, psnr, score_pairs
from fromnoise.model import Model, Sampling
from tests.parts import built

CONV = {"network": {"name": "conv", "width": 8, "kernel": 3}, "conditions": ["image"]}


def data(count, targets=(0.2, -0.4, 0.6), inputs=0.0, size=6):
    x = torch.tensor(targets).reshape(1, -1, 1, 1).expand(count, -1, size, size).clone()
    return Tensors("flat", x, image=torch.full((count, 1, size, size), inputs))


@pytest.fixture
def scored(monkeypatch):
    """The errors of a model that draws the pictures that it is given."""

    def score(pictures, train, test, n=1000, perceptual=None, recipe=CONV):
        monkeypatch.setattr(Model, "sample", lambda self, n, *rest, **conditions: pictures[:n])
        model = built(recipe | {"image": test.image_shape}, test.shape)
        return score_pairs(model, train, test, n, Sampling(), perceptual)

    return score


def test_errors_by_hand(scored):
    """Samples half a step of the range away from every second target, inputs and the mean colour where arithmetic says."""
    test = data(4)
    off = test.x + torch.tensor([0.0, 0.5, 0.0, 0.5]).reshape(4, 1, 1, 1) * torch.tensor([1.0, 1.0, -1.0]).reshape(1, 3, 1, 1)
    found = scored(off, data(7, (0.2, 0.0, 0.6)), test, 10)
    assert found.n == 4
    step = 1 / 255  # what 8 bits may take away
    assert found["samples"].mae == pytest.approx(255 * 0.25 / 2, abs=1)  # 0.5 of a range of 2, in every second picture
    assert found["samples"].psnr == pytest.approx((100 - 10 * np.log10(0.25**2)) / 2, abs=0.2)  # the same picture counts as 100 dB
    assert found["the input"].mae == pytest.approx(255 * (0.2 + 0.4 + 0.6) / 3 / 2, abs=1)
    assert found["mean colour"].mae == pytest.approx(255 * 0.4 / 3 / 2, abs=1)
    assert found["mean colour"].psnr == pytest.approx(-10 * np.log10((0.2**2 + 2 * step**2) / 3), abs=0.3)
    assert "4 held-out pairs" in found.protocol and found.json()["rows"][0]["of"] == "samples"


@pytest.mark.parametrize(("hint", "channels", "rows"), [("masked", 3, 3), ("low_resolution", 3, 3), ("grey", 3, 3), ("grey", 1, 3)])
def test_every_hint_has_its_input_beside(hint, channels, rows, scored):
    test = Tensors("noise", torch.rand(5, channels, 8, 8) * 2 - 1)
    found = scored(test.x, test, test, recipe=CONV | {"conditions": [{"name": "image", "hint": hint}]})
    assert len(found.rows) == rows and found["samples"].psnr == 100 and 5 < found["the input"].psnr <= 100


def test_an_input_of_other_channels_has_no_row(scored):
    test = Tensors("noise", torch.rand(5, 3, 8, 8), image=torch.rand(5, 2, 8, 8))
    assert [row.of for row in scored(test.x, test, test).rows] == ["samples", "mean colour"]


def squeezenet(layers):
    """SqueezeNet 1.1 (Iandola et al. 2016) in PyTorch's own layers, and after which of them LPIPS looks."""

    class Fire(nn.Module):
        def __init__(self, before, squeeze, wide):
            super().__init__()
            self.squeeze, self.one, self.three = (
                nn.Conv2d(before, squeeze, 1),
                nn.Conv2d(squeeze, wide, 1),
                nn.Conv2d(squeeze, wide, 3, padding=1),
            )

        def forward(self, x):
            x = self.squeeze(x).relu()
            return torch.cat([self.one(x), self.three(x)], 1).relu()

    pool = lambda: nn.MaxPool2d(3, 2, ceil_mode=True)  # noqa: E731
    net = nn.Sequential(
        nn.Conv2d(3, 64, 3, 2), nn.ReLU(), pool(), Fire(64, 16, 64), Fire(128, 16, 64), pool(), Fire(128, 32, 128), Fire(256, 32, 128), pool(),
        Fire(256, 48, 192), Fire(384, 48, 192), Fire(384, 64, 256), Fire(512, 64, 256),
    )  # fmt: skip
    with torch.no_grad():
        for parameter, value in zip(net.parameters(), layers, strict=True):
            parameter.copy_(value)
    return net, (1, 4, 7, 9, 10, 11, 12)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    home, draw = tmp_path_factory.mktemp("weights"), torch.Generator().manual_seed(0)
    shapes, before = [(64, 3, 3, 3)], 64
    for squeeze, wide in [(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2:
        shapes += [(squeeze, before, 1, 1), (wide, squeeze, 1, 1), (wide, squeeze, 3, 3)]
        before = 2 * wide
    layers = []
    for shape in shapes:
        layers += [torch.randn(shape, generator=draw) / shape[1] ** 0.5, 0.1 * torch.randn(shape[0], generator=draw)]
    named = {f"squeezenet0_conv{i // 2}_{'bias' if i % 2 else 'weight'}": layer.numpy() for i, layer in enumerate(layers)}
    np.savez(home / "net.npz", **named)
    weights = {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=draw) for i, c in enumerate((64, 128, 256, 384, 384, 512, 512))}
    save_file(weights, home / "lin.safetensors")
    return home, layers, weights


def test_the_perceptual_distance_is_lpips_typed_out(files):
    home, layers, weights = files
    distance = load_perceptual(f"{home}/net.npz,{home}/lin.safetensors")
    net, looks = squeezenet(layers)
    a, b = (torch.rand(3, 3, 40, 36, generator=torch.Generator().manual_seed(i)) * 2 - 1 for i in (1, 2))
    total = torch.zeros(3)
    with torch.no_grad():
        shift, scale = torch.tensor([0.485, 0.456, 0.406]) * 2 - 1, torch.tensor([0.229, 0.224, 0.225]) * 2
        one, other = ((x - shift[:, None, None]) / scale[:, None, None] for x in (a, b))
        seen = 0
        for i, layer in enumerate(net):
            one, other = layer(one), layer(other)
            if i in looks:
                units = [y / (y.square().sum(1, keepdim=True).sqrt() + 1e-10) for y in (one, other)]
                total += (weights[f"lin{seen}.model.1.weight"] * (units[0] - units[1]) ** 2).sum(1).mean((1, 2))
                seen += 1
        assert torch.allclose(distance(a, b), total, rtol=1e-4) and total.min() > 0
        assert torch.equal(distance(a, a), torch.zeros(3)) and torch.allclose(distance(a, b), distance(b, a))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_the_smallest_pictures_that_have_a_distance(files, channels, scored):
    """The samples are the targets; the inputs are not, and the mean colour is farther from noise than they are."""
    x = torch.rand(5, channels, 17, 20, generator=torch.Generator().manual_seed(0)) * 2 - 1
    test = Tensors("noise", x, image=(x + 0.1).clamp(-1, 1))
    distance = load_perceptual(f"{files[0]}/net.npz,{files[0]}/lin.safetensors")
    found = scored(x, test, test, perceptual=distance)
    assert found["samples"].distance == 0 < found["the input"].distance < found["mean colour"].distance
    assert "LPIPS-like" in found.protocol


def test_files_that_are_not_what_they_should_be(files, tmp_path):
    home, _, weights = files
    (tmp_path / "torn.npz").write_bytes((home / "net.npz").read_bytes()[:5000])
    np.savez(tmp_path / "other.npz", squeezenet0_conv0_weight=np.zeros((2, 3, 3, 3)))
    save_file({"a": torch.zeros(1)}, tmp_path / "other.safetensors")
    for spec, says in {
        "one.npz": "two files with a comma",
        f"{home}/net.npz,{home}/nowhere": "no file",
        f"{tmp_path}/torn.npz,{home}/lin.safetensors": "cut short",
        f"{home}/net.npz,{home}/net.npz": "cut short",
        f"{tmp_path}/other.npz,{home}/lin.safetensors": "no SqueezeNet",
        f"{home}/net.npz,{tmp_path}/other.safetensors": "not LPIPS",
    }.items():
        with pytest.raises(Problem, match=says):
            load_perceptual(spec)


def test_the_model_is_given_the_inputs_of_its_targets():
    """The picture of example i of 20 is i; of 5 pairs every fourth is taken, and the samples stand beside those targets."""
    x = torch.linspace(-1, 1, 20).reshape(20, 1, 1, 1).expand(20, 1, 4, 4).clone()
    test, seen = Tensors("ramp", x, image=x), []
    model = built(CONV | {"image": test.image_shape}, test.shape)
    model.sample = lambda n, sampling, progress, image: seen.append((progress(n), image)) or image
    found = score_pairs(model, test, test, 5, Sampling(), progress=lambda *done: done)
    assert found["samples"].psnr == 100 and seen[0][0] == (5, 5) and torch.equal(seen[0][1], x[::4])


def test_psnr_is_the_definition():
    a, b = torch.zeros(2, 3, 4, 5), torch.zeros(2, 3, 4, 5)
    b[0] += 0.2
    assert psnr(a, b).tolist() == pytest.approx([20.0, 100.0])  # a hundredth of the squared range; nothing apart


def test_what_makes_no_pictures_of_pictures_is_refused():
    data = Tensors("plain", torch.zeros(4, 1, 8, 8))
    with pytest.raises(Usage, match="leave --pairs out"):
        score_pairs(built(CONV | {"conditions": []}, data.shape), data, data, 4, Sampling())
