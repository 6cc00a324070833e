"""Samplers under the field's own names: generators that walk x down a list of levels, one yield (x, x0) a step."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from ..diffusion.level import Level
from ..errors import Usage, nearest
from ..registry import lookup
from .multistep import dpmpp_2m, dpmpp_2m_sde, dpmpp_3m, plms, unipc
from .singlestep import Denoise, Randn, Steps, ddim, ddpm, edm, euler, euler_ancestral, heun, iadb, invert, repaint

Sampler = Callable[..., Steps]  # (denoise, x, levels, options …) -> steps
SAMPLERS: dict[str, Sampler] = {
    "ddpm": ddpm, "ddim": ddim, "euler": euler, "euler_ancestral": euler_ancestral, "heun": heun, "edm": edm, "dpmpp_2m": dpmpp_2m,
    "dpmpp_3m": dpmpp_3m, "dpmpp_2m_sde": dpmpp_2m_sde, "unipc": unipc, "plms": plms, "iadb": iadb, "repaint": repaint,
}  # fmt: skip

# Order of convergence to the probability-flow ODE; samplers that only follow it in distribution are not listed.
ORDER: dict[str, int] = {"ddim": 1, "euler": 1, "iadb": 1, "heun": 2, "edm": 2, "dpmpp_2m": 2, "dpmpp_3m": 2, "unipc": 2, "plms": 2}


def stepper(sampler: str | Sampler, randn: Randn | None = None, options: Mapping[str, Any] | None = None) -> Sampler:
    """The sampler (of `SAMPLERS`, `module:name` or itself) with options and noise bound: (denoise, x, levels) -> steps. Raises Usage for unknown ones."""
    sampler = lookup(SAMPLERS, sampler, "sampler")
    name = getattr(sampler, "__name__", sampler)
    try:
        (signature := inspect.signature(sampler)).bind(None, None, None)
    except (TypeError, ValueError) as error:
        raise Usage(f"{name} is no sampler, which is called (denoise, x, levels, **options); name one of: {', '.join(SAMPLERS)}") from error
    parameters = signature.parameters
    known = [key for key in list(parameters)[3:] if key != "randn"]
    for key, value in (options or {}).items():
        if key not in known:
            raise Usage(f"{name} has no option {key!r}" + (nearest(key, known) if known else "; it takes none"))
        if isinstance(value, str) and isinstance(parameters[key].default, (int, float)):
            raise Usage(f"{name}: option {key} is a number, not {value!r}")
    chosen = dict(options or {}) | ({"randn": randn} if randn is not None and "randn" in parameters else {})
    return lambda denoise, x, levels: sampler(denoise, x, levels, **chosen)


def options() -> set[str]:
    """The names of all samplers' own options."""
    return {key for sampler in SAMPLERS.values() for key in list(inspect.signature(sampler).parameters)[3:] if key != "randn"}


def draws_noise(sampler: str | Sampler, options: Mapping[str, Any] | None = None) -> bool:
    """Whether a sampler, with these options, draws noise on the way, so that where it ends does not follow from where it begins alone."""
    parameters = inspect.signature(lookup(SAMPLERS, sampler, "sampler")).parameters
    share = next((key for key in ("eta", "churn") if key in parameters), None)  # how much of it
    return "randn" in parameters and (share is None or bool((options or {}).get(share, parameters[share].default)))


def noiseless() -> list[str]:
    """The samplers that draw no noise on the way with their usual options."""
    return [name for name in SAMPLERS if not draws_noise(name)]


@torch.no_grad()
def walk(sampler: str | Sampler, denoise: Denoise, x: Tensor, levels: Sequence[Level], **options: Any) -> Tensor:
    """x at the end of the walk down the levels: the sample."""
    for x, _ in stepper(sampler, options.pop("randn", None), options)(denoise, x, levels):  # noqa: B007, B020
        pass
    return x
