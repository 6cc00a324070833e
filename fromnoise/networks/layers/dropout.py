"""Dropout whose masks are a function of the example, not of the order in which numbers are drawn."""

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...draws import Draws
from ...errors import Usage

FACTORS = ((16, 0x7FEB352D), (15, 0x846CA68B - 2**32))  # of `lowbias32` (Wellons 2018): right shift, odd factor; then a last shift of 16
STRIDE = 0x9E3779B9 - 2**32  # 2^32 / the golden ratio: the layers' keys lie far apart


class Dropout(nn.Module):
    """Zeroes a share p of the elements in training and scales the rest by 1 / (1 - p) (Srivastava et al. 2014); any shape (B, …) -> the same.

    Where `set_dropout_keys` has given it keys (B,), an element's mask is a hash of (its example's key, its place in the example): the same
    however a batch is cut, and drawn again alike where activations are recomputed. Without keys it is torch's own dropout, of the global stream.
    """

    def __init__(self, p: float = 0.0):
        super().__init__()
        if not 0 <= p < 1:
            raise Usage(f"dropout is the share of elements that are zeroed, 0 <= dropout < 1, not {p}")
        self.p, self.keys = p, None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or not self.p:
            return x
        if self.keys is None:
            return F.dropout(x, self.p)
        places = hashed(torch.arange(x.numel() // len(self.keys), dtype=torch.int32, device=x.device))
        kept = (hashed(self.keys[:, None] + places) & 0x7FFFFFFF) >= int(self.p * 2**31)
        return torch.where(kept.reshape(x.shape), x / (1 - self.p), 0)


def hashed(bits: Tensor) -> Tensor:
    """int32 -> int32, one to one, every bit of the answer depending on all of the bits; products wrap around."""
    for shift, factor in FACTORS:
        bits = (bits ^ (bits >> shift & (1 << 32 - shift) - 1)) * factor
    return bits ^ (bits >> 16 & 0xFFFF)


def set_dropout_keys(model: nn.Module, draws: Draws | None) -> None:
    """Gives every `Dropout` of the model the keys of a batch's examples, other ones to each layer; None takes them away."""
    layers = [layer for layer in model.modules() if isinstance(layer, Dropout) and layer.p]
    keys: Iterable[Tensor | None] = [None] * len(layers)
    if draws is not None and layers:
        high, low = (draws.rand(2) * 2**16).to(torch.int32).unbind(1)
        salts = (torch.arange(len(layers)) * STRIDE).to(torch.int32)  # wraps around
        keys = hashed((high << 16 | low) + salts[:, None]).to(next(model.parameters()).device, non_blocking=True).unbind(0)
    for layer, own in zip(layers, keys, strict=True):
        layer.keys = own
