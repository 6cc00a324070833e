"""Pictures that the memory does not hold at once: an autoencoder in tiles."""

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import product

import torch
from torch import Tensor, nn

from ..errors import Usage, at_least
from ..networks.layers.axes import CONVS, Fold, Unfold, cropped, padded
from .autoencoder import Autoencoder
from .conv_ae import POOLS
from .encoder_decoder import EncoderDecoder

WINDOWS = (*CONVS.values(), *POOLS.values(), Fold)  # layers that look at a neighbourhood
POINTWISE = (nn.Identity, nn.ReLU, nn.SiLU, nn.Mish, nn.Tanh, nn.GroupNorm)  # the last, where its mean and variance are given
Span = tuple[int, int]  # from where to where
Sample = tuple[int, Tensor, Tensor]  # count, mean and variance, the latter (B, groups)


class Tiled(Autoencoder):
    """An autoencoder whose x and z are cut into overlapping tiles, one of which at a time goes through the network; same interface, same shapes.

    tile     pixels a side of a tile
    overlap  pixels a side that neighbours share; null: as many as make tiles exact, where that is less than a tile, else a quarter of it
    whole    group norms have the mean and variance of the whole picture, for which all tiles go up to each norm first; false: each tile has its own

    Where layers look at neighbourhoods alone (`tiny`, `conv_vae`), and tiles share twice their reach, the answer is the same as without tiles: what a tile
    computes within reach of its own cuts is dropped. Of less overlap a quarter at each cut is dropped and the rest blended linearly; near there the answer
    is another one.
    Group norms (`conv_ae`, `kl`, `vq`) are of the whole picture: with `whole` that is so here too, and the answer is the same, at about half as many times
    the work as there are norms (a `kl` of four levels has 21 and 29). Without it colours and textures jump from tile to tile: of random weights, a picture
    of 256 pixels of areas unlike each other, and tiles of 128, the difference was 0.5 to 1 of the answer's own deviation.
    Attention sees its own tile alone: a `kl` whose middle attends is never exact (there 0.04 encoding and 0.23 decoding with `whole`, 0.5 and 1 without).
    """

    def __init__(self, autoencoder: EncoderDecoder, tile: int = 512, overlap: int | None = None, whole: bool = True):
        super().__init__()
        if not any(isinstance(layer, tuple(CONVS.values())) for layer in autoencoder.modules()):
            raise Usage(f"{type(autoencoder).__name__} has no places that tiles could share; leave tiling out")
        at_least(1, "tiling", tile=tile)
        at_least(0, "tiling", overlap=overlap or 0)
        self.autoencoder, self.latent, self.factor, self.whole = autoencoder, autoencoder.latent, autoencoder.factor, whole
        self.tile, self.overlap = -(-tile // self.factor), overlap if overlap is None else -(-overlap // self.factor)  # in places of z

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.autoencoder.latent_shape(shape)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        ae = self.autoencoder
        return ae.parted(self._tiled(ae.encoder, ae.features, padded(x, self.factor), self.factor, 1))

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return cropped(self._tiled(self.autoencoder.decoder, self.autoencoder.decode, z, 1, self.factor), size)

    def _tiled(self, network: nn.Module, run: Callable[[Tensor], Tensor], x: Tensor, before: int, after: int) -> Tensor:
        """run(x), which is through the network, of tiles; before, after: places of x and of the answer to one of z."""
        sides = [side // before for side in x.shape[2:]]
        overlap, exact = self._overlap(reach(network) / before, max(sides))
        tiles = list(product(*(cuts(side, self.tile, overlap) for side in sides)))
        if len(tiles) == 1:
            return run(x)
        norms = Norms(network if self.whole else nn.Identity())

        def through(spans: Sequence[Span]) -> Tensor:
            half = overlap // 2
            norms.own = [((a > 0) * half, b - a - (b < side) * (overlap - half), b - a) for (a, b), side in zip(spans, sides, strict=True)]
            return run(x[(..., *[slice(a * before, b * before) for a, b in spans])])

        with norms.shared():
            for _ in norms.layers:
                for spans in tiles:
                    with suppress(Reached):
                        through(spans)
                norms.next_pass()
            out = None
            for spans in tiles:
                y = through(spans)
                out = y.new_zeros(*y.shape[:2], *[side * after for side in sides]) if out is None else out
                for axis, ((a, b), side) in enumerate(zip(spans, sides, strict=True)):
                    share = shares((b - a) * after, overlap * after, a > 0, b < side, exact).to(y)
                    y = y * share.view(-1, *[1] * (len(sides) - 1 - axis))
                out[(..., *[slice(a * after, b * after) for a, b in spans])] += y
        assert out is not None
        return out

    def _overlap(self, far: float, side: int) -> tuple[int, bool]:
        """How many places of z neighbours share, and whether that is twice what the layers see, so that half of it is dropped in place of blending."""
        enough = 2 * math.ceil(far) if far < math.inf else side
        overlap = self.overlap if self.overlap is not None else enough if enough < self.tile else self.tile // 4
        exact, most = overlap >= enough, self.tile - 1 if overlap >= enough else self.tile // 2
        if overlap > most and side > self.tile:
            sizes = f"tiles of {self.tile * self.factor} pixels may share up to {most * self.factor} of them"
            raise Usage(f"{sizes}, not {overlap * self.factor}; choose larger tiles, or less overlap")
        return overlap, exact


class Reached(Exception):
    """A tile has come to the first norm whose mean and variance are not known yet."""


class Norms:
    """The group norms of a network, with the mean and variance of all tiles together, each place counted once. A pass over the tiles finds those of the
    first norm that has none yet, where each tile stops by `Reached`.

    own  of the tile that goes through next, for each axis: from where to where it is counted, and how long it is
    """

    def __init__(self, network: nn.Module):
        self.layers = [layer for layer in network.modules() if isinstance(layer, nn.GroupNorm)]
        self.known: dict[nn.Module, Sample] = {}
        self.found: dict[nn.Module, Sample] = {}  # in this pass, so far
        self.own: list[tuple[int, int, int]] = []

    @contextmanager
    def shared(self) -> Iterator[None]:
        """While the network's norms are these."""
        handles = [layer.register_forward_hook(self._normalise) for layer in self.layers]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def next_pass(self) -> None:
        self.known, self.found = self.known | self.found, {}

    def _normalise(self, layer: nn.GroupNorm, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        x, groups, ones = inputs[0], layer.num_groups, [1] * (inputs[0].ndim - 2)
        wide = x.reshape(len(x), groups, -1, *x.shape[2:]).to(torch.promote_types(x.dtype, torch.float32))
        if layer not in self.known:
            scales = [side // length for side, (_, _, length) in zip(x.shape[2:], self.own, strict=True)]
            own = wide[(..., *[slice(a * scale, b * scale) for (a, b, _), scale in zip(self.own, scales, strict=True)])].flatten(2)
            self.found[layer] = together(self.found.get(layer), (own.shape[2], own.mean(2), own.var(2, correction=0)))
            raise Reached
        mean, variance = (part.view(len(x), groups, 1, *ones) for part in self.known[layer][1:])
        y = ((wide - mean) * (variance + layer.eps).rsqrt()).view(x.shape)
        return (y * layer.weight.view(-1, *ones) + layer.bias.view(-1, *ones)).to(output)


def together(a: Sample | None, b: Sample) -> Sample:
    """Count, mean and variance of two samples as one (Chan et al. 1983); those of b alone where a is None."""
    if a is None:
        return b
    n, difference = a[0] + b[0], b[1] - a[1]
    mean = a[1] + difference * (b[0] / n)
    return n, mean, (a[0] * a[2] + b[0] * b[2]) / n + difference.square() * (a[0] / n * b[0] / n)


def cuts(side: int, tile: int, overlap: int) -> list[Span]:
    """From where to where the tiles of a side go, neighbours sharing `overlap`; one where the side is no longer than a tile."""
    if side <= tile:
        return [(0, side)]
    return [(a, min(a + tile, side)) for a in range(0, side - overlap, tile - overlap)]


def shares(length: int, overlap: int, before: bool, behind: bool, exact: bool) -> Tensor:
    """How much each place of a tile counts, (length,): 1 but where a neighbour `before` or `behind` shares it, and there the two together.

    exact: the half next to a tile's own cut does not count, the other does; otherwise a quarter does not, and half between rises and falls linearly.
    """
    across = (torch.arange(overlap) + 0.5) / overlap
    rise, share = across.round() if exact else (2 * across - 0.5).clamp(0, 1), torch.ones(length)
    if before:
        share[:overlap] *= rise
    if behind:
        share[length - overlap :] *= 1 - rise
    return share


def reach(network: nn.Module) -> float:
    """How many places of its input away something still counts for an answer; infinity where all do, as with attention.

    The layers are those of `modules`, in the order in which they are called.
    """
    far, stride = 0.0, 1.0
    for layer in network.modules():
        if isinstance(layer, WINDOWS):
            sizes = (getattr(layer, key) for key in ("kernel_size", "stride", "padding"))
            kernel, step, pad = (n if isinstance(n, int) else n[0] for n in sizes)
            far, stride = far + max(pad, kernel - 1 - pad) * stride, stride * step
        elif isinstance(layer, (nn.Upsample, Unfold)):
            stride /= float(layer.scale_factor)  # type: ignore[arg-type]  # one for all axes
        elif not (isinstance(layer, POINTWISE) or any(True for _ in layer.children())):
            return math.inf
    return far
