"""The discrete schedule of DDPM: a table of betas, and the ways to pick sampling steps from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from ..errors import Usage, at_least
from ..registry import lookup
from .level import Level
from .schedule import Schedule, _clean


def linear(n: int, start: float, end: float) -> Tensor:
    """Even betas (Ho et al. 2020)."""
    return torch.linspace(start, end, n, dtype=torch.float64)


def quadratic(n: int, start: float, end: float) -> Tensor:
    """Betas whose square roots are even."""
    return torch.linspace(start**0.5, end**0.5, n, dtype=torch.float64).square()


def scaled_linear(n: int, start: float, end: float) -> Tensor:
    """Stable Diffusion's: `quadratic`, from 0.00085 to 0.012 unless said."""
    return quadratic(n, start, end)


def sqrt_linear(n: int, start: float, end: float) -> Tensor:
    """Square roots of even numbers."""
    return linear(n, start, end).sqrt()


def sigmoid(n: int, start: float, end: float) -> Tensor:
    """Betas along a logistic curve from -6 to 6."""
    return start + (end - start) * torch.sigmoid(torch.linspace(-6, 6, n, dtype=torch.float64))


def cosine(n: int, start: float, end: float) -> Tensor:
    """alpha-bar = cos²((i/n + s)/(1 + s) pi/2) with s = 0.008, betas clipped at 0.999 (Nichol & Dhariwal 2021, eq. 17); start and end are not used.

    With n = 1000 the last alpha-bar is 2.43e-9 because of the clip (the formula alone ends at 0).
    """
    curve = torch.cos((torch.arange(n + 1, dtype=torch.float64) / n + 0.008) / 1.008 * torch.pi / 2).square()
    return (1 - curve[1:] / curve[:-1]).clamp(max=0.999)


Betas = Callable[[int, float, float], Tensor]  # (steps, start, end) -> (steps,), each above 0 and below 1
Spacing = Callable[[int, int], Tensor]  # (n, steps) -> at most n falling indices below steps, whole or between

BETAS: dict[str, Betas] = {
    "linear": linear, "quadratic": quadratic, "scaled_linear": scaled_linear, "sqrt_linear": sqrt_linear, "sigmoid": sigmoid, "cosine": cosine,
}  # fmt: skip
USUAL, RANGES = (1e-4, 0.02), {"scaled_linear": (0.00085, 0.012)}  # start and end: DDPM's, and betas that have their own


