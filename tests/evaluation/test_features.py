import json
import re
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from fromnoise.data import Tensors
from fromnoise.errors import Problem, Usage
from fromnoise.evaluation import CNN, ResNet, load_features, observe
from fromnoise.evaluation.features import as_saved, cached, cnn
from fromnoise.evaluation.features.cached import Turned
from fromnoise.evaluation.features.cnn import augmented, shrunk, train_cnn
from fromnoise.evaluation.features.resnet import Block


def bars(count=256, size=10, seed=0, classes=("lying", "standing")):
    """A bright bar on noise, lying (0) or standing (1), anywhere."""
    rng = np.random.default_rng(seed)
    x, label = rng.integers(0, 60, (count, 1, size, size)).astype(np.uint8), rng.integers(0, 2, count)
    for i, at in enumerate(rng.integers(2, size - 3, count)):
        x[i, 0, at : at + 2] = 230
        x[i, 0] = x[i, 0].T if label[i] else x[i, 0]
    return Tensors("bars", x, label if classes else None, classes=classes)


def test_as_saved_is_what_a_png_gives_back(tmp_path):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2.2 - 1.1
    pixels = ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).save(tmp_path / "a.png")
    back = torch.from_numpy(np.array(Image.open(tmp_path / "a.png"))).permute(2, 0, 1).float() / 127.5 - 1
    assert torch.allclose(as_saved(image)[0], back, atol=1e-6)
    assert torch.equal(as_saved(as_saved(image)), as_saved(image))


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 27, 31), (3, 64, 48), (1, 200, 100), (4, 5, 3)])
def test_cnn_takes_any_shape(shape):
    net = CNN(shape, 7).eval()
    features, logits = net(torch.zeros(2, *shape))
    assert features.shape == (2, 128) and logits.shape == (2, 7)


def test_shrunk_is_the_mean_of_squares():
    x = torch.randint(0, 256, (2, 3, 128, 64), dtype=torch.uint8)
    expected = x.float().reshape(2, 3, 64, 2, 32, 2).mean((3, 5)).round().to(torch.uint8)
    assert torch.equal(shrunk(x), expected)
    assert shrunk(expected) is expected


def test_augmented_moves_little_and_mirrors_when_asked():
    x = torch.zeros(200, 1, 21, 21)
    x[:, :, 8:13, 14:19] = 1  # a square at the right: its centre is (10, 16)
    for mirror in (False, True):
        y = augmented(x, mirror, torch.Generator().manual_seed(0))
        columns = (y.sum((1, 2)) * torch.arange(21)).sum(1) / y.sum((1, 2, 3)).clamp(min=1e-6)
        assert ((columns < 10).float().mean() > 0.3) == mirror
        assert ((columns - 10).abs() - 6).abs().max() < 4


def test_cnn_learns_and_is_a_function_of_the_seed():
    train, test = bars(), bars(seed=1)
    one, same, other = (train_cnn(train, torch.device("cpu"), seed, seen=1).digest for seed in (0, 0, 1))
    assert one == same != other
    net = train_cnn(train, torch.device("cpu"), seen=16 * train.x.numel())
    features, guessed = observe(net, iter(test.get(torch.arange(256))["x"].split(90)))
    assert (guessed == test.label).float().mean() > 0.97
    whole, _ = observe(net, iter([test.get(torch.arange(256))["x"]]))
    assert torch.allclose(features, whole, atol=1e-5)  # however they are batched


def test_training_leaves_the_callers_random_numbers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    train_cnn(bars(64), torch.device("cpu"), seen=1)
    assert torch.equal(torch.rand(3), expected)


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A cache of its own, and how many networks were trained."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "cache"))
    calls = []
    monkeypatch.setattr(
        cached, "train_cnn", lambda train, *rest, **more: calls.append(train.name) or train_cnn(train, *rest, seen=1, **more)
    )
    return calls


def test_features_are_trained_once_and_kept(trained, tmp_path):
    train, test = bars(), bars(seed=1)
    net = load_features("cnn", train, test)
    (path,) = (tmp_path / "cache" / "features").iterdir()
    assert path.name.startswith("bars-1x10x10-") and path.name.endswith("-v1.safetensors")
    right = observe(net, iter([test.get(torch.arange(256))["x"]]))[1] == test.label
    assert net.name == f"bars CNN ({100 * right.double().mean():.2f} %)"
    again = load_features("cnn", train, test)
    assert (again.digest, again.name) == (net.digest, net.name) and trained == ["bars"]

    path.write_bytes(path.read_bytes()[:5000])  # cut short: made anew
    assert load_features("cnn", train, test).digest == net.digest and trained == ["bars"] * 2
    load_features("cnn", bars(seed=2), test)  # other pictures under the same name
    assert len(trained) == 3 and len(list(path.parent.iterdir())) == 2


