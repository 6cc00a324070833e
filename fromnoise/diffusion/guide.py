"""Guidance: denoisers made of denoisers. What changes the prediction is here; what changes the walk is a sampler."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ..errors import Usage
from .denoiser import Bound, Denoise
from .level import Level

LogP = Callable[[Tensor, Tensor, Level], Tensor]  # (x, x0, level) -> log p(y | x) (B,), x0 the denoiser's estimate


def _both(strong: Denoise, weak: Denoise):
    """What both denoisers predict; in one pass where they are one network under two contexts."""
    if not (isinstance(strong, Bound) and isinstance(weak, Bound) and strong.denoiser is weak.denoiser and _alike(strong.context, weak.context)):
        return lambda x, level: (strong(x, level), weak(x, level))
    pair = Bound(strong.denoiser, strong.context and strong.context.cat(weak.context), strong.last)

    def one_pass(x: Tensor, level: Level):
        level = Level(torch.cat([level.alpha] * 2), torch.cat([level.sigma] * 2)) if level.alpha.ndim else level
        x0, eps = pair(torch.cat([x, x]), level)
        return zip(x0.chunk(2), eps.chunk(2), strict=True)

    return one_pass


def _alike(a: Any, b: Any) -> bool:
    """Whether two contexts hold the same entries in the same sizes, so that they make one batch."""
    if a is None or b is None:
        return a is b
    sizes = [{k: tuple(v.shape[1:]) for k, v in vars(context).items() if isinstance(v, Tensor)} for context in (a, b)]
    residuals = [[r.shape[1:] for r in context.residuals] for context in (a, b)]
    return sizes[0] == sizes[1] and residuals[0] == residuals[1] and a.hints.keys() == b.hints.keys()


def guided(strong: Denoise, weak: Denoise, scale: float, low: float = 0.0, high: float = float("inf"), rescale: float = 0.0) -> Denoise:
    """weak + scale (strong - weak), where low < sigma / alpha <= high; elsewhere `strong` alone.

    Classifier-free guidance (Ho & Salimans 2022), negative prompts and autoguidance (Karras et al. 2024) differ only in who is weak; low and
    high are the limited interval of Kynkäänniemi et al. (2024). scale = 1 is `strong`, scale = 0 is `weak`. Guidance exaggerates: `rescale`
    in [0, 1] is the share of the way that each x0 is brought back to the mean and deviation of `strong`'s (see `rescale_guidance`).
    """
    if scale == 1:
        return strong
    both = _both(strong, weak)

    def denoise(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        if not low < float((level.sigma / level.alpha).max()) <= high:
            return strong(x, level)
        (x0, eps), (x0_weak, eps_weak) = both(x, level)
        if rescale:
            x0 = rescale_guidance(torch.lerp(x0_weak, x0, scale), x0, rescale)
            return x0, level.eps(x, x0)
        return torch.lerp(x0_weak, x0, scale), torch.lerp(eps_weak, eps, scale)

    return denoise


def rescale_guidance(x0: Tensor, like: Tensor, share: float = 1.0) -> Tensor:
    """x0 (B, ...) moved by `share` to where each example has the mean and standard deviation of its counterpart in `like`.

    Guidance rescale (Lin et al. 2023, eqs. 14 to 16), which divides by the deviation alone: right where the mean is zero, but pictures in
    [-1, 1] are mostly background, and it would lift a black one to grey.
    """
    over = tuple(range(1, x0.ndim))
    mean, like_mean = x0.mean(over, keepdim=True), like.mean(over, keepdim=True)
    spread, like_spread = ((x - m).square().mean(over, keepdim=True).sqrt() for x, m in ((x0, mean), (like, like_mean)))
    return torch.lerp(x0, (x0 - mean) * (like_spread / spread.clamp(min=1e-8)) + like_mean, share)


def clip(denoise: Denoise, bound: float = 1.0, keep_eps: bool = False) -> Denoise:
    """x0 clipped to [-bound, bound], with the eps that then makes x (DDPM), or with the old one (`keep_eps`: DDIM as first published)."""
    if not bound > 0:
        raise Usage(f"clip: bound is a number above 0, not {bound:g}")

    def clipped(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        x0, eps = denoise(x, level)
        x0 = x0.clamp(-bound, bound)
        return x0, eps if keep_eps else level.eps(x, x0)

    return clipped


def threshold(denoise: Denoise, share: float = 0.995, bound: float = 1.0, most: float = float("inf"), keep_eps: bool = False) -> Denoise:
    """Dynamic thresholding: x0 clipped at its own `share` quantile s >= bound and divided by s / bound, per sample (Saharia et al. 2022, sec. 2.3).

    most: no s is larger (diffusers' `sample_max_value`);  keep_eps: as in `clip`.
    """
    if not (0 < share <= 1 and bound > 0 and most > 0):
        raise Usage(f"clip: 0 < share <= 1, bound and most are above 0, not {share:g}, {bound:g} and {most:g}")

    def thresholded(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        x0, eps = denoise(x, level)
        s = x0.flatten(1).abs().float().quantile(share, dim=1).clamp(bound, most).to(x0).reshape(-1, *[1] * (x.ndim - 1))
        x0 = x0.clamp(-s, s) * (bound / s)
        return x0, eps if keep_eps else level.eps(x, x0)

    return thresholded


def classified(denoise: Denoise, log_p: LogP, scale: float = 1.0, low: float = 0.0, high: float = float("inf")) -> Denoise:
    """eps - scale sigma ∇ log p(y | x), with the x0 that it makes with x, where low < sigma / alpha <= high; elsewhere `denoise` alone.

    Dhariwal & Nichol (2021), eq. 14. A classifier of noisy x takes (x, level); one of clean pictures takes x0, and the gradient then runs
    through the denoiser (universal guidance, Bansal et al. 2023). With scale = 1 and the true p(y | x) x0 is E[x0 | x, y]. Near alpha = 0 it
    divides something small by alpha: a learnt p wants a `high`.
    """

    def moved(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        if not low < float((level.sigma / level.alpha).max()) <= high:
            return denoise(x, level)
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            x0, eps = denoise(x, level)
            (gradient,) = torch.autograd.grad(log_p(x, x0, level).sum(), x)
        alpha, sigma = level.like(x)
        return (x0 + scale * sigma**2 / alpha * gradient).detach(), (eps - scale * sigma * gradient).detach()

    return moved


def log_class(classify: Callable[[Tensor], Tensor], labels: Tensor) -> LogP:
    """log p(label | x0) by a classifier of clean pictures, (B, C, *S) -> logits (B, K); labels (B,)."""
    return lambda x, x0, level: classify(x0).float().log_softmax(1).gather(1, labels.to(x0.device)[:, None])[:, 0]


def inpainted(denoise: Denoise, known: Tensor, mask: Tensor) -> Denoise:
    """x0 that is `known` where mask = 0 and the denoiser's where mask = 1, mask · x0 + (1 - mask) · known, with the eps that then makes x.

    So a deterministic sampler carries alpha known + sigma eps along with eps as it began, and DDPM draws that part from q(x_s | x_t, known)
    (Song et al. 2021, appendix I.2; Lugmayr et al. 2022, eq. 8). known, mask broadcast to x (B, C, *S).
    """

    def replaced(x: Tensor, level: Level) -> tuple[Tensor, Tensor]:
        x0 = torch.lerp(known.to(x), denoise(x, level)[0], mask.to(x))  # lerp is exact at both ends
        return x0, level.eps(x, x0)

    return replaced
