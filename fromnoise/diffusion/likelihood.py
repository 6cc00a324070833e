"""log p(x0) by the probability-flow ODE (Song et al. 2021, eq. 39), in the ve frame where the drift is eps itself."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from ..errors import Usage
from .denoiser import Denoise
from .exact import log_gaussian
from .level import Level


def _drift(denoise: Denoise, x: Tensor, level: Level, probes: Tensor | None) -> tuple[Tensor, Tensor]:
    """dx / dsigma = eps(x, sigma), and its divergence (B,): exact without probes, else Hutchinson's estimate."""
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        eps = denoise(x, level)[1]
        if probes is None:
            flat = eps.flatten(1)
            parts = [torch.autograd.grad(flat[:, i].sum(), x, retain_graph=True)[0].flatten(1)[:, i] for i in range(flat.shape[1])]
            divergence = torch.stack(parts).sum(0)
        else:
            divergence = (torch.autograd.grad((eps * probes).sum(), x)[0] * probes).flatten(1).sum(1)
    return eps.detach(), divergence.detach()


def log_likelihood(denoise: Denoise, x0: Tensor, levels: Sequence[Level], probes: Tensor | None = None, data_std: float = 1.0) -> Tensor:
    """log p(x0) in nats, (B,), by Heun's method up the levels.

    log p(x0) = log N(x_T; 0, (sigma_T² + data_std²) I) + ∫ div eps dsigma, from the least noisy level to the noisiest.
    x0 (B, C, *S); levels as a schedule gives them (falling; the clean one, if any, is left out); probes like x0, ±1 each (Rademacher), or
    None for the exact divergence, which costs one backward pass a dimension. Near alpha = 0 the ve frame is infinite: use `high` < 1; at it, Usage is raised.
    """
    rising = [level.framed("ve") for level in reversed(levels) if not level.clean]
    if rising[-1].sigma.isinf():
        raise Usage("the likelihood needs alpha > 0 at the noisiest level: set high to 0.99")
    x, change = x0, torch.zeros(len(x0), dtype=x0.dtype, device=x0.device)
    for now, nxt in pairwise(rising):
        step = float(nxt.sigma - now.sigma)
        slope, trace = _drift(denoise, x, now, probes)
        slope_end, trace_end = _drift(denoise, x + step * slope, nxt, probes)
        x = x + step * (slope + slope_end) / 2
        change = change + step * (trace + trace_end) / 2
    return log_gaussian(x, float((rising[-1].sigma ** 2 + data_std**2).sqrt())) + change


def bits_per_dim(log_p: Tensor, dims: int, levels: int = 256) -> Tensor:
    """Nats of data scaled to [-1, 1] -> bits a dimension of the integers 0 … levels - 1 (Theis et al. 2016): -log2 p / dims + log2((levels - 1) / 2)."""
    return -log_p / (dims * math.log(2)) + math.log2((levels - 1) / 2)
