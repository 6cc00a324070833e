"""Editing with one's own model, without training it: inpainting, inversion, interpolation, variations, classifier guidance."""

from .inpaint import inpaint
from .interpolate import BLENDS, Blend, between, corners, lerp, path, slerp
from .invert import inversion, invert, psnr, vary
from .steer import steer

__all__ = ["BLENDS", "Blend", "between", "corners", "inpaint", "inversion", "invert", "lerp", "path", "psnr", "slerp", "steer", "vary"]