def test_a_quick_network_is_announced_named_and_kept_apart(monkeypatch, tmp_path, capsys):
    """A tenth of the passes; neither takes the other's place; its note goes with it, also out of the cache."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    monkeypatch.setattr(cnn, "EPOCHS", (20, 20))
    train, test, passes = bars(64), bars(64, seed=1), []
    monkeypatch.setattr(cnn, "augmented", lambda images, mirror, draw: passes.append(len(images)) or images)
    whole = load_features("cnn", train, test)
    assert sum(passes) == 20 * 64 and whole.note == "" and whole.name.startswith("bars CNN (")
    said = capsys.readouterr().err
    assert "training a CNN on 64 pictures of bars" in said and said.count("\n") == 1 and "--features cnn_quick" in said and str(tmp_path) in said
    assert re.search(r": about \d\S* s, once; ", said)
    passes.clear()
    for _ in range(2):
        quick = load_features("cnn_quick", train, test)
        assert quick.name.startswith("bars quick CNN (") and quick.digest != whole.digest and "never with published ones" in quick.note
    assert sum(passes) == 2 * 64 and "a quick CNN" in capsys.readouterr().err
    assert load_features("cnn", train, test).digest == whole.digest and len(list((tmp_path / "features").iterdir())) == 2


def test_data_without_labels_teaches_to_tell_turns(trained):
    train = bars(classes=())
    assert train.classes == ()
    net = load_features("cnn", train, bars(seed=1, classes=()))
    assert net.name.startswith("bars rotation CNN (") and net(train.get(torch.arange(3))["x"])[1].shape == (3, 4)


def test_turns_are_learnt_without_mirroring(trained, monkeypatch, tmp_path):
    """Mirrored, a quarter turn one way looks like one the other way."""
    mirrored = []
    monkeypatch.setattr(cnn, "augmented", lambda images, mirror, draw: mirrored.append(mirror) or images)
    x = torch.randint(0, 256, (64, 3, 10, 10), dtype=torch.uint8)
    plain, labelled = Tensors("plain", x), Tensors("labelled", x, [0, 1] * 32)
    load_features("cnn", plain, plain)
    assert mirrored and not any(mirrored)
    mirrored.clear()
    load_features("cnn", labelled, labelled)
    assert mirrored and all(mirrored)
    found = {path.name.split("-")[0]: path.name[-15:] for path in (tmp_path / "cache" / "features").iterdir()}
    assert found == {"labelled": "-v1.safetensors", "plain": "-v2.safetensors"}


def test_turned():
    """Every picture four times, cut square, turned as its label says."""
    x = torch.arange(2 * 3 * 4 * 6).reshape(2, 3, 4, 6).to(torch.uint8)
    turned = Turned(Tensors("t", x))
    assert len(turned) == 8 and turned.shape == (3, 4, 4)
    batch = turned.take(torch.tensor([7, 0, 5]))
    assert batch["label"].tolist() == [3, 0, 1]
    for found, (picture, quarters) in zip(batch["x"], [(1, 3), (0, 0), (1, 1)], strict=True):
        assert np.array_equal(found.numpy(), np.rot90(x[picture, :, :, 1:5].numpy(), quarters, (1, 2)))


def test_a_cache_that_cannot_be_written_is_said_before_training(trained, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path / "file"))
    with pytest.raises(Problem, match="FROMNOISE_CACHE"):
        load_features("cnn", bars(), bars())
    assert trained == []


def test_another_process_may_try_the_cache_at_the_same_time(monkeypatch, tmp_path):
    monkeypatch.setattr(cached, "replacing", nullcontext)  # what it wrote is gone already
    cached.writable(tmp_path)


# ResNet


@pytest.mark.parametrize("depth, millions", [(20, 0.27), (32, 0.46), (44, 0.66), (56, 0.85), (110, 1.7)])
def test_resnet_has_the_papers_parameters(depth, millions):
    """He et al. 2016, table 6."""
    net = ResNet((depth - 2) // 6)
    assert net.name == f"CIFAR ResNet-{depth}"
    assert sum(p.numel() for p in net.parameters()) / 1e6 == pytest.approx(millions, abs=0.051 if millions > 1 else 0.0051)


def test_shortcut_is_option_a():
    """With dead convolutions a block passes every second pixel on, between zero channels."""
    block = Block(16, 32).eval()
    torch.nn.init.zeros_(block.bn2.weight)
    x = torch.rand(2, 16, 8, 8)
    y = block(x)
    assert torch.equal(y[:, 8:24], x[:, :, ::2, ::2]) and not y[:, :8].any() and not y[:, 24:].any()


def test_resnet_from_a_file(tmp_path):
    torch.manual_seed(0)
    net, path, data = ResNet(2).eval(), tmp_path / "resnet14.safetensors", Tensors("c", torch.zeros(4, 3, 32, 32))
    with torch.no_grad():
        for p in net.parameters():
            p.normal_(0, 0.1)
    save_file(net.state_dict(), path)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    loaded = load_features(path, data, data)
    assert loaded.name == "CIFAR ResNet-14" and torch.equal(loaded(images)[1], net(images)[1])
    features, logits = loaded(images)
    assert torch.allclose(logits, F.linear(features, net.linear.weight, net.linear.bias)) and features.shape == (2, 64)

    plain = {key: value for key, value in load_file(path).items() if "num_batches" not in key}  # as older files are
    save_file(plain, tmp_path / "plain.safetensors")
    assert load_features(tmp_path / "plain.safetensors", data, data).digest == loaded.digest


def test_files_that_are_no_resnet(tmp_path):
    data = Tensors("c", torch.zeros(4, 3, 32, 32))
    save_file({"weight": torch.zeros(3)}, tmp_path / "other.safetensors")
    (tmp_path / "text.safetensors").write_text(json.dumps({"a": 1}))
    for name, words in {"other.safetensors": "does not hold a CIFAR ResNet", "text.safetensors": "not a whole safetensors"}.items():
        with pytest.raises(Problem, match=words):
            load_features(tmp_path / name, data, data)
    with pytest.raises(Problem, match="3 channels"):
        load_features(tmp_path / "other.safetensors", bars(9), bars(9))
    with pytest.raises(Usage, match="or file of weights .*one of: cnn, cnn_quick, inception"):
        load_features("nosuch", data, data)
    with pytest.raises(Problem, match="pictures"):
        load_features("cnn", Tensors("p", torch.zeros(4, 2)), Tensors("p", torch.zeros(4, 2)))
