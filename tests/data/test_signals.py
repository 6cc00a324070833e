"""Signals of a user's own: tables and arrays of every make, their windows, and units that are measured, kept and undone."""

import re

import numpy as np
import pytest
import torch

from fromnoise.data import DATASETS
from fromnoise.data.files.signals import windows
from fromnoise.data.units import Units
from fromnoise.errors import Problem, Usage


def signals(path, **settings):
    return DATASETS["signals"](str(path), **{"held_out": 0, **settings})


def x_of(data):
    return data.get(torch.arange(len(data)))["x"]


def own(data):
    """In the units of the files."""
    return data.units.undone(x_of(data)).numpy()


def wave(length=40, channels=2, seed=0):
    """(C, L), each channel at a scale of its own."""
    return np.random.default_rng(seed).normal(size=(channels, length)) * 10.0 ** np.arange(channels)[:, None] + 5


def table(path, x, names=("temp", "wind"), mark=",", decimal="."):
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [mark.join(f"{value:.9g}".replace(".", decimal) for value in row) for row in x.T]
    path.write_text("\n".join([*([mark.join(names)] if names else []), *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    ("file", "mark", "decimal", "names"),
    [("a.csv", ",", ".", ("temp", "wind")), ("a.csv", ";", ",", ("temp", "wind")), ("a.tsv", "\t", ".", ()), ("a.txt", "  ", ".", ()),
     ("a.csv", ";", ".", ("a b", "c"))],
)  # fmt: skip
def test_tables_of_every_make_are_read(tmp_path, file, mark, decimal, names):
    x = wave()
    data = signals(table(tmp_path / file, x, names, mark, decimal), decimal=decimal)
    assert np.allclose(own(data), x[None], rtol=1e-5) and data.units.names == (names or ("0", "1"))
    assert data.medium == "signals" and data.shape == (2, 40)


def test_comments_blank_lines_and_a_byte_order_mark_are_no_rows(tmp_path):
    (tmp_path / "a.csv").write_bytes("\ufeff# made by a logger\ntemp , wind\n\n1,2\n3, 5\n\n".encode())
    assert own(signals(tmp_path / "a.csv"))[0].round(5).tolist() == [[1, 3], [2, 5]]


def test_arrays_of_one_two_and_three_axes_are_read(tmp_path):
    x = np.stack([wave(seed=i) for i in range(6)])
    np.save(tmp_path / "l.npy", x[0, 0])
    np.save(tmp_path / "cl.npy", x[0])
    np.save(tmp_path / "ncl.npy", (x * 100).astype(np.int32))
    np.savez(tmp_path / "y.npz", x=x, y=np.array(list("abbaab")))
    assert np.allclose(own(signals(tmp_path / "l.npy")), x[:1, :1], rtol=1e-5)
    assert np.allclose(own(signals(tmp_path / "cl.npy")), x[:1], rtol=1e-5)
    assert np.allclose(own(signals(tmp_path / "ncl.npy")), (x * 100).astype(np.int32), rtol=1e-5, atol=1e-3)
    data, held = signals(tmp_path / "y.npz"), signals(tmp_path / "y.npz", held_out=0.3, split="test")
    assert data.classes == ("a", "b") and data.labels(torch.arange(6)).tolist() == [0, 1, 1, 0, 0, 1] and len(held) == 2
    rest = signals(tmp_path / "y.npz", held_out=0.3)
    assert sorted(np.concatenate([own(rest), own(held)])[:, 0, 0].round(4)) == sorted(x[:, 0, 0].round(4))


def test_each_channel_has_mean_0_and_deviation_1_over_the_training_examples_alone(tmp_path):
    for i in range(40):
        table(tmp_path / f"{i}.csv", wave(seed=i) + i)
    data, held = (signals(tmp_path, held_out=0.25, split=split) for split in ("train", "test"))
    x = x_of(data)
    assert x.mean((0, 2)).abs().max() < 1e-5 and (x.std((0, 2), correction=0) - 1).abs().max() < 1e-5
    assert held.units == data.units and len(held) + len(data) == 40 and x_of(held).mean((0, 2)).abs().max() > 1e-3
    spread = signals(tmp_path, normalize="range")
    assert x_of(spread).amin((0, 2)).tolist() == pytest.approx([-1, -1]) and x_of(spread).amax((0, 2)).tolist() == pytest.approx([1, 1])
    assert signals(tmp_path / "0.csv", normalize="none", columns=["temp"]).units == Units(("temp",), (0.0,), (1.0,))


def test_units_are_undone_and_kept_as_text():
    units, x = Units(("a", "b"), (3.0, -1e6), (0.001, 7.0)), torch.randn(4, 2, 9)
    values = units.undone(x)
    assert torch.allclose(values[:, 1], x[:, 1].double() * 7 - 1e6) and torch.allclose(units.normalised(values), x, atol=1e-5)
    assert Units.of(units.as_dict()) == units and Units.of(None) is None
    for broken in ({"names": ["a"]}, {"names": ["a"], "offset": [0], "scale": [0]}, {"names": ["a"], "offset": [0, 1], "scale": [1]}):
        with pytest.raises(Problem, match="units of a recipe"):
            Units.of(broken)


def test_a_longer_signal_gives_several_windows_and_what_is_left_is_cut_off_both_ends_alike(tmp_path):
    x = np.arange(10.0)[None]
    assert windows(x, 4, 4)[:, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 8]]
    assert windows(x, 4, 3)[:, 0].tolist() == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    assert windows(x, 10, 3)[:, 0].tolist() == [list(range(10))]
    table(tmp_path / "a.csv", wave(100)), table(tmp_path / "b.csv", wave(45, seed=1))
    assert len(signals(tmp_path, length=20)) == 7 and len(signals(tmp_path, length=20, stride=5)) == 17 + 6


def test_of_one_signal_the_last_part_is_held_out_and_shares_nothing(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(1000.0) ** 2)
    train, test = (signals(tmp_path, length=50, stride=10, held_out=0.2, split=split) for split in ("train", "test"))
    assert len(test) == 19 and own(train).max() < own(test).min() and own(train).max() > 750**2
    with pytest.raises(Problem, match="makes 2 examples, too few to hold some out; lower data.length or data.stride, or train on all: data.held_out=0"):
        signals(tmp_path, length=900, stride=60, held_out=0.2)


def test_folders_are_classes_and_columns_are_found_by_name_in_any_order(tmp_path):
    table(tmp_path / "calm" / "a.csv", wave(), ("temp", "wind"))
    table(tmp_path / "storm" / "b.csv", wave(seed=1)[::-1], ("wind", "temp"))
    data = signals(tmp_path)
    assert data.classes == ("calm", "storm") and np.allclose(own(data), [wave(), wave(seed=1)], rtol=1e-5)
    assert np.allclose(own(signals(tmp_path, columns=["wind"])), [wave()[1:], wave(seed=1)[1:]], rtol=1e-5)
    assert signals(tmp_path, labels=False).classes == () and signals(tmp_path, label="air").classes == ("air",)


def bad(tmp_path, *files, **settings):
    for name, text in files:
        (tmp_path / name).write_text(text)
    with pytest.raises(Problem) as caught:
        signals(tmp_path, **settings)
    assert "\n" not in str(caught.value)
    return str(caught.value)


GOOD = "a,b\n1,2\n2,4\n3,3\n"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", r"it is empty"),
        ("a,b\n", "it has a line of names, and no numbers"),
        ("a,b\n1,2\n2\n", "line 3 has 1 values, and the first 2: make them as many"),
        ("a,b\n1\n2,3\n", "line 2 has 1 values, and the first 2"),
        ("1,\n2,3\n", "line 1, column 1: it is empty"),
        ("a,b\n1,2\n2,x\n", "line 3, column b: 'x' is no number: fill it in, or leave that column out by data.columns"),
        ("a,b\n1,2\n2,\n", "line 3, column b: it is empty"),
        ("a;b\n1;2\n1,5;2\n", r"line 3, column a: 1,5 has a decimal comma: set data.decimal=','"),
        ("a,b\n1,2\n2,nan\n3,inf\n", "2 values are NaN or infinite, the first in channel b at 1: fill them in, or cut them off"),
    ],
)
def test_a_bad_table_is_one_line_with_the_cure_or_left_out(tmp_path, text, says):
    assert says in bad(tmp_path, ("good.csv", GOOD), ("bad.csv", text))
    data = signals(tmp_path, skip_broken=True)
    assert len(data) == 1 and re.search(r"1 files cannot be read and are skipped \(bad.csv: ", " ".join(data.left_out))


