"""Editing with one's own model, without training it: inpainting, inversion, interpolation, variations, classifier guidance."""

from .extend import continued, extend
from .guide import inpaint, steer
from .interpolate import BLENDS, Blend, between, corners, lerp, path, slerp
from .invert import inversion, invert, vary
