import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pytest


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory, monkeypatch):
    """Nothing is read from, or left in, the user's cache or data."""
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