def test_bad_arrays_are_one_line_each(tmp_path):
    cases = {
        "channels come first: save x.T": np.zeros((9, 3)), "it holds complex128": np.zeros(9, complex), r"it is (1, 1, 1, 4)": np.zeros((1, 1, 1, 4)),
        "it is (0,)": np.zeros(0),
    }  # fmt: skip
    for says, x in cases.items():
        np.save(tmp_path / "a.npy", x)
        assert says in bad(tmp_path)
    (tmp_path / "a.npy").write_bytes(b"\x93NUMPY")
    assert "no plain array, or cut short" in bad(tmp_path)
    (tmp_path / "a.npy").unlink()
    np.savez(tmp_path / "a.npz", p=np.zeros(4), q=np.zeros(4))
    assert "it holds p, q: call the one of signals x" in bad(tmp_path)


def test_what_does_not_go_together_is_one_line(tmp_path):
    other = "a,c\n1,2\n2,4\n3,1\n"
    assert "do not have the channels of the others, a, b (z.csv: a, c); choose by data.columns those that all have" in bad(
        tmp_path, ("a.csv", GOOD), ("b.csv", GOOD), ("z.csv", other)
    )
    assert len(signals(tmp_path, columns=["a"])) == 3
    (tmp_path / "z.csv").write_text(GOOD + "4,5\n")
    assert "the signals are 3 to 4 samples long; set data.length" in bad(tmp_path)
    assert "2 of 3 signals are shorter than 4 samples (a.csv: 3 samples; b.csv: 3 samples); lower data.length=4, or set data.skip_broken=true" in bad(
        tmp_path, length=4
    )
    assert len(signals(tmp_path, length=4, skip_broken=True)) == 1
    still = "a,b\n1,7\n2,7\n3,7\n"
    assert "channel b is constant (7) in all that is trained on; leave it out: data.columns=[a]" in bad(
        tmp_path, *((name, still) for name in ("a.csv", "b.csv", "z.csv"))
    )
    with pytest.raises(Usage, match="there is no column 'aa'; did you mean 'a'"):
        signals(tmp_path, columns=["aa"])
    with pytest.raises(Usage, match="say one of them"):
        signals(tmp_path, labels=False, label="a")
    spike = "a\n" + "0\n1\n" * 2000 + "9000\n"
    for name in ("a.csv", "b.csv", "z.csv"):
        (tmp_path / name).write_text(spike)
    assert "channel a reaches 63.2 times the scale that is learnt; correct those values, or set data.normalize=range" in bad(tmp_path)
    with pytest.raises(Problem, match="no signals in .*; csv, tsv, txt, npy, npz are read"):
        signals(tmp_path / "no" if (tmp_path / "no").mkdir() else tmp_path / "no")


def test_channels_that_are_given_lie_beside_those_that_are_made(tmp_path):
    for i in range(3):
        table(tmp_path / f"{i}.csv", wave(channels=3, seed=i), ("a", "b", "c"))
    whole, data = signals(tmp_path), signals(tmp_path, given=["b"])
    batch, x = data.get(torch.arange(3)), x_of(whole)
    assert data.shape == (2, 40) and data.image_shape == (1, 40) and data.units.names == ("a", "c")
    assert torch.equal(batch["x"], x[:, [0, 2]]) and torch.equal(batch["image"], x[:, 1:2])
    assert Units.of(data.units.as_dict()) == data.units and data.units.given == whole.units.of_channels([1])
    with pytest.raises(Usage, match="leaves none to be made"):
        signals(tmp_path, given=["a", "b", "c"])
    with pytest.raises(Usage, match="data.given: there is no column 'd'"):
        signals(tmp_path, given=["d"])
