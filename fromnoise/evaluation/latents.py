"""Is this latent space one that can be diffused? What an autoencoder keeps of held-out examples, and what its latents are like."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from ..autoencoders.losses import transformed
from ..data import Dataset
from ..diffusion.loss import ssim
from ..draws import Draws
from ..errors import Problem
from ..model import Autoencoding
from .card import Card, Cells, Table
from .examples import spread
from .features import load_features
from .metrics.pictures import psnr, returned
from .protocol import Protocol
from .score import check_counts, score_pictures

AT_ONCE = 32  # examples through the autoencoder
DEAD = 0.01  # of the mean spread of channels: below, one carries next to nothing
BLUR, NOISY, UNEVEN = 22.0, 0.15, 8.0  # dB; share of variance; dB: from which on each is named as what holds diffusion back
EXACT = 0.99  # of bytes: below, ...
BINS = 16  # of a spectrum, at most


@dataclass(frozen=True)
class LatentPage(Table):
    """What was found of n held-out examples.

    psnr, ssim  of reconstructions from the latents' means (dB; 1 at best, None for what is no picture)
    exact       the share of values, and of whole examples, that come back exactly, where they are bytes of which the autoencoder names one each; else None
    turned      PSNR in dB of what shrunken and turned latents are decoded to, against the examples shrunken and turned; None for latents without sides
    mean, std   of each channel of the latents;  noise  the share of each channel's variance that is sampling noise, None where nothing is drawn
    spectrum    share of the latents' power by frequency, from 0 to the highest, its mean over channels;  pixels  the same of the examples
    values      numbers of an example, and of its latent
    """

    title: str
    n: int
    psnr: float
    ssim: float | None
    turned: float | None
    mean: tuple[float, ...]
    std: tuple[float, ...]
    noise: tuple[float, ...] | None
    spectrum: tuple[float, ...]
    pixels: tuple[float, ...]
    values: tuple[int, int]
    exact: tuple[float, float] | None = None

    @property
    def kept(self) -> str:
        """What reconstructions keep, in a word."""
        return f"{self.psnr:.1f} dB" if self.exact is None else f"{self.exact[0]:.2%} of bytes exact"

    @property
    def dead(self) -> list[int]:
        """Channels that carry next to nothing."""
        usual = sum(self.std) / len(self.std)
        return [i for i, std in enumerate(self.std) if std < DEAD * usual]

    @cached_property
    def bottleneck(self) -> str:
        """One line on what holds diffusion in these latents back first, and what to do."""
        noise = sum(self.noise) / len(self.noise) if self.noise else 0.0
        found = {
            f"{len(self.dead)} of {len(self.std)} channels carry nothing: train longer, or take fewer (autoencoder.latent), or less train.kl": bool(self.dead),
            f"reconstructions ({self.kept}): samples can be no sharper; train longer, take more latent channels or a smaller factor":
                self.psnr < BLUR if self.exact is None else self.exact[0] < EXACT,
            f"sampling noise, {noise:.0%} of the latents' variance, which no denoiser can predict: less train.kl": noise > NOISY,
            f"latents that are not smooth ({self.turned or 0:.1f} dB turned and shrunken, {self.psnr:.1f} as they are): train.equivariance=0.25":
                self.turned is not None and self.psnr - self.turned > UNEVEN,
        }  # fmt: skip
        return next((words for words, holds in found.items() if holds), "the diffusion model: the latents keep what matters, and are smooth")

    def cells(self) -> Cells:
        rows: list[Any] = [("PSNR of reconstructions", f"{self.psnr:.2f} dB")] if self.exact is None else []
        if self.exact is not None:
            rows += [("bytes that come back exactly", f"{self.exact[0]:.3%}"), ("whole examples that do", f"{self.exact[1]:.2%}")]
        if self.ssim is not None:
            rows.append(("SSIM", f"{self.ssim:.4f}"))
        if self.turned is not None:
            rows.append(("PSNR from turned, shrunken latents", f"{self.turned:.2f} dB"))
        few, many = sorted(self.values)
        less = "fewer" if few == self.values[1] else "more"
        rows.append(("values of an example, of its latent", f"{self.values[0]:,}, {self.values[1]:,} ({many / few:.3g} times {less})"))
        rows.append(("channels that carry nothing", str(len(self.dead))))
        rows.append(None)
        noise = self.noise or [None] * len(self.mean)
        for i, (mean, std, share) in enumerate(zip(self.mean, self.std, noise, strict=True)):
            drawn = "" if share is None else f", {share:.1%} of its variance noise"
            rows.append((f"channel {i}: mean, standard deviation", f"{mean:.3f}, {std:.3f}{drawn}"))
        return self.title, f"What holds diffusion back first: {self.bottleneck}", ("of held-out examples", ""), rows


@torch.no_grad()
def latent_page(model: Autoencoding, data: Dataset, n: int = 1000, progress: Callable[[int, int], Any] | None = None) -> LatentPage:
    """The page of an autoencoder on n examples (all there are, where they are fewer). Raises Problem where they have other channels or axes."""
    if len(data.shape) != len(model.shape) or data.shape[0] != model.shape[0]:
        raise Problem(f"the autoencoder was trained on examples of shape {model.shape}, the data has {tuple(data.shape)}; name the data that it was trained on")
    stage, n = model.autoencoder, min(n, len(data))
    gathered: dict[str, list[Tensor]] = {}
    for i, rows in enumerate(parts := spread(n, len(data)).split(AT_ONCE)):
        x = data.get(rows)["x"].to(model.device)
        mean, log_variance = stage.moments(x)
        x_hat = stage.decode(mean, x.shape[2:]).clamp(-1, 1)
        found = {"psnr": psnr(x, x_hat), "mean": mean, "pixels": spectrum(x)} | ({"exact": returned(x, x_hat)} if stage.scored else {})
        if x.ndim == 4:
            found["ssim"] = 1 - ssim(x_hat, x)
        if log_variance is not None:
            found["variance"] = log_variance.exp()
        if mean.ndim > 2 and stage.scored:
            found["spectrum"] = spectrum(mean)
        elif mean.ndim > 2:
            z, turned = transformed(stage, mean, x, Draws(("page", i), range(len(x)), len(x)))
            found |= {"turned": psnr(turned, stage.decode(z, turned.shape[2:]).clamp(-1, 1)), "spectrum": spectrum(mean)}
        for key, value in found.items():
            gathered.setdefault(key, []).append(value.double().cpu())
        if progress:
            progress(i + 1, len(parts))
    whole = {key: torch.cat(values) for key, values in gathered.items()}
    mean = whole["mean"].movedim(1, -1).flatten(0, -2)
    spread_of_means, noise = mean.var(0, correction=0), whole["variance"].movedim(1, -1).flatten(0, -2).mean(0) if "variance" in whole else None
    total = spread_of_means + (0 if noise is None else noise)

    def listed(values: Tensor | None) -> tuple[float, ...]:
        return () if values is None else tuple(round(float(value), 6) for value in values)

    def averaged(key: str) -> float | None:
        return float(whole[key].mean()) if key in whole else None

    values, exact = (x[0].numel(), whole["mean"][0].numel()), whole.get("exact")
    kept = None if exact is None else (float(exact.mean()), float((exact == 1).double().mean()))
    return LatentPage(f"Latents of {n:,} held-out examples of {data.name}", n, float(whole["psnr"].mean()), averaged("ssim"), averaged("turned"),
                      listed(mean.mean(0)), listed(total.sqrt()), None if noise is None else listed(noise / total.clamp(min=1e-12)),
                      listed(whole["spectrum"].mean(0) if "spectrum" in whole else None), listed(whole["pixels"].mean(0)), values, kept)  # fmt: skip


def score_reconstructions(model: Autoencoding, train: Dataset, test: Dataset, protocol: Protocol) -> Card:
    """The card of reconstructions of held-out pictures, measured like samples: no diffusion in these latents can come nearer."""
    rows = spread(min(protocol.n, len(test)), len(test))
    check_counts(len(rows), test)
    net = load_features(protocol.features, train, test, model.device)
    made = torch.cat([model.reconstruct(test.get(part)["x"].to(model.device)).clamp(-1, 1).cpu() for part in rows.split(AT_ONCE)])
    labels = test.labels(rows) if "label" in test.keys else None
    card = score_pictures(made, labels, train, test, net, protocol.seed)
    return replace(card, title=card.title.replace("samples", "reconstructions"), notes=[*card.notes, "Samples here are reconstructions of held-out pictures."])


def spectrum(x: Tensor) -> Tensor:
    """The share of each example's power in bands of frequency, from the lowest to half a cycle a place, all but its mean; x (B, C, *S) -> (B, bands), each
    as wide as one cycle over the shortest side, or wider."""
    bins = min(BINS, min(x.shape[2:], default=2) // 2)
    if bins < 2:
        return x.new_zeros(len(x), 1)
    axes = tuple(range(2, x.ndim))
    power = torch.fft.fftn(x.double(), dim=axes).abs().square().mean(1).flatten(1)
    grids = torch.meshgrid(*(torch.fft.fftfreq(side, device=x.device) for side in x.shape[2:]), indexing="ij")
    radius = torch.stack(grids).square().sum(0).sqrt().flatten()
    band = ((radius / 0.5 * bins + 0.5).floor().long() - 1).clamp(0, bins - 1)  # band i about (i + 1) / bins of the highest
    power[:, 0] = 0
    shares = torch.zeros(len(x), bins, dtype=power.dtype, device=x.device).index_add(1, band, power)
    return shares / shares.sum(1, keepdim=True).clamp(min=1e-12)
