"""Errors of pairs by command."""

from tests.cli.test_cli import call
from tests.cli.test_pictured import told
from tests.evaluation.test_pairs import files  # noqa: F401 (a fixture)
from tests.training.test_train import recipe, train


def test_by_command(files, tmp_path, monkeypatch, capsys):  # noqa: F811
    home = files[0]
    train(told(train={"steps": 5, "evals": 0}), tmp_path / "run", quiet=True)
    words = ["evaluate", tmp_path / "run", "-n", 6, "--pairs", "--trust"]
    code, said, _ = call(monkeypatch, capsys, *words)
    assert code == 0 and all(word in said for word in ("samples", "the input", "mean colour", "dB")) and "LPIPS" not in said
    assert (tmp_path / "run" / "pairs.json").is_file()
    both = f"{home}/net.npz,{home}/lin.safetensors"
    for more, says in ((["--sweep", "1,2"], "one at a time"), (["--perceptual", "x"], "two files"), (["--perceptual", both], "17 pixels")):
        code, _, said = call(monkeypatch, capsys, *words, *more)
        assert code == 2 and says in said and said.strip().count("\n") == 0
    train(recipe(train={"steps": 2, "evals": 0}), tmp_path / "labels", quiet=True)
    code, _, said = call(monkeypatch, capsys, "evaluate", tmp_path / "labels", "--pairs", "--trust")
    assert code == 2 and "leave --pairs out" in said
