"""In what published networks differ from ours."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Compat:
    """What weights of a published network call for; by default, what ours are trained with.

    groups    of every group norm (null: up to 32 of 4 or more channels)
    eps       of the UNet's norms (null: 1e-5), or of the DiT's norm before the feed-forward layer (null: 1e-6)
    pad_late  the UNet's strided convolutions pad behind alone, as the first DDPM's did
    shift     1: the time embedding's frequencies fall to 1 / 10000 (Ho et al. 2020); 0: they just miss it
    """

    groups: int | None = None
    eps: float | None = None
    pad_late: bool = False
    shift: int = 0


OURS = Compat()
