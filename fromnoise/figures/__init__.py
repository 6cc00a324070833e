"""Pictures that explain: grids, the forward and the reverse process, schedules, samplers side by side, loss curves, a run's report."""

from .animation import gif
from .compare import SWEPT, by_class, compare, guidance, sweep
from .condition import alternating, condition, input_pictures
from .curves import curves
from .edited import edited, inverted
from .interpolate import interpolate, latent_walk
from .latents import latents
from .media import MEDIA, Medium, endings, grid, medium_of, save, tiles
from .picture import check, to_uint8, write
from .process import estimate, fitting, forward, moments, reverse, reverse_gif
from .progress import progress
from .reconstructions import reconstructions
from .report.report import report
from .samples import MOST, samples, write_samples
from .schedules import schedules
from .strip import strip
from .tradeoff import tradeoff
