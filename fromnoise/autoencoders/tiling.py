"""Pictures that the memory does not hold at once: an autoencoder in tiles."""

import math
from collections.abc import Callable, Sequence
from itertools import product

import torch
from torch import Tensor, nn

from ..errors import Usage, at_least
from ..networks.layers.axes import CONVS, cropped, padded
from .autoencoder import Autoencoder
from .conv_ae import POOLS
from .encoder_decoder import EncoderDecoder

WINDOWS = (*CONVS.values(), *POOLS.values())  # layers that look at a neighbourhood
POINTWISE = (nn.Identity, nn.ReLU, nn.SiLU, nn.Mish, nn.Tanh)


class Tiled(Autoencoder):
    """An autoencoder whose x and z are cut into overlapping tiles, one of which at a time goes through the network; same interface, same shapes.

    tile     pixels a side of a tile
    overlap  pixels a side that neighbours share; null: as many as make tiles exact, or where none do a quarter of the tile

    Where all layers look at neighbourhoods alone (`tiny`, `conv_vae`), an overlap of twice their reach makes every answer the same as without tiles: the
    half that a tile computed next to its own cut is dropped. Otherwise the overlap is blended linearly, and the answer is another one than without tiles:
    a group norm takes its mean and variance from the tile, and attention sees the tile alone. With a middle that attends, and a tile that holds little of
    the picture, colours and textures may drift from tile to tile. z is standardised, where it is, over the whole of it.
    """

    def __init__(self, autoencoder: EncoderDecoder, tile: int = 512, overlap: int | None = None):
        super().__init__()
        if not any(isinstance(layer, tuple(CONVS.values())) for layer in autoencoder.modules()):
            raise Usage(f"{type(autoencoder).__name__} has no places that tiles could share; leave tiling out")
        at_least(1, "tiling", tile=tile)
        at_least(0, "tiling", overlap=overlap or 0)
        self.autoencoder, self.latent, self.factor = autoencoder, autoencoder.latent, autoencoder.factor
        self.tile, self.overlap = -(-tile // self.factor), overlap if overlap is None else -(-overlap // self.factor)  # in places of z

    def latent_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        return self.autoencoder.latent_shape(shape)

    def moments(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        ae = self.autoencoder
        return ae.parted(self._tiled(ae.features, padded(x, self.factor), (self.factor, 1), reach(ae.encoder) / self.factor))

    def decode(self, z: Tensor, size: Sequence[int] | None = None) -> Tensor:
        return cropped(self._tiled(self.autoencoder.decode, z, (1, self.factor), reach(self.autoencoder.decoder)), size)

    def _tiled(self, run: Callable[[Tensor], Tensor], x: Tensor, scales: tuple[int, int], far: float) -> Tensor:
        """run(x) of tiles; scales: places of x and of the answer to one of z;  far: places of z that the layers look away."""
        before, after = scales
        exact = 2 * math.ceil(far) if far < math.inf else None
        overlap = self.overlap if self.overlap is not None else self.tile // 4 if exact is None else exact
        sides, out = [side // before for side in x.shape[2:]], None
        if 2 * overlap > self.tile < max(sides):
            raise Usage(
                f"tiles of {self.tile * self.factor} pixels share {overlap * self.factor}, which is more than half; choose larger ones, or less overlap"
            )
        step = exact is not None and overlap >= exact
        for spans in product(*(cuts(side, self.tile, overlap) for side in sides)):
            y = run(x[(..., *[slice(a * before, b * before) for a, b in spans])])
            if out is None:
                out = y.new_zeros(*y.shape[:2], *[side * after for side in sides])
            for axis, ((a, b), side) in enumerate(zip(spans, sides, strict=True)):
                share = shares((b - a) * after, overlap * after, a > 0, b < side, step).to(y)
                y = y * share.view(-1, *[1] * (len(sides) - 1 - axis))
            out[(..., *[slice(a * after, b * after) for a, b in spans])] += y
        assert out is not None
        return out


def cuts(side: int, tile: int, overlap: int) -> list[tuple[int, int]]:
    """From where to where the tiles of a side go, neighbours sharing `overlap`; one where the side is no longer than a tile."""
    if side <= tile:
        return [(0, side)]
    return [(a, min(a + tile, side)) for a in range(0, side - overlap, tile - overlap)]


def shares(length: int, overlap: int, before: bool, behind: bool, step: bool) -> Tensor:
    """How much each place of a tile counts, (length,): 1 but where a neighbour `before` or `behind` shares it, and there the two together.

    step: the half next to a tile's own cut does not count, the other does; otherwise they rise and fall linearly.
    """
    rise = (torch.arange(overlap) + 0.5) / overlap
    rise, share = rise.round() if step else rise, torch.ones(length)
    if before:
        share[:overlap] = rise
    if behind:
        share[length - overlap :] = 1 - rise
    return share


def reach(network: nn.Module) -> float:
    """How many places of its input away something still counts for an answer; infinity where all do, as with a norm over places, or attention.

    The layers are those of `modules`, in the order in which they are called.
    """
    far, stride = 0.0, 1.0
    for layer in network.modules():
        if isinstance(layer, WINDOWS):
            kernel, step, pad = ((n if isinstance(n, int) else n[0]) for n in (layer.kernel_size, layer.stride, layer.padding))
            far, stride = far + max(pad, kernel - 1 - pad) * stride, stride * step
        elif isinstance(layer, nn.Upsample):
            stride /= layer.scale_factor
        elif not (isinstance(layer, POINTWISE) or any(True for _ in layer.children())):
            return math.inf
    return far
