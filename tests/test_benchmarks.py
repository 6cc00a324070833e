"""The benchmarks name parts that exist: nothing else would notice, for no test times anything."""

import runpy
from pathlib import Path

import pytest
import torch

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.mark.parametrize("path", sorted(BENCHMARKS.glob("*.py")), ids=lambda path: path.stem)
def test_what_a_benchmark_imports_exists(path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "2")  # one of them sets it
    threads = torch.get_num_threads()
    try:
        runpy.run_path(str(path), run_name="benchmark")
    finally:
        torch.set_num_threads(threads)


def test_both_libraries_of_peers_take_a_step():
    peers = runpy.run_path(str(BENCHMARKS / "peers.py"), run_name="peers")
    device = torch.device("cpu")
    model, ours = peers["ours"]("unet_course", device, True)
    _, theirs = peers["theirs"]("unet_course", model, device)
    x, label = torch.randn(2, 1, 28, 28), torch.tensor([0, 1])
    before = [p.detach().clone() for p in model.parameters()]
    ours(x, label)
    theirs(x, label)
    assert sum(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)) > len(before) / 2
