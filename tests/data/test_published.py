"""Downloads: mirrors in turn, whole files or none, and one line when nothing helps."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from fromnoise.data import DATASETS
from fromnoise.data.files.published import Published, Unreached, fetch
from fromnoise.data.sets import cifar
from fromnoise.data.sets import idx as module
from fromnoise.errors import Problem

IMAGES = bytes([0, 0, 8, 3, 0, 0, 0, 6, 0, 0, 0, 2, 0, 0, 0, 2]) + bytes(range(24))  # idx: six pictures of 2x2
LABELS = bytes([0, 0, 8, 1, 0, 0, 0, 6]) + bytes(range(6))


@pytest.fixture
def served():
    """A mirror: served[path] = (bytes, how many of them are sent)."""
    files, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            if self.path not in files:
                self.send_error(404)
                return
            content, sent = files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[:sent])

        def log_message(self, *ignored):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    files["address"], files["asked"] = f"http://127.0.0.1:{server.server_port}", asked
    yield files
    server.shutdown()
    thread.join()
    server.server_close()


def md5(content):
    return hashlib.md5(content).hexdigest()


def test_fetch(served, tmp_path):
    content = bytes(range(256)) * 5000
    served["/file"] = content, None
    fetch(served["address"] + "/file", tmp_path / "deep" / "file", md5(content))
    assert (tmp_path / "deep" / "file").read_bytes() == content


@pytest.mark.parametrize(
    "path, sent, checksum, words",
    [
        ("/file", None, "0" * 32, "checksum"),
        ("/file", 700_000, None, "broke off after .* of 1,280,000"),
        ("/absent", None, None, "HTTP 404"),
    ],
)
def test_no_half_file(served, tmp_path, path, sent, checksum, words):
    content = bytes(range(256)) * 5000
    served["/file"] = content, sent
    with pytest.raises(Unreached, match=words):
        fetch(served["address"] + path, tmp_path / "file", checksum or md5(content))
    assert list(tmp_path.iterdir()) == []


def mnist_like(served, monkeypatch, broken_first=True):
    """MNIST as six pictures at two mirrors, the first of which has other bytes."""
    contents = {}
    for prefix in ("train", "t10k"):
        contents[f"{prefix}-images-idx3-ubyte.gz"] = gzip.compress(IMAGES)
        contents[f"{prefix}-labels-idx1-ubyte.gz"] = gzip.compress(LABELS)
    for name, content in contents.items():
        served[f"/good/{name}"] = content, None
        served[f"/bad/{name}"] = (b"other" if broken_first else content), None
    mirrors = tuple(f"{served['address']}/{which}/" for which in ("bad", "good"))
    source = Published("mnist", module.MNIST.layouts, mirrors, {name: md5(content) for name, content in contents.items()})
    monkeypatch.setattr(module, "MNIST", source)


def test_mirrors_in_turn_once_and_never_again(served, tmp_path, monkeypatch):
    mnist_like(served, monkeypatch)
    monkeypatch.setenv("FROMNOISE_CACHE", str(tmp_path))
    monkeypatch.delenv("FROMNOISE_DATA", raising=False)
    assert len(DATASETS["mnist"]()) == 6
    assert [path for path in served["asked"]] == [
        f"/{which}/train-{what}-ubyte.gz" for what in ("images-idx3", "labels-idx1") for which in ("bad", "good")
    ]
    assert len(DATASETS["mnist"]()) == 6 and len(served["asked"]) == 4
    assert sorted(p.name for p in (tmp_path / "data/MNIST/raw").iterdir()) == ["train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"]


def test_a_download_that_broke_off_goes_on(served, tmp_path, monkeypatch):
    mnist_like(served, monkeypatch)
    labels = served.pop("/good/train-labels-idx1-ubyte.gz")
    with pytest.raises(Problem, match="could not be downloaded .*HTTP 404"):
        DATASETS["mnist"](root=str(tmp_path))
    served["/good/train-labels-idx1-ubyte.gz"] = labels
    before = len(served["asked"])
    assert len(DATASETS["mnist"](root=str(tmp_path))) == 6
    assert all("labels" in path for path in served["asked"][before:])


def test_offline_names_both_cures(tmp_path, monkeypatch):
    closed = "http://127.0.0.1:9/"
    monkeypatch.setattr(module, "FASHION_MNIST", Published("fashion_mnist", ("x",), (closed,), dict(module.FASHION_MNIST.md5)))
    monkeypatch.setattr(cifar, "CIFAR10", Published("cifar10", ("x",), (closed,), dict(cifar.CIFAR10.md5)))
    for name, file in (("fashion_mnist", "t10k-labels-idx1-ubyte.gz"), ("cifar10", "cifar-10-python.tar.gz")):
        with pytest.raises(Problem, match="could not be downloaded") as caught:
            DATASETS[name](root=str(tmp_path))
        said = str(caught.value)
        assert file in said and "data.root=FOLDER" in said and "FROMNOISE_DATA=FOLDER" in said and "\n" not in said
    assert [p for p in tmp_path.rglob("*") if p.is_file()] == []
