"""A model: denoiser, conditions, schedules and source of noise; everything that sampling needs, and nothing of training."""

from .build import Base, build, expanded, inherited
from .compose import add_control, base_digest, composed, controls, write_merged
from .draw import check_images, guided_denoiser, inference_mode
from .load import digest, example_of, from_foreign, load, read_base
from .model import Model
from .sampling import CLIPS, WORDS, Guide, Sampling, schedule

__all__ = [
    "CLIPS", "WORDS", "Base", "Guide", "Model", "Sampling", "add_control", "base_digest", "build", "check_images", "composed", "controls",
    "digest", "example_of", "expanded", "from_foreign", "guided_denoiser", "inference_mode", "inherited", "load", "read_base", "schedule",
    "write_merged",
]  # fmt: skip
