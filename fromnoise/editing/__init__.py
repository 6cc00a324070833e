"""Editing with one's own model, without training it: inpainting, inversion, interpolation, variations, a classifier's wishes."""

from .inpaint import inpaint
from .interpolate import BLENDS, between, corners, lerp, path, slerp
from .invert import invert, psnr, vary
from .steer import steer

__all__ = ["BLENDS", "between", "corners", "inpaint", "invert", "lerp", "path", "psnr", "slerp", "steer", "vary"]