def leading(n: int, steps: int) -> Tensor:
    """Every (steps // n)-th index from 0, to which `offset` is added (DDPM's and Stable Diffusion's)."""
    return torch.arange(n).flip(0) * (steps // n)


def trailing(n: int, steps: int) -> Tensor:
    """Every (steps / n)-th index, counted from the last, which is always among them (Lin et al. 2024)."""
    return (steps - torch.arange(n, dtype=torch.float64) * (steps / n)).round().long() - 1


def linspace(n: int, steps: int) -> Tensor:
    """Even indices from the last to the first, both among them."""
    return torch.linspace(steps - 1, 0, n, dtype=torch.float64).round().long()


def even(n: int, steps: int) -> Tensor:
    """Even indices from the last to the first, not rounded: levels between those of the table (diffusers' Euler and Heun)."""
    return torch.linspace(steps - 1, 0, n, dtype=torch.float64)


def leading_open(n: int, steps: int) -> Tensor:
    """`leading` of n + 1 indices without the lowest, whose place the clean level takes (diffusers' DPM-Solver++ and UniPC)."""
    return leading(n + 1, steps)[:-1]


def linspace_open(n: int, steps: int) -> Tensor:
    """`linspace` of n + 1 indices without the lowest, whose place the clean level takes (diffusers' DPM-Solver++ and UniPC)."""
    return linspace(n + 1, steps)[:-1]


def squares(n: int, steps: int) -> Tensor:
    """Squares of even numbers up to 0.8 steps: DDIM's choice for CIFAR-10 (Song et al. 2021, appendix D.2)."""
    return torch.linspace(0, (0.8 * steps) ** 0.5, n, dtype=torch.float64).square().long().unique().flip(0)


SPACINGS: dict[str, Spacing] = {
    "leading": leading, "trailing": trailing, "linspace": linspace, "even": even, "leading_open": leading_open, "linspace_open": linspace_open,
    "quadratic": squares,
}  # fmt: skip


@dataclass(frozen=True)
class Table(Schedule):
    """DDPM's discrete schedule: alpha_i² = alpha-bar_i = prod_{j <= i} (1 - beta_j), sigma_i² = 1 - alpha-bar_i.

    betas    a name of `BETAS` or `module:name`, a function (steps, start, end) -> (steps,), or the betas themselves; float32 ones give older code's float32 product
    steps    how many levels;  final_one  whether the last hop ends at alpha = 1, or at index 0 (diffusers' `set_alpha_to_one=False`)
    start, end  the first and last beta, where a function makes them; those of `RANGES`, or DDPM's, unless said
    spacing  which n of the `steps` indices a sampler visits: a name of `SPACINGS` or `module:name`, or a function (n, steps) -> falling indices;
             `offset` is added to each
    rho      above 0 (Karras et al. take 7): those levels only give the ends, between which (sigma / alpha)^(1/rho) is even
    whole    whether levels between those of the table are given the nearest whole index as their time, as networks trained on whole ones know it
    """

    betas: str | Sequence[float] | Betas = "linear"
    steps: int = 1000
    start: float = None  # type: ignore[assignment]  # a number once made
    end: float = None  # type: ignore[assignment]
    spacing: str | Spacing = "leading"
    offset: int = 0
    final_one: bool = True
    rho: float = 0.0
    whole: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        for key, usual in zip(("start", "end"), RANGES.get(self.betas, USUAL) if isinstance(self.betas, str) else USUAL, strict=True):
            object.__setattr__(self, key, usual if getattr(self, key) is None else getattr(self, key))
        if self.steps < 2:
            raise Usage(f"a table needs at least 2 steps, not {self.steps}")
        at_least(0, "table", rho=self.rho)
        lookup(SPACINGS, self.spacing, "spacing")
        betas = self.betas_tensor
        wrong = betas[~((betas > 0) & (betas < 1))].tolist()  # NaN too
        if betas.shape != (self.steps,) or wrong:
            among = f", among them {wrong[0]:g}" if wrong else ""
            raise Usage(f"betas are {self.steps} numbers between 0 and 1, as many as steps; these are {betas.numel()}{among}")

    @cached_property
    def betas_tensor(self) -> Tensor:
        """beta_i, (steps,)."""
        if isinstance(self.betas, str) or callable(self.betas):
            return torch.as_tensor(lookup(BETAS, self.betas, "table of betas")(self.steps, self.start, self.end))
        return torch.tensor(self.betas, dtype=torch.float64)

    @cached_property
    def alphas_cumprod(self) -> Tensor:
        """alpha-bar_i, (steps,), float64."""
        return (1 - self.betas_tensor).cumprod(0).double()

    def at(self, index: Tensor | int) -> Level:
        """The level at an index 0 … steps - 1; between two whole ones log sigma / alpha runs straight."""
        index = torch.as_tensor(index)
        if index.is_floating_point():
            below = index.long().clamp(max=self.steps - 2)
            log_sigma = torch.lerp(-self.at(below).half_logsnr, -self.at(below + 1).half_logsnr, index - below)
            return Level(torch.ones_like(log_sigma), log_sigma.exp()).framed("vp")
        alpha_bar = self.alphas_cumprod.to(index.device)[index]
        return Level(alpha_bar.sqrt(), (1 - alpha_bar).sqrt())

    def curve(self, s: Tensor) -> Level:
        # cells of equal width, so that t ~ U(0, 1) draws every index equally often; the margin undoes the rounding of i / steps
        return self.at((s * self.steps + 1e-6).long().clamp(0, self.steps - 1))

    def index(self, level: Level) -> Tensor:
        """The index of any level, exact on the table and linear in log-SNR between its entries."""
        table = -self.at(torch.arange(self.steps, device=level.alpha.device)).half_logsnr
        query = -level.half_logsnr.double()
        above = torch.searchsorted(table, query.contiguous()).clamp(1, self.steps - 1)
        below = above - 1
        return below + ((query - table[below]) / (table[above] - table[below])).clamp(0, 1)

    def time(self, level: Level) -> Tensor:
        index = self.index(level)
        return (index.round() if self.whole else index) / self.steps

    def levels(self, n: int) -> list[Level]:
        """n indices of the table by `spacing`, falling, and a last clean level (or index 0 where `final_one` is false)."""
        first, last = round(self.low * self.steps), round(self.high * self.steps)
        if not 1 <= n <= last - first:
            raise Usage(f"a table of {last - first} levels gives 1 to {last - first} sampling steps, not {n}")
        index = lookup(SPACINGS, self.spacing, "spacing")(n, last - first)
        if index.ndim != 1 or not 1 <= len(index) <= n or not bool((index[1:] <= index[:-1]).all()):
            raise Usage(f"a spacing gives 1 to {n} indices, falling; {self.spacing} gives {index.tolist()}")
        index = (index + first + self.offset).clamp(0, self.steps - 1).unique_consecutive()
        levels = [self.at(i) for i in index]
        if self.rho:
            first, last = (float(level.sigma / level.alpha) ** (1 / self.rho) for level in (levels[0], levels[-1]))
            sigmas = torch.linspace(first, last, len(levels), dtype=torch.float64) ** self.rho
            levels = [Level(torch.ones_like(sigma), sigma).framed("vp") for sigma in sigmas]
        return levels + [_clean() if self.final_one else self.at(0)]
