"""The first stage of latent diffusion: an autoencoder that is trained already or has nothing to train, and stays as it is."""

import hashlib
import inspect
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import Tensor

from .. import convert
from ..autoencoders import AUTOENCODERS, Autoencoder, Tiled
from ..config import Recipe, Within
from ..config import build as make
from ..device import best
from ..errors import Problem, Usage
from ..registry import lookup
from ..runs import Run
from ..runs import digest as name_of
from .autoencoding import Autoencoding, build_autoencoder


class FirstStage(Autoencoder):
    """An autoencoder of another run, frozen, or one with nothing to train, whose latents are brought to mean 0 and standard deviation 1 in each channel,
    or in all together where nothing of it was learnt, so that its channels keep their scales: z = (z' - mean) / std.

    mean, std  (C',) of its latents on the data that is diffused, measured once (`measure`) and kept with the model (Rombach et al. 2022, appendix G)
    node       how a recipe names it;  digest  what changes when its latents do
    trained    () -> what it was trained as, read from its run; None where nothing of it was

    Its own weights are those of its run, which keeps them: they are in no state_dict of this.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, inner: Autoencoder, shape: Sequence[int], node: Mapping[str, Any], digest: str,
                 trained: Callable[[], Autoencoding] | None = None):  # fmt: skip
        super().__init__()
        self._inner, self.trained = (inner.requires_grad_(False).eval(),), trained  # in a tuple, which is no part of a module
        self.shape, self.node, self.digest = tuple(shape), dict(node), digest
        self.factor, self.latent, self.variational = inner.factor, inner.latent, inner.variational
        self.through(inner)  # which raises Usage for what cannot go in tiles
        self.register_buffer("mean", torch.zeros(inner.latent))
        self.register_buffer("std", torch.ones(inner.latent))

    @property
    def inner(self) -> Autoencoder:
        """The autoencoder itself."""
        return self._inner[0]

    def through(self, autoencoder: Autoencoder) -> Autoencoder:
        """The autoencoder, in tiles where `node` says so."""
        return Tiled(autoencoder, self.node["tile"]) if self.node.get("tile") else autoencoder  # type: ignore[arg-type]  # which Tiled checks

    def _apply(self, fn: Any, recurse: bool = True) -> "FirstStage":
        self.inner._apply(fn, recurse)
        return super()._apply(fn, recurse)

    def release_encoder(self) -> None:
        """Frees the memory of what encodes, which training from a cache needs for held-out examples alone; it is then read from its run for each of them."""
        if self.trained:
            self.inner.release_encoder()

    @property
    def title(self) -> str:
        """What it is called: its folder, or its name."""
        return self.node.get("path", self.node["name"]) if self.trained else self.node["name"]

    def train(self, mode: bool = True) -> "FirstStage":
        """It stays in evaluation mode."""
        return super().train(False)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        inner = self.trained().autoencoder.to(x.device) if self.trained and self.inner.released else self.inner
        return self.normalised(*self.through(inner).moments(x))

    def normalised(self, mean: Tensor, log_variance: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """The autoencoder's own moments as those of z."""
        shift, scale = (part[..., *[None] * (mean.ndim - 2)] for part in (self.mean, self.std))
        return (mean - shift) / scale, None if log_variance is None else log_variance - 2 * scale.log()

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        shift, scale = (part[..., *[None] * (z.ndim - 2)] for part in (self.mean, self.std))
        return self.through(self.inner).decode(z * scale + shift, size)

    def holes(self, mask: Tensor, size: Sequence[int]) -> Tensor:
        return self.inner.holes(mask, size)

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        if len(shape) != len(self.shape) or shape[0] != self.shape[0]:
            what = f"the autoencoder {self.title} is of examples of {self.shape[0]} channels and {len(self.shape) - 1} axes, and these are {tuple(shape)}"
            raise Usage(f"{what}; train one on such data, or bring the data to its channels (data.channels)")
        return self.inner.latent_shape(shape)

    @torch.no_grad()
    def measure(self, moments: Iterable[tuple[Tensor, Tensor | None]]) -> None:
        """Takes mean and std of latents from the autoencoder's own moments of examples: Var[z] = Var[mean] + E[variance]. Raises Problem where a
        channel is not a number or never changes."""
        places = -2 if self.trained else -1
        means, variances = zip(*[(m.movedim(1, -1).flatten(0, places).double(), None if v is None else v.movedim(1, -1).flatten(0, places).double().exp())
                                 for m, v in moments], strict=True)  # fmt: skip
        mean, noise = torch.cat(means), 0.0 if variances[0] is None else torch.cat(variances).mean(0)
        std = (mean.var(0, correction=0) + noise).sqrt()
        if not bool(std.isfinite().all()):
            cure = "train it again, with a lower train.lr or train.precision=fp32" if self.trained else "check the data"
            raise Problem(f"latents of the autoencoder {self.title} are not finite; {cure}")
        if bool((std < 1e-6).any()):
            if not self.trained:
                raise Problem(f"the latents of {self.title} are one number everywhere; check the data")
            dead = [i for i, value in enumerate(std.tolist()) if value < 1e-6]
            what = f"channel {dead[0]} of the latents of {self.title} never changes ({len(dead)} of {len(std)} do not)"
            raise Problem(f"{what}; train it longer, or with fewer channels")
        self.mean.copy_(mean.mean(0))
        self.std.copy_(std)


