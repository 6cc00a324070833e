"""A model: denoiser, conditions, schedules and source together; everything that sampling needs, and nothing of training."""

from .build import Base, build, conditions, expanded, inherited, schedule, told
from .load import digest, fill_base, load, read_base, taken
from .model import Model
from .sampling import Sampling

__all__ = ["Base", "Model", "Sampling", "build", "conditions", "digest", "expanded", "fill_base", "inherited", "load", "read_base", "schedule", "taken", "told"]
