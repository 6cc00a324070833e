"""The penalty of a network's features: Zhang et al. 2018, eq. 1, with networks typed out by torch's layers, and a run that learns by it."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import fromnoise
from fromnoise.config import bound
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation.features import CNN, ResNet
from fromnoise.evaluation.features.perceptual import perceptual
from fromnoise.training.loop import train
from fromnoise.training.reconstruction import AutoencoderSettings
from tests.autoencoders.test_training import recipe
from tests.evaluation.test_pairs import squeezenet

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]).view(-1, 1, 1), torch.tensor([0.229, 0.224, 0.225]).view(-1, 1, 1)


def random_layers(layers: list[nn.Conv2d], seed: int = 0) -> list[torch.Tensor]:
    """Weight and bias of each, such that maps keep their size."""
    draw, found = torch.Generator().manual_seed(seed), []
    for layer in layers:
        fan = layer.weight[0].numel()
        found += [torch.randn(layer.weight.shape, generator=draw) * (2 / fan) ** 0.5, 0.1 * torch.randn(layer.bias.shape, generator=draw)]
        with torch.no_grad():
            layer.weight.copy_(found[-2]), layer.bias.copy_(found[-1])
    return found


class Inverted(nn.Module):
    """The block of Sandler et al. 2018, figure 4, without norms."""

    def __init__(self, before, wide, widen, stride):
        super().__init__()
        inner = before * widen
        first = [nn.Conv2d(before, inner, 1), nn.ReLU6()] if widen > 1 else []
        self.body = nn.Sequential(*first, nn.Conv2d(inner, inner, 3, stride, 1, groups=inner), nn.ReLU6(), nn.Conv2d(inner, wide, 1))
        self.around = before == wide and stride == 1

    def forward(self, x):
        return x + self.body(x) if self.around else self.body(x)


def mobilenet() -> tuple[nn.Sequential, list[int]]:
    """The network, and after which of its parts maps are compared."""
    rows = [(1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1), (6, 64, 2), (6, 64, 1), (6, 64, 1), (6, 64, 1), (6, 96, 1), (6, 96, 1),
            (6, 96, 1), (6, 160, 2), (6, 160, 1), (6, 160, 1), (6, 320, 1)]  # fmt: skip
    parts, before = [nn.Sequential(nn.Conv2d(3, 32, 3, 2, 1), nn.ReLU6())], 32
    for widen, wide, stride in rows:
        parts.append(Inverted(before, wide, widen, stride))
        before = wide
    return nn.Sequential(*parts), [1, 3, 6, 13, 17]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """{network: (its file, the maps of pictures, typed out)}."""
    home, found = tmp_path_factory.mktemp("weights"), {}
    net, seen = mobilenet()
    layers = random_layers([m for m in net.modules() if isinstance(m, nn.Conv2d)])
    names = [f"conv_{2 * (i // 2) + i // 20}_{'bias' if i % 2 else 'weight'}" for i in range(len(layers))]  # with gaps, as in the zoo's file
    np.savez(home / "mobile.npz", **{name: layer.half().numpy() for name, layer in zip(names, layers, strict=True)}, gemm_104_bias=np.zeros(1000))
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.Conv2d):
                m.weight.copy_(m.weight.half()), m.bias.copy_(m.bias.half())
    found["mobile.npz"] = (net, seen)
    shapes, before = [nn.Conv2d(3, 64, 3)], 64
    for squeeze, wide in [(16, 64)] * 2 + [(32, 128)] * 2 + [(48, 192)] * 2 + [(64, 256)] * 2:
        shapes += [nn.Conv2d(before, squeeze, 1), nn.Conv2d(squeeze, wide, 1), nn.Conv2d(squeeze, wide, 3)]
        before = 2 * wide
    layers = random_layers(shapes, 1)
    np.savez(home / "squeeze.npz", **{f"squeezenet0_conv{i // 2}_{'bias' if i % 2 else 'weight'}": layer.numpy() for i, layer in enumerate(layers)})
    found["squeeze.npz"] = squeezenet(layers)
    torch.manual_seed(0)
    save_file(ResNet(2, 10).state_dict(), home / "resnet.safetensors")
    save_file(CNN((1, 8, 8), 2, "small").state_dict(), home / "cnn.safetensors", {"name": "small"})
    return home, found


def pictures(*seeds, size=(40, 36), channels=3):
    return [torch.rand(2, channels, *size, generator=torch.Generator().manual_seed(i)) * 2 - 1 for i in seeds]


@pytest.mark.parametrize("name", ["mobile.npz", "squeeze.npz"])
def test_the_penalty_is_the_difference_of_unit_features_typed_out(files, name):
    home, (net, seen) = files[0], files[1][name]
    a, b = pictures(1, 2)
    one, other, total = ((a + 1) / 2 - MEAN) / STD, ((b + 1) / 2 - MEAN) / STD, torch.zeros(2)
    with torch.no_grad():
        for i, layer in enumerate(net):
            one, other = layer(one), layer(other)
            if i in seen:
                units = [y / y.square().sum(1, keepdim=True).sqrt().clamp(min=1e-10) for y in (one, other)]
                total += (units[0] - units[1]).square().sum(1).mean((1, 2))
    found = perceptual(a, b, str(home / name))
    assert torch.allclose(found, total, rtol=1e-3) and total.min() > 0.01


@pytest.mark.parametrize(("name", "size", "channels"), [("mobile.npz", (40, 36), 3), ("squeeze.npz", (20, 17), 1), ("resnet.safetensors", (8, 8), 1),
                                                        ("cnn.safetensors", (8, 8), 1)])  # fmt: skip
def test_it_is_zero_for_equal_pictures_symmetric_and_pulls_at_the_reconstruction_alone(files, name, size, channels):
    file = str(files[0] / name)
    a, b = pictures(1, 2, size=size, channels=channels)
    assert torch.equal(perceptual(a, a, file), torch.zeros(2)) and torch.allclose(perceptual(a, b, file), perceptual(b, a, file), rtol=1e-5)
    a.requires_grad_(), b.requires_grad_()
    perceptual(a, b, file).sum().backward()
    assert a.grad.isfinite().all() and a.grad.abs().max() > 0 and b.grad is None
    step = 1e-2 * a.grad / a.grad.norm()
    with torch.no_grad():
        assert perceptual(a - step, b, file).sum() < perceptual(a, b, file).sum()  # which is downhill


def test_a_run_learns_by_it_and_its_settings_are_kept(files, tmp_path):
    penalty = {"name": "perceptual", "weights": str(files[0] / "cnn.safetensors")}
    run = train(recipe(penalty=penalty, penalty_weight=0.1), tmp_path / "run", quiet=True)
    assert run.recipe().train["penalty"] == penalty
    x = torch.rand(2, 1, 8, 8) * 2 - 1
    settings = AutoencoderSettings(steps=1, penalty=penalty, penalty_weight=0.1)
    expected = (x + x.flip(0) * -1).abs().flatten(1).mean(1) + 0.1 * perceptual(x, x.flip(0), penalty["weights"])
    assert torch.allclose(settings.error(x, x.flip(0)), expected)
    assert fromnoise.load_autoencoder(run.path, "cpu").reconstruct(x).isfinite().all()


def test_files_that_are_not_what_they_should_be_are_one_line_before_the_first_step(files, tmp_path):
    home = files[0]
    (tmp_path / "torn.npz").write_bytes((home / "mobile.npz").read_bytes()[:5000])
    (tmp_path / "torn.safetensors").write_bytes((home / "resnet.safetensors").read_bytes()[:5000])
    np.savez(tmp_path / "other.npz", conv_0_weight=np.zeros((2, 3, 3, 3)))
    for weights, more, says in [
        (tmp_path / "torn.npz", {}, "train.penalty: .*cut short"),
        (tmp_path / "torn.safetensors", {}, "cut short"), (tmp_path / "other.npz", {}, "is no SqueezeNet"),
        (tmp_path / "nowhere.npz", {}, "there is no file"), (home / "squeeze.npz", {}, "17 pixels a side or more, these have .8, 8.; take another"),
        (home / "mobile.npz", {"linear": str(home / "cnn.safetensors")}, "no SqueezeNet 1.1 .* or .* is not LPIPS's for it"), ("", {}, "needs a network"),
    ]:  # fmt: skip
        with pytest.raises(Problem, match=says) as problem:
            train(recipe(penalty={"name": "perceptual", "weights": str(weights), **more}), tmp_path / "run", quiet=True)
        assert "\n" not in str(problem.value) and not (tmp_path / "run" / "config.yaml").exists()
    with pytest.raises(Usage, match="no setting 'weight'"):
        bound(AutoencoderSettings.PARTS["penalty"], {"name": "perceptual", "weight": "x"}, "train.penalty")
