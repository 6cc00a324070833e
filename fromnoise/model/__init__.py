"""A model: denoiser, conditions, schedules and source of noise; everything that sampling needs, and nothing of training."""

from .autoencoding import Autoencoding, build_autoencoder
from .build import Base, build, expanded, fill, inherited, network_class, stage_of, with_high
from .compose import add_control, base_digest, composed, control_key, controls, write_merged
from .draw import NotFinite, check_images, guided_denoiser, in_latents, inference_mode
from .exchange import export_adapter, export_run, import_run
from .first_stage import FirstStage, is_fixed, load_autoencoder
from .load import example_of, from_foreign, load, of_base, read_autoencoder, read_base
from .model import STILLS, Model
from .sampling import CLIPS, WORDS, Guide, Sampling, schedule
