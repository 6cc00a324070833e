"""Whether pictures are to be diffused as they are, or in the latents of an autoencoder of their own."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from .inspect import Inspection

Speed = Callable[[Mapping[str, Any], tuple[int, ...], int], float]  # (recipe without data, shape of a picture, classes) -> images a second
SIDES = (256, 128)  # of pictures, the largest that can be had first
FACTOR, CHANNELS = 4, 8
AUTOENCODER = {"name": "conv_ae", "widths": [32, 64, 128], "latent": CHANNELS}
TRAINING = {"batch": 16, "optimizer": "muon", "lr": 5e-3, "distance": "mse", "penalty": "ssim"}
PIXELS = 60_000_000  # that an autoencoder should see: about 27 dB on photographs (`cifar10_ae`, after 67,000 of 32 x 32)
IMAGES = 100_000  # latents that a small network should see
FEW = 500  # pictures, of which an autoencoder learns no more than themselves
SHARE, SPENT = 1 / 3, 0.85  # of the minutes, for the autoencoder; of them, on training itself


class Way(NamedTuple):
    """Through latents: the side of pictures, the minutes of their autoencoder, and how many it sees."""

    side: int
    minutes: float
    images: int

    @property
    def latent(self) -> tuple[int, int, int]:
        """The shape of what is diffused."""
        return CHANNELS, self.side // FACTOR, self.side // FACTOR


def weighed(found: Inspection, minutes: float, speed: Speed, network: Mapping[str, Any]) -> tuple[Way | None, str]:
    """(the way through latents of the largest pictures whose autoencoder, and then a small `network`, see enough in the minutes that there are; None where
    pixels are better), and why, in words; nothing of small pictures."""
    sides = [side for side in SIDES if side <= found.short_side]
    if found.kind != "folder" or not sides:  # files that can be resized
        return None, ""
    if found.count < FEW:
        return None, f"pixels, not latents: {found.count:,} pictures are too few to train an autoencoder on (from {FEW}); one that is trained already needs none"
    why = ""
    for side in sides:
        rate = speed({"autoencoder": AUTOENCODER, "train": TRAINING}, (3, side, side), 0)
        way = Way(side, round(SHARE * minutes, 1), int(SPENT * 60 * SHARE * minutes * rate))
        if way.images * side**2 < PIXELS:
            whole = PIXELS / (60 * SPENT * SHARE * rate * side**2)
            why = f"in latents of {side} px an autoencoder would want {whole:,.0f} minutes in all here ({rate:,.1f} images/s)"
            continue
        rate = speed({"network": network, "conditions": [], "predict": "x0", "train": {"batch": 64}}, way.latent, 0)
        images = SPENT * 60 * (1 - SHARE) * minutes * rate
        if images >= IMAGES:
            fewer = 3 * side**2 / (CHANNELS * (side // FACTOR) ** 2)
            spent = f"the autoencoder takes {way.minutes:g} minutes of the {minutes:g}"
            return way, f"latents: {side} px in {fewer:.0f} times fewer numbers, {rate:,.0f} images/s; {spent}"
        whole = minutes * IMAGES / images
        why = f"{images:,.0f} latents of {side} px would be seen here, of the {IMAGES:,} that should be ({whole:,.0f} minutes in all)"
    return None, f"pixels, not latents: {why}"
