import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if (workers := int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))) > 1:  # the cores are shared out once, before torch looks
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // workers)))

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Nothing is read from, or left in, the user's cache or data."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
