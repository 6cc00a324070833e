"""A guide of one's own beside that of a sampling."""

from collections.abc import Callable
from dataclasses import replace

from ..diffusion import Denoise
from ..model import Sampling


def with_guide(sampling: Sampling, guide: Callable[[Denoise, slice], Denoise]) -> Sampling:
    """The sampling, its prediction changed by guide(denoise, which of the samples) after its own guide, if it has one."""
    own, first = sampling.guide, sampling.first

    def both(denoise: Denoise, numbers: range) -> Denoise:
        return guide(own(denoise, numbers) if own else denoise, slice(numbers.start - first, numbers.stop - first))

    return replace(sampling, guide=both)
