"""Pretrained text encoders, frozen: CLIP's, T5's, or any that transformers reads."""

import hashlib
import os
import re
import sqlite3
from collections.abc import Sequence
from functools import cached_property
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ...errors import Problem, Usage
from ...files import cache
from ...progress import track
from .encoder import Encoder, rounded

AT_ONCE = 64  # texts
FILE = re.compile(r"model(?:\.(\w+))?(?:-\d+-of-\d+)?\.safetensors")


class Pretrained(Encoder):
    """The last hidden states (n, L, width) of a frozen encoder, by its name or folder; kept on disk by encoder and text, so that each text is read once.

    Its weights are not the run's: the run names it. It reads on the device that it is moved to. A folder of a pipeline in diffusers' layout has its
    encoder in text_encoder/, and its tokenizer in tokenizer/.

    pad     every text is filled up to `length` tokens, all of which count and are read, as in Stable Diffusion;  digest  of its weights (`digest_of`)
    Raises Problem where transformers is missing, or the encoder is neither here nor reachable.
    """

    def __init__(self, name: str, length: int | None = None, pad: bool = False, digest: str | None = None):
        super().__init__()
        self.name, self.pad, self.digest = name, pad, digest
        parts = [str(Path(name).expanduser() / part) for part in ("text_encoder", "tokenizer")]
        self.place, self.words = parts if Path(parts[0], "config.json").is_file() else (name, name)
        config = loaded("AutoConfig", self.place)
        text = getattr(config, "text_config", config)  # CLIP's has a picture's beside it
        self.width = text.hidden_size if hasattr(text, "hidden_size") else text.d_model
        most = getattr(text, "max_position_embeddings", None) or 512
        if length is not None and not 1 < length <= most:
            raise Usage(f"the encoder {name} takes 2 to {most} tokens, not {length}")
        self.length = length or min(most, 77)
        self.register_buffer("here", torch.empty(0), persistent=False)  # the network is not of the model, but on its device
        self._store = _Store(f"{name} {self._fingerprint(config)} {self.length}{' padded' * pad}")

    @cached_property
    def _parts(self) -> tuple[Any, Any]:
        """(tokenizer, network), loaded when a text is met that is not on disk."""
        if self.digest and self.digest != digest_of(self.place):
            raise Problem(f"the text encoder {self.place} holds other weights than the ones this run began with; restore those")
        variant = _weights(self.place)[1]
        taken = {"variant": variant} if variant else {}
        tokenizer, whole = loaded("AutoTokenizer", self.words), loaded("AutoModel", self.place, use_safetensors=True, **taken)
        self.masks = not self.pad or bool(getattr(whole.config, "use_attention_mask", False))
        network = getattr(whole, "text_model", None) or (whole.get_encoder() if whole.config.is_encoder_decoder else whole)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        return tokenizer, network.float().eval().requires_grad_(False)

    def _fingerprint(self, config: Any) -> str:
        """What changes when the encoder does: its files' sizes and times, or the commit that a name stands for."""
        paths = [path for here in dict.fromkeys((self.place, self.words)) for path in sorted(Path(here).expanduser().glob("*"))]
        files = [f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths] or [str(config._commit_hash)]
        return hashlib.sha256(("\n".join(files) + config.to_json_string()).encode()).hexdigest()[:16]

    def prepare(self, texts: Sequence[str]) -> None:
        unknown = self._store.missing(texts)
        parts = [unknown[first : first + AT_ONCE] for first in range(0, len(unknown), AT_ONCE)]
        for part in track(parts, f"reading {len(unknown):,} texts", len(parts)):
            self._read(part)

    @torch.no_grad()
    def _read(self, texts: Sequence[str]) -> None:
        tokenizer, network = self._parts
        network.to(self.here.device)
        every = tokenizer(list(texts))["input_ids"]
        for text, ids in zip(texts, every, strict=True):
            if len(ids) > self.length:
                self.cut(text, len(ids))
        # GPT's tokenizers make nothing of the empty text
        filled = [text if ids or self.pad else tokenizer.pad_token for text, ids in zip(texts, every, strict=True)]
        how = {"padding": "max_length" if self.pad else True, "truncation": True, "max_length": self.length}
        batch = tokenizer(filled, **how, return_tensors="pt").to(network.device)
        with torch.autocast(network.device.type, enabled=False):  # what is kept does not depend on the precision of whoever reads first
            states = network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"] if self.masks else None).last_hidden_state
        mask = torch.ones_like(batch["attention_mask"], dtype=torch.bool) if self.pad else batch["attention_mask"].bool()
        self._store.put({text: state[m].float().cpu().numpy() for text, state, m in zip(texts, states, mask, strict=True)})

    def forward(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        if unknown := self._store.missing(texts):
            self._read(unknown)
        found = [torch.from_numpy(state) for state in self._store.get(texts)]
        lengths = torch.tensor([len(state) for state in found])
        tokens = torch.zeros(len(found), rounded(int(lengths.max()), self.length), self.width)
        for i, state in enumerate(found):
            tokens[i, : len(state)] = state
        return tokens, torch.arange(tokens.shape[1]) < lengths[:, None]


def digest_of(folder: str | Path) -> str | None:
    """A short name of the weights in a folder of transformers', by their files; None where there are none, as of a name."""
    content, (files, _) = hashlib.sha256(), _weights(folder)
    for file in files:
        with open(file, "rb") as opened:
            content.update(hashlib.file_digest(opened, "sha256").digest())
    return content.hexdigest()[:16] if files else None


def _weights(folder: str | Path) -> tuple[list[Path], str]:
    """(the safetensors files of a folder's weights, whole or in shards; their variant, such as fp16, where there are none without one)."""
    found: dict[str, list[Path]] = {}
    for file in sorted(Path(folder).expanduser().glob("model*.safetensors")):
        if match := FILE.fullmatch(file.name):
            found.setdefault(match[1] or "", []).append(file)
    return min(((files, variant) for variant, files in found.items()), key=itemgetter(1), default=([], ""))


def loaded(kind: str, name: str, what: str = "text encoder", instead: str = "use encoder: words", **options: Any) -> Any:
    """transformers' `kind` (AutoConfig, AutoModel, …) of a name or folder, running no code of its own; raises Problem: no such `what`, and what to do `instead`."""
    try:
        import transformers
        from huggingface_hub.utils import logging as hub
    except ImportError as error:
        raise Problem(f'the {what} {name} needs transformers; run pip install "fromnoise[text]", or {instead}') from error
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    hub.set_verbosity_error()  # it reports every attempt
    here = Path(name).expanduser()
    if not here.is_dir() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise Problem(f"there is no folder {name} with a {what}; give the folder that save_pretrained wrote, or {instead}")
    try:
        return getattr(transformers, kind).from_pretrained(str(here) if here.is_dir() else name, trust_remote_code=False, **options)
    except (OSError, ValueError, KeyError, ImportError) as error:
        why = " ".join(str(error).split()).partition(". ")[0][:140]
        cure = f"give a folder with config.json, tokenizer and safetensors, or {instead}"
        raise Problem(f"the {what} {name} cannot be loaded or downloaded ({why}); {cure}") from error


class _Store:
    """Arrays (L, width) by text in one file of the cache, half precision; several processes may use it at once."""

    def __init__(self, key: str):
        self.path = cache() / "text" / f"{hashlib.sha256(key.encode()).hexdigest()[:16]}.sqlite"
        self.recent: dict[str, np.ndarray] = {}
        self.process = -1

    def _open(self) -> sqlite3.Connection:
        if self.process != os.getpid():  # connections do not outlive a fork
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                self.connection = sqlite3.connect(self.path, timeout=60)
                self.connection.execute("CREATE TABLE IF NOT EXISTS texts (text TEXT PRIMARY KEY, width INTEGER, states BLOB)")
            except (OSError, sqlite3.Error) as error:
                cure = "set FROMNOISE_CACHE to a folder that can be written"
                raise Problem(f"cannot keep embeddings of texts in {self.path} ({error}); {cure}") from error
            self.process = os.getpid()
        return self.connection

    def missing(self, texts: Sequence[str]) -> list[str]:
        unknown = [text for text in dict.fromkeys(texts) if text not in self.recent]
        return [text for text in unknown if not self._open().execute("SELECT 1 FROM texts WHERE text = ?", (text,)).fetchone()]

    def put(self, states: dict[str, np.ndarray]) -> None:
        rows = [(text, state.shape[1], state.astype(np.float16).tobytes()) for text, state in states.items()]
        try:
            with self._open() as connection:
                connection.executemany("INSERT OR REPLACE INTO texts VALUES (?, ?, ?)", rows)
        except sqlite3.Error as error:
            raise Problem(f"cannot keep embeddings of texts in {self.path} ({error}); free some space") from error

    def get(self, texts: Sequence[str]) -> list[np.ndarray]:
        if len(self.recent) > 4096:
            self.recent.clear()
        for text in set(texts) - set(self.recent):
            width, states = self._open().execute("SELECT width, states FROM texts WHERE text = ?", (text,)).fetchone()
            self.recent[text] = np.frombuffer(states, np.float16).reshape(-1, width).astype(np.float32)
        return [self.recent[text] for text in texts]
