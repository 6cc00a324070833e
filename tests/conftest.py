import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest
import torch

torch.set_num_threads(min(2, os.cpu_count() or 1))


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Nothing is read from, or left in, the user's cache or data."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
