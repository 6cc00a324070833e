"""The run folder: everything that a run leaves, described by itself."""

import json
import secrets
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Recipe, read
from ..errors import Problem, Usage
from ..files import digest, parse_json, replacing
from .log import Entry, entries, finite
from .plugins import import_plugins, keep_plugins

VERSION = 3  # of the folder's format
READ = (2, VERSION)  # and those that are read
EXAMPLES = "examples.safetensors"


class Run:
    """A run folder.

    config.yaml        the settings, resolved;  environment.json  machine, versions, commit, command
    model.safetensors  the averaged weights, for sampling;  last.ckpt  all that resuming needs
    examples.safetensors  what some held-out examples ask, where the model is conditioned on words or pictures
    log.jsonl          a line every `train.log_every` steps, and for each evaluation;  samples/  pictures;  report.html  to read
    plugins/           the files of parts of one's own, where the recipe names some
    weights/           averaged weights: those of the least held-out loss (best), and others as `train.keep_best` and `train.keep` say
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.weights, self.checkpoint, self.log_file = self.path / "model.safetensors", self.path / "last.ckpt", self.path / "log.jsonl"

    def recipe(self, trust: bool = False) -> Recipe:
        """What the run was made from; raises Problem where the folder is none, of another version, or names parts of its own that are not trusted."""
        file = self.path / "config.yaml"
        if not file.is_file():
            what = "there is no" if not self.path.exists() else "it has no config.yaml, so it is not a"
            if (meant := Path("runs") / self.path / "config.yaml").is_file():
                raise Usage(f"{self.path}: {what} run folder; did you mean {meant.parent}?")
            raise Usage(f"{self.path}: {what} run folder; `fromnoise train RECIPE --out {self.path}` makes one")
        recipe = read(file)
        if recipe.version not in READ:
            cure = "use the fromnoise that wrote it (environment.json names it), or train again"
            raise Problem(f"{self.path} was written in run format {recipe.version}, this fromnoise reads {' and '.join(map(str, READ))}; {cure}")
        if recipe.version == 2:
            recipe = Recipe.of(_scaled(recipe.as_dict()))
        recipe.check_trusted(trust, self.path)
        if trust:
            import_plugins(self.path, recipe)
        return recipe

    @property
    def id(self) -> str | None:
        """A name of the run that no other has, by which its files are known to be its own; None before its settings are written."""
        file = self.path / "config.yaml"
        return read(file).id if file.is_file() else None

    def check_own(self, file: Path, run: Any) -> None:
        """Raises Problem where a file says that it is of another run; what says nothing may be of any."""
        if not isinstance(run, str | None) or (run and self.id not in (None, run)):
            raise Problem(f"{file} is of another run than {self.path / 'config.yaml'}; put back the file that belongs here")

    def write_recipe(self, recipe: Recipe) -> None:
        """Writes config.yaml, which names the run for life, and the files of parts of one's own beside it."""
        name = self.id if (self.path / "config.yaml").is_file() else secrets.token_hex(4)
        self.write("config.yaml", replace(recipe, version=VERSION, id=name).text())
        keep_plugins(self.path, recipe)

    def write(self, name: str, text: str) -> None:
        with replacing(self.path / name) as temporary:
            temporary.write_text(text)

    def write_json(self, name: str, content: Any) -> None:
        self.write(name, json.dumps(finite(content), indent=2, default=str) + "\n")

    # Weights

    def weights_named(self, name: str) -> Path:
        """Where weights lie: the last ones, or others by name, such as best or step_00001000."""
        return self.weights if name == "last" else self.path / "weights" / f"{name}.safetensors"

    def save_weights(self, model: nn.Module, step: int, name: str = "last") -> None:
        """The model's weights as safetensors; what its base lends it stays there."""
        frozen = getattr(model, "unsaved", ())
        tensors = {name: tensor for name, tensor in model.state_dict().items() if name not in frozen}
        write_tensors(self.weights_named(name), tensors, {"format": "fromnoise", "version": str(VERSION), "step": str(step), "run": self.id or ""})

    def load_weights(self, model: nn.Module, name: str = "last") -> None:
        """Fills the model with the run's weights; raises Problem where they are missing, cut short, or of another model."""
        file = self.weights_named(name)
        if name != "last" and not file.is_file():
            there = ["last", *sorted(other.stem for other in file.parent.glob("*.safetensors"))]
            raise Usage(f"{self.path} holds no weights {name!r}; it has {', '.join(there)}")
        if not file.is_file():
            cure = "train it further with the same command, or choose another run"
            raise Problem(f"{self.path} holds no weights yet ({file.name} is missing): {cure}")
        tensors, said = read_tensors(file, "run the training command again to rewrite it, or restore a copy")
        own, frozen = model.state_dict(), getattr(model, "unsaved", ())
        lacking = next((f"it lacks {name}" for name in own if name not in tensors and name not in frozen), None)
        if wrong := lacking or misfit(own, tensors):
            raise Problem(f"{file} is of another model: {wrong}; config.yaml and {file.name} must come from one run")
        self.check_own(file, said.get("run"))
        model.load_state_dict(tensors, strict=False)

    # What held-out data asks

    def save_examples(self, examples: Mapping[str, Tensor | list[str]]) -> None:
        """Values of conditions, by key: tensors, and lists of words."""
        tensors = {key: value for key, value in examples.items() if isinstance(value, Tensor)}
        words = {key: json.dumps(value) for key, value in examples.items() if key not in tensors}
        write_tensors(self.path / EXAMPLES, tensors, words)

    def load_examples(self) -> dict[str, Tensor | list[str]]:
        """The values of `save_examples`; none where there are none."""
        file = self.path / EXAMPLES
        if not file.is_file():
            return {}
        tensors, words = read_tensors(file, cure := "remove it, it only holds examples")
        try:
            said = {key: parse_json(value) for key, value in words.items() if key != "format"}
        except json.JSONDecodeError as error:
            raise Problem(f"{file} is damaged, its words are none ({error.msg}); {cure}") from error
        if odd := [key for key, value in said.items() if not (isinstance(value, list) and value)]:
            raise Problem(f"{file} is damaged, {odd[0]} is no list of words; {cure}")
        return tensors | said

    # Resuming

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        with replacing(self.checkpoint) as temporary:
            try:
                torch.save({**state, "run": self.id}, temporary)
            except RuntimeError as error:  # how torch says that the disk is full
                raise OSError(28, f"writing failed, is the disk full? ({str(error).splitlines()[0]})") from error

    def load_checkpoint(self) -> dict[str, Any]:
        cure = "restore a copy, or begin anew with --fresh (the present run is kept beside)"
        try:
            with zipfile.ZipFile(self.checkpoint) as content:
                if damaged := content.testzip():  # torch does not look at the check sums that it writes
                    raise ValueError(f"{damaged} holds other bits than were written")
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # a cut file raises one of a dozen types
            why = (str(error) or type(error).__name__).splitlines()[0][:120]
            raise Problem(f"{self.checkpoint} cannot be read, it may be cut short or damaged ({why}); {cure}") from error
        if not isinstance(state, dict) or not isinstance(state.get("version"), int):
            raise Problem(f"{self.checkpoint} is no checkpoint of a run; {cure}")
        if state["version"] not in READ:
            raise Problem(f"{self.checkpoint} is of format {state['version']}, this fromnoise reads {' and '.join(map(str, READ))}; begin anew with --fresh")
        self.check_own(self.checkpoint, state.get("run"))
        return state

    # The log

    def log(self, **entry: Any) -> None:
        try:
            with open(self.log_file, "a") as file:
                file.write(json.dumps(finite(entry)) + "\n")
        except OSError as error:
            raise Problem(f"cannot write {self.log_file}: {error.strerror}; free some space, then run the same command to go on") from error

    def entries(self) -> Iterator[Entry]:
        """The lines of the log."""
        return entries(self.log_file)

    def finished(self, step: int) -> bool:
        """Whether the run has been brought to its end at this step: pictures, summary and report are there."""
        return any(entry.get("event") == "finished" and entry["step"] == step for entry in self.entries())

    def rewind_log(self, step: int) -> None:
        """Forgets what was logged after a step, since it will be lived again."""
        kept = [entry for entry in self.entries() if entry["step"] <= step]
        self.write("log.jsonl", "".join(json.dumps(entry) + "\n" for entry in kept))

    def set_aside(self) -> Path | None:
        """Renames an existing folder, so that a fresh run loses nothing; the new name."""
        if not self.path.exists() or not any(self.path.iterdir()):
            return None
        path = self.path.resolve()
        number = next(i for i in range(1, 10**6) if not path.with_name(f"{path.name}.old{i}").exists())
        return path.rename(path.with_name(f"{path.name}.old{number}"))


