"""log p(x0) by the probability-flow ODE (Song et al. 2021, eq. 39), in coordinates in which a Gaussian of the data's spread stands still."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import Usage
from .denoiser import Denoise
from .exact import log_gaussian
from .level import Level


def _drift(denoise: Denoise, z: Tensor, level: Level, probes: Tensor | None, data_std: float) -> tuple[Tensor, Tensor]:
    """dz / dlog sigma (see `log_likelihood`), and its divergence (B,): exact without probes, else Hutchinson's estimate."""
    length, sigma = float(torch.hypot(level.sigma, torch.tensor(data_std))), float(level.sigma)
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        drift = sigma * (denoise(length * z, level)[1] / length - sigma / length**2 * z)
        if probes is None:
            flat = drift.flatten(1)
            parts = [torch.autograd.grad(flat[:, i].sum(), z, retain_graph=True)[0].flatten(1)[:, i] for i in range(flat.shape[1])]
            divergence = torch.stack(parts).sum(0)
        else:
            divergence = (torch.autograd.grad((drift * probes).sum(), z)[0] * probes).flatten(1).sum(1)
    return drift.detach(), divergence.detach()


def log_likelihood(denoise: Denoise, x0: Tensor, levels: Sequence[Level], probes: Tensor | None = None, data_std: float = 1.0) -> Tensor:
    """log p(x0) in nats, (B,), by Heun's method up the levels.

    With z = x / l, l² = sigma² + data_std² in the ve frame, and u = log sigma,
    dz/du = sigma (eps / l - sigma z / l²),   log p(x0) = log N(z_T; 0, I) - D log l_0 + ∫ div dz/du du.
    Under N(0, data_std² I) nothing moves, so any steps are exact; otherwise what moves does so where sigma is about as large as the data.
    x0 (B, C, *S); levels as a schedule gives them (falling; the clean one, if any, is left out), best even in log-SNR; probes like x0, ±1 each
    (Rademacher), or None for the exact divergence, which costs one backward pass a dimension. Raises Usage at alpha = 0, where log-SNR has no end.
    """
    rising = [level.framed("ve") for level in reversed(levels) if not level.clean]
    if rising[-1].sigma.isinf():
        raise Usage("the likelihood needs alpha > 0 at the noisiest level: set high to 0.99")
    length = math.hypot(rising[0].sigma, data_std)
    z, change = x0 / length, torch.zeros(len(x0), dtype=x0.dtype, device=x0.device)
    for now, nxt in pairwise(rising):
        step = float(now.half_logsnr - nxt.half_logsnr)
        slope, trace = _drift(denoise, z, now, probes, data_std)
        slope_end, trace_end = _drift(denoise, z + step * slope, nxt, probes, data_std)
        z = z + step * (slope + slope_end) / 2
        change = change + step * (trace + trace_end) / 2
    return log_gaussian(z, 1.0) - x0[0].numel() * math.log(length) + change


def bits_per_dim(log_p: Tensor, dims: int, levels: int = 256) -> Tensor:
    """Nats of data scaled to [-1, 1] -> bits a dimension of the integers 0 … levels - 1 (Theis et al. 2016): -log2 p / dims + log2((levels - 1) / 2)."""
    return -log_p / (dims * math.log(2)) + math.log2((levels - 1) / 2)
