"""A model: denoiser, conditions, schedules and source of noise; everything that sampling needs, and nothing of training."""

from .build import Base, build, expanded, inherited, network_class, with_high
from .compose import add_control, base_digest, composed, control_key, controls, write_merged
from .draw import NotFinite, check_images, guided_denoiser, inference_mode
from .exchange import export_adapter, export_run, import_run
from .load import example_of, from_foreign, load, read_base
from .model import Model
from .sampling import CLIPS, WORDS, Guide, Sampling, schedule

__all__ = [
    "CLIPS", "WORDS", "Base", "Guide", "Model", "Sampling", "add_control", "base_digest", "build", "check_images", "composed", "control_key",
    "controls", "example_of", "expanded", "export_adapter", "export_run", "from_foreign", "guided_denoiser", "import_run",
    "inference_mode", "inherited", "load", "network_class", "read_base", "schedule", "with_high", "write_merged",
]  # fmt: skip