def first_stage(
    path: str, weights: str = "last", digest: str | None = None, tile: Annotated[int, Within(8, 2**20)] | None = None, trust: bool = False
) -> FirstStage:
    """The autoencoder of a run folder, as what lies between pictures and what is diffused.

    path  the folder;  weights  last, best, or a name of its weights/;  digest  of these, which a run keeps
    tile  pixels a side of the tiles in which larger pictures go through it, one at a time (see `Tiled`); null: whole
    """
    if not Path(path).is_dir():
        raise Problem(f"the autoencoder {path} is not there; train it first, or set autoencoder.path to where it is now (in config.yaml of a trained run)")
    trained = load_autoencoder(path, "cpu", trust, weights)
    found = name_of(trained.autoencoder.state_dict())
    if digest not in (None, found):
        raise Problem(f"the autoencoder {path} holds other weights than the ones this run began with; restore those")
    node = {"name": "run", "path": str(Path(path).resolve()), "weights": weights, "digest": found}
    node, named = (node | {"tile": tile}, f"{found}-tile{tile}") if tile else (node, found)  # whose latents may be others than without
    return FirstStage(trained.autoencoder, trained.shape, node, named, lambda: load_autoencoder(path, "cpu", trust, weights))


def is_fixed(name: Any) -> bool:
    """Whether an autoencoder's name, or one's own `module:Name`, is of one with nothing to train."""
    return getattr(lookup(AUTOENCODERS, name, "autoencoder"), "fixed", False)


def fixed_stage(node: Mapping[str, Any], shape: Sequence[int]) -> FirstStage:
    """The autoencoder with nothing to train that a node names, for examples of this shape; its digest is of its settings, defaults among them."""
    kind = lookup(AUTOENCODERS, node["name"], "autoencoder")
    fitting = kind.fitting(shape)
    inner = make(AUTOENCODERS, node, "autoencoder", kind=Autoencoder, **fitting)
    usual = {key: p.default for key, p in inspect.signature(kind).parameters.items()}
    own = sorted({**usual, **{key: value for key, value in fitting.items() if key in usual}, **node}.items())
    return FirstStage(inner, shape, node, hashlib.sha256(repr(own).encode()).hexdigest()[:16])


def load_autoencoder(path: str | Path, device: str | torch.device | None = None, trust: bool = False, weights: str = "last") -> Autoencoding:
    """The trained autoencoder of a run folder, its averaged weights, ready to encode and decode. Raises Usage where the run is of something else."""
    if is_foreign(path):
        return _foreign(path).to(best(device))
    run, recipe = Run(path), recipe_of(path, trust)
    if not recipe.reconstructs:
        raise Usage(f"{path} is the run of a diffusion model, not of an autoencoder; name one that was trained by a recipe with autoencoder and without network")
    if not recipe.shape:
        raise Problem(f"{path}: config.yaml names no shape, which a run keeps of its data; restore it, or train again")
    model = build_autoencoder(recipe)
    run.load_weights(model, weights)
    return model.to(best(device)).eval()


def is_foreign(path: str | Path) -> bool:
    """Whether a folder is no run's, and has files of its own as diffusers writes an autoencoder or a network alone."""
    return not (Path(path) / "config.yaml").is_file() and (Path(path) / "config.json").is_file()


def recipe_of(path: str | Path, trust: bool = False) -> Recipe:
    """The recipe of a run folder, or that of an autoencoder in diffusers' layout."""
    if not is_foreign(path):
        return Run(path).recipe(trust)
    found = convert.autoencoder.read(path)
    return Recipe(autoencoder=found.node, shape=(found.channels, *[found.factor] * 2))  # its sides are of no account


def _foreign(path: str | Path) -> Autoencoding:
    """The autoencoder of a folder in diffusers' layout."""
    found, model = convert.autoencoder.read(path), build_autoencoder(recipe_of(path))
    model.autoencoder.load_state_dict(found.tensors)
    for note in found.notes:
        print(f"fromnoise: {note}", file=sys.stderr)
    return model.eval()
