"""The page of an autoencoder: what it keeps of pictures, and what its latents are like."""


from PIL import Image

from ..data import Dataset
from ..evaluation import LatentPage
from ..evaluation.examples import spread
from ..model import Autoencoding
from .figure import COLOURS, PLAIN, dress, figure, raster
from .reconstructions import reconstructions
from .strip import joined

SHOWN = 8  # examples


def latents(model: Autoencoding, data: Dataset, page: LatentPage) -> Image.Image:
    """Held-out examples, their reconstructions and the difference; below, mean and spread of every channel, and the spectra of latents and examples."""
    made, (channels, power) = figure(2, 2, width=4.6, height=3.0)
    numbers = range(len(page.std))
    channels.bar(numbers, page.std, color=COLOURS[0], label="standard deviation")
    channels.plot(numbers, page.mean, "o", color=COLOURS[1], label="mean")
    if page.noise:
        noisy = [std * share**0.5 for std, share in zip(page.std, page.noise, strict=True)]
        channels.bar(numbers, noisy, color=COLOURS[5], width=0.4, label="of it, sampling noise")
    channels.legend(fontsize=8, **PLAIN)
    dress(channels, "Channels of the latents", "channel")
    channels.xaxis.get_major_locator().set_params(integer=True)
    for i, (name, shares) in enumerate((("latents", page.spectrum), ("examples", page.pixels))):
        if len(shares) > 1:  # by bands of their own
            power.plot([(j + 1) / 2 / len(shares) for j in range(len(shares))], shares, "o-", markersize=3, color=COLOURS[i], linewidth=1.6, label=name)
    power.legend(fontsize=8, **PLAIN)
    dress(power, "Share of power by frequency", "cycles a place", log=True)
    below = raster(made)
    if len(model.shape) < 2:
        return below
    x = data.get(spread(min(SHOWN, len(data)), len(data)))["x"]
    return joined(reconstructions(x, model.reconstruct(x.to(model.device)).cpu(), SHOWN, model.medium), below, down=True)
