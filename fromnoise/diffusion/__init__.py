"""The mathematics: levels, schedules, prediction types, the loss, guidance. Imports torch only."""

from .classifier import classified, log_class
from .denoiser import CLOCKS, Bound, Denoise, Denoiser
from .guide import clip, guided, rescale_guidance, threshold
from .inpaint import inpainted
from .level import Level
from .loss import DISTANCES, PENALTIES, loss
from .predict import PREDICT
from .schedule import Cosine, Flow, Karras, Linear, LogitNormal, LogNormal, Schedule, Shifted
from .source import SOURCES, Coupled, Gaussian, Paired, Seeded, Source
from .table import BETAS, SPACINGS, Table
from .weight import WEIGHTS

SCHEDULES: dict[str, type[Schedule]] = {
    "cosine": Cosine,
    "linear": Linear,
    "flow": Flow,
    "karras": Karras,
    "lognormal": LogNormal,
    "logitnormal": LogitNormal,
    "table": Table,
    "shifted": Shifted,
}

__all__ = [
    "BETAS",
    "CLOCKS",
    "DISTANCES",
    "PENALTIES",
    "PREDICT",
    "SCHEDULES",
    "SOURCES",
    "SPACINGS",
    "WEIGHTS",
    "Bound",
    "Cosine",
    "Coupled",
    "Denoise",
    "Denoiser",
    "Flow",
    "Gaussian",
    "Karras",
    "Level",
    "Linear",
    "LogNormal",
    "LogitNormal",
    "Paired",
    "Schedule",
    "Seeded",
    "Shifted",
    "Source",
    "Table",
    "classified",
    "clip",
    "guided",
    "inpainted",
    "log_class",
    "loss",
    "rescale_guidance",
    "threshold",
]
