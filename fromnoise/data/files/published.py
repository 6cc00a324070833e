"""Where published datasets lie: in the user's folders under their usual layouts, otherwise at their public sources."""

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import Problem
from ...files import cache, replacing
from ...progress import track

TIMEOUT = 30  # seconds without a byte before a mirror is given up


@dataclass(frozen=True)
class Published:
    """A published set of files: its name, the folders that it is usually found in, its mirrors, and each file's md5."""

    name: str
    layouts: tuple[str, ...]  # folders below a root, the most telling first; the last one may be "" for the root itself
    mirrors: tuple[str, ...]
    md5: Mapping[str, str]  # file name at the mirrors -> md5
    instead: str = ""  # what does without a network, as the end of a sentence

    def places(self, root: str | Path | None) -> list[Path]:
        """The folders that may hold the files: below `root` where it is given, else below $FROMNOISE_DATA and the cache."""
        return [place for home in homes(root) for layout in self.layouts if (place := home / layout).is_dir()]

    def target(self, root: str | Path | None) -> Path:
        """The folder that downloads go to: in the first of the places that can be written."""
        there = ((home, next(place for place in (home, *home.parents) if place.exists())) for home in homes(root))
        return next((home for home, place in there if os.access(place, os.W_OK)), cache() / "data") / self.layouts[0]

    def download(self, files: Iterable[str], root: str | Path | None, allowed: bool = True) -> Path:
        """Fetch those of `files` that are not there yet into the folder `target`, and return it; raises Problem where that is not allowed or fails."""
        if not allowed:
            raise Problem(f"{self.name} is not under {root or '$FROMNOISE_DATA or the cache'}. {self.cure}, or set data.download=true{self.instead}")
        target = self.target(root)
        for file in files:
            if not (target / file).exists():
                self._fetch(file, target / file, root)
        return target

    def _fetch(self, file: str, target: Path, root: str | Path | None) -> None:
        reasons = []
        for mirror in self.mirrors:
            try:
                return fetch(mirror + file, target, self.md5[file])
            except Unreached as reason:
                reasons.append(f"{mirror.split('/')[2]}: {reason}")
        searched = " or ".join(map(str, homes(root)))
        raise Problem(f"{self.name} is not under {searched} and could not be downloaded ({'; '.join(reasons)}). {self.cure}{self.instead}")

    @property
    def cure(self) -> str:
        """What to do where the files are missing."""
        return f"Put {', '.join(self.md5)} into a folder and name it: data.root=FOLDER, or the environment variable FROMNOISE_DATA=FOLDER"


def homes(root: str | Path | None) -> list[Path]:
    """The folders under which datasets are looked for, in order. Raises Problem where one that the user named does not exist."""
    setting, name = ("$FROMNOISE_DATA", os.environ.get("FROMNOISE_DATA") or None) if root is None else ("data.root", root)
    named = [] if name is None else [Path(name).expanduser()]
    if named and not named[0].is_dir():
        raise Problem(f"{setting} is {named[0]}, which is not a folder; name an existing one, or leave it out to download")
    return named + ([cache() / "data"] if root is None else [])


def located(path: str | Path) -> Path:
    """A path as it is; or, where it is relative and nothing is there, what is there below $FROMNOISE_DATA."""
    home, path = os.environ.get("FROMNOISE_DATA"), Path(path).expanduser()
    below = Path(home).expanduser() / path if home else path
    return below if not path.exists() and below.exists() else path


class Unreached(Exception):
    """A mirror did not give the file, or not the right one."""


def fetch(url: str, target: Path, md5: str) -> None:
    """Download `url` to `target`, whole and with the right md5, or not at all; raises Unreached for the mirror, Problem for the disk."""
    digest = hashlib.md5(usedforsecurity=False)
    with replacing(target) as temporary, open(temporary, "wb") as out:
        for chunk in _chunks(url, target.name):
            digest.update(chunk)
            out.write(chunk)
        if digest.hexdigest() != md5:
            raise Unreached("the file's checksum is wrong")


def _chunks(url: str, name: str) -> Iterator[bytes]:
    """The bytes at `url`; every trouble with the network is an Unreached, so that it is not taken for one with the disk."""
    received = 0
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"User-Agent": "fromnoise"}), timeout=TIMEOUT) as response:
            length = int(response.headers.get("Content-Length") or 0)
            for chunk in track(iter(lambda: response.read(1 << 18), b""), name, length, size=True):
                received += len(chunk)
                yield chunk
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise Unreached(_reason(error)) from error
    if received < length:
        raise Unreached(f"the transfer broke off after {received:,} of {length:,} bytes")


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        error = error.reason if isinstance(error.reason, Exception) else error
    return str(getattr(error, "strerror", None) or error or type(error).__name__).splitlines()[0]
