"""The run folder: everything that a run leaves, described by itself."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..config import Recipe, read
from ..errors import Problem, Usage
from ..files import replacing
from .log import Entry, entries
from .plugins import import_plugins, keep_plugins

VERSION = 2  # of the folder's format
EXAMPLES = "examples.safetensors"


class Run:
    """A run folder.

    config.yaml        the settings, resolved;  environment.json  machine, versions, commit, command
    model.safetensors  the averaged weights, for sampling;  last.ckpt  all that resuming needs
    examples.safetensors  what some held-out examples ask, where the model is conditioned on words or pictures
    log.jsonl          a line every `train.log_every` steps, and for each evaluation;  samples/  pictures;  report.html  to read
    plugins/           the files of parts of one's own, where the recipe names some
    weights/           averaged weights: those of the least held-out loss (best), and of earlier steps as `train.keep` says
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.weights, self.checkpoint, self.log_file = self.path / "model.safetensors", self.path / "last.ckpt", self.path / "log.jsonl"

    def recipe(self, trust: bool = False) -> Recipe:
        """What the run was made from; raises Problem where the folder is none, of another version, or names parts of its own that are not trusted."""
        file = self.path / "config.yaml"
        if not file.is_file():
            what = "there is no" if not self.path.exists() else "it has no config.yaml, so it is not a"
            raise Usage(f"{self.path}: {what} run folder; `fromnoise train RECIPE --out {self.path}` makes one")
        recipe = read(file)
        if recipe.version != VERSION:
            raise Problem(
                f"{self.path} was written in run format {recipe.version}, this fromnoise reads {VERSION}; use the fromnoise that wrote it"
                " (environment.json names it), or train again"
            )
        recipe.check_trusted(trust, self.path)
        if trust:
            import_plugins(self.path, recipe)
        return recipe

    def write_recipe(self, recipe: Recipe) -> None:
        """Writes config.yaml, and the files of parts of one's own beside it."""
        self.write("config.yaml", replace(recipe, version=VERSION).text())
        keep_plugins(self.path, recipe)

    def write(self, name: str, text: str) -> None:
        with replacing(self.path / name) as temporary:
            temporary.write_text(text)

    def write_json(self, name: str, content: Any) -> None:
        self.write(name, json.dumps(content, indent=2, default=str) + "\n")

    # Weights

    def weights_named(self, name: str) -> Path:
        """Where weights lie: the last ones, or others by name, such as best or step_00001000."""
        return self.weights if name == "last" else self.path / "weights" / f"{name}.safetensors"

    def save_weights(self, model: nn.Module, step: int, name: str = "last") -> None:
        """The model's weights as safetensors; what its base lends it stays there."""
        from safetensors.torch import save

        frozen = getattr(model, "frozen_from_base", ())
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items() if name not in frozen}
        packed = save(tensors, {"format": "fromnoise", "version": str(VERSION), "step": str(step)})
        with replacing(self.weights_named(name)) as temporary:
            temporary.write_bytes(packed)

    def load_weights(self, model: nn.Module, name: str = "last") -> None:
        """Fills the model with the run's weights; raises Problem where they are missing, cut short, or of another model."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        file = self.weights_named(name)
        if name != "last" and not file.is_file():
            there = ["last", *sorted(other.stem for other in file.parent.glob("*.safetensors"))]
            raise Usage(f"{self.path} holds no weights {name!r}; it has {', '.join(there)}")
        if not file.is_file():
            raise Problem(
                f"{self.path} holds no weights yet ({file.name} is missing): train it further with the same command, or choose another run"
            )
        try:
            tensors = load_file(file)
        except (SafetensorError, OSError) as error:
            raise Problem(
                f"{file} cannot be read, it may be cut short ({error}); run the training command again to rewrite it, or restore a copy"
            ) from error
        frozen = getattr(model, "frozen_from_base", ())
        missing, unexpected = model.load_state_dict(tensors, strict=False) if self._fits(model, tensors, file) else ([], [])
        missing = [name for name in missing if name not in frozen]
        if missing or unexpected:
            name = (missing or unexpected)[0]
            word = "lacks" if missing else "has besides"
            raise Problem(f"{file} is of another model: it {word} {name}; config.yaml and {file.name} must come from one run")

    def _fits(self, model: nn.Module, tensors: Mapping[str, Tensor], file: Path) -> bool:
        own = model.state_dict()
        for name, tensor in tensors.items():
            if name in own and own[name].shape != tensor.shape:
                raise Problem(
                    f"{file} is of another model: {name} is {tuple(tensor.shape)} there, {tuple(own[name].shape)} here; "
                    f"config.yaml and {file.name} must come from one run"
                )
        return True

    # What held-out data asks

    def save_examples(self, examples: Mapping[str, Tensor | list[str]]) -> None:
        """Values of conditions, by key: tensors, and lists of words."""
        from safetensors.torch import save

        tensors = {key: value.cpu().contiguous() for key, value in examples.items() if isinstance(value, Tensor)}
        words = {key: json.dumps(value) for key, value in examples.items() if not isinstance(value, Tensor)}
        with replacing(self.path / EXAMPLES) as temporary:
            temporary.write_bytes(save(tensors, words))

    def load_examples(self) -> dict[str, Tensor | list[str]]:
        """The values of `save_examples`; none where there are none."""
        from safetensors import SafetensorError, safe_open

        file = self.path / EXAMPLES
        if not file.is_file():
            return {}
        try:
            with safe_open(file, "pt") as content:
                words = {key: json.loads(value) for key, value in (content.metadata() or {}).items() if key != "format"}
                return {key: content.get_tensor(key) for key in content.keys()} | words  # noqa: SIM118
        except (SafetensorError, OSError, ValueError) as error:
            raise Problem(f"{file} cannot be read, it may be cut short ({error}); remove it, it only holds examples") from error

    # Resuming

    def save_checkpoint(self, state: Mapping[str, Any]) -> None:
        with replacing(self.checkpoint) as temporary:
            try:
                torch.save(dict(state), temporary)
            except RuntimeError as error:  # how torch says that the disk is full
                raise OSError(28, f"writing failed, is the disk full? ({str(error).splitlines()[0]})") from error

    def load_checkpoint(self) -> dict[str, Any]:
        try:
            state = torch.load(self.checkpoint, map_location="cpu", weights_only=True)
        except Exception as error:  # a cut file raises one of a dozen types
            raise Problem(
                f"{self.checkpoint} cannot be read, it may be cut short ({str(error).splitlines()[0][:120]}); restore a copy, or begin anew with --fresh "
                "(the present run is kept beside)"
            ) from error
        if state.get("version") != VERSION:
            raise Problem(f"{self.checkpoint} is of format {state.get('version')}, this fromnoise reads {VERSION}; begin anew with --fresh")
        return state

    # The log

    def log(self, **entry: Any) -> None:
        try:
            with open(self.log_file, "a") as file:
                file.write(json.dumps(entry) + "\n")
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