def write_tensors(file: Path, tensors: Mapping[str, Tensor], words: Mapping[str, str]) -> None:
    """A safetensors file of tensors and words."""
    from safetensors.torch import save

    packed = save({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, {**words, "digest": digest(tensors)})
    with replacing(file) as temporary:
        temporary.write_bytes(packed)


def read_tensors(file: Path, cure: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The (tensors, words) of a safetensors file; raises Problem, with what helps, where it cannot be read or holds other bits than were written."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, "pt") as content:
            tensors, words = {name: content.get_tensor(name) for name in content.keys()}, content.metadata() or {}
    except (SafetensorError, OSError, UnicodeDecodeError) as error:
        raise Problem(f"{file} cannot be read, it may be cut short ({error}); {cure}") from error
    if words.pop("digest", found := digest(tensors)) != found:
        raise Problem(f"{file} is damaged, it holds other numbers than were written; {cure}")
    return tensors, words


def misfit(own: Mapping[str, Tensor], tensors: Mapping[str, Tensor]) -> str | None:
    """The first of the tensors that has no place of its name and shape in a model's own, in words."""
    for name, tensor in tensors.items():
        if name not in own or own[name].shape != tensor.shape:
            return f"{name} is {tuple(tensor.shape)} there, {tuple(own[name].shape) if name in own else 'nothing'} here"
    return None


def _scaled(node: Any) -> Any:
    """A node of format 2, in which scaled_linear betas ran from 1e-4 to 0.02 unless said, with those written out."""
    if isinstance(node, list):
        return [_scaled(part) for part in node]
    if not isinstance(node, Mapping):
        return node
    said = {key: _scaled(value) for key, value in node.items()}
    return {**said, "start": said.get("start", 1e-4), "end": said.get("end", 0.02)} if said.get("betas") == "scaled_linear" else said
