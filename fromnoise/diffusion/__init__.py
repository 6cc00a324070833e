"""The mathematics: levels, schedules, prediction types, the loss, guidance. It knows no network."""

from .denoiser import CLOCKS, Bound, Denoise, Denoiser, Last
from .forcing import forced, times_of_frames
from .guide import classified, clip, guided, inpainted, log_class, rescale_guidance, threshold
from .level import Level
from .loss import DISTANCES, PENALTIES, WEIGHTS, loss
from .predict import PREDICT
from .schedule import Cosine, Flow, Karras, Linear, LogitNormal, LogNormal, Schedule, Shifted
from .source import SOURCES, Coupled, Gaussian, Paired, Seeded, Source
from .table import BETAS, SPACINGS, Table

SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine, "linear": Linear, "flow": Flow, "karras": Karras, "lognormal": LogNormal, "logitnormal": LogitNormal,
    "table": Table, "shifted": Shifted,
}  # fmt: skip
