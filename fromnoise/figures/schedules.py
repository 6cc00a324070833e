"""Noise schedules side by side: beta, alpha-bar, log-SNR, and a picture noised by each."""

from collections.abc import Mapping

import torch
from PIL import Image
from torch import Tensor

from ..data import Dataset
from ..diffusion import Schedule, Seeded, Table
from ..errors import Usage
from .figure import COLOURS, PLAIN, dress, figure, raster
from .media import tiles
from .process import examples, timed, unit_variance
from .strip import joined, strip

POINTS = 1000  # of a curve, and the steps into which a curve without betas is cut
SHOWN = 15.0  # the log-SNR axis ends here


def betas(schedule: Schedule) -> Tensor:
    """beta_i = 1 - alpha-bar_i / alpha-bar_(i-1): a table's own, or those of a curve cut into 1000 even steps; (N,)."""
    if isinstance(schedule, Table):
        return schedule.betas_tensor.double()
    bar = alpha_bar(schedule, torch.linspace(0, 1, POINTS + 1, dtype=torch.float64))
    return (1 - bar[1:] / bar[:-1]).clamp(0, 1)


def alpha_bar(schedule: Schedule, t: Tensor) -> Tensor:
    """alpha² in frame `vp` at times t (N,): the share of the variance that is signal."""
    return schedule(t).framed("vp").alpha.square()


def schedules(compared: Mapping[str, Schedule], data: Dataset | Tensor | None = None, times: int = 10, seed: int = 0) -> Image.Image:
    """Schedules by name, compared: alpha-bar, log-SNR and beta over t; with data, the same example noised by each below."""
    if not compared:
        raise Usage("name at least one schedule to show, such as cosine,flow")
    made, (bar, snr, beta) = figure(3, 3, width=3.7, height=3.0)
    t = torch.linspace(0, 1, POINTS, dtype=torch.float64)
    for i, (name, schedule) in enumerate(compared.items()):
        style = {"color": COLOURS[i % len(COLOURS)], "linewidth": 1.6, "label": name, "linestyle": "-" if i < len(COLOURS) else "--"}
        bar.plot(t, alpha_bar(schedule, t), **style)
        snr.plot(t, (2 * schedule(t).half_logsnr).clamp(-2 * SHOWN, 2 * SHOWN), **style)
        step = betas(schedule)
        beta.plot(torch.linspace(0, 1, len(step)), step.clamp(min=1e-6), **style)
    snr.set_ylim(-SHOWN, SHOWN)
    beta.set_ylim(1e-5, 1.5)
    steps = {schedule.steps for schedule in compared.values() if isinstance(schedule, Table)}
    time = "t (0 data, 1 noise)"
    shown = f"t: of tables, steps 0 … {max(steps) - 1}" if len(steps) == 1 else time  # tables of one length share its steps
    dress(bar, "ᾱ, the share of signal", time, "share of the variance")
    dress(snr, "log-SNR, log(α²/σ²)", time, "nats")
    dress(beta, "β of a step (of 1000, for curves)", shown, "variance added", log=True)
    made.legend(*bar.get_legend_handles_labels(), loc="outside upper left", ncols=min(6, len(compared)), fontsize=10, **PLAIN)
    if data is None:
        return raster(made)
    x0 = examples(data, 400 if (data.ndim == 2 if isinstance(data, Tensor) else len(data.shape) == 1) else 1)["x"].cpu()
    eps, medium = Seeded(seed, range(len(x0)))(x0), getattr(data, "medium", None)
    at = torch.linspace(0, 1, times, dtype=torch.float64)
    first = next((schedule for schedule in compared.values() if isinstance(schedule, Table)), None) if len(steps) == 1 else None
    under = [f"t {t:.2f}" if first is None else timed(first, t, first(torch.tensor(t, dtype=torch.float64))) for t in at.tolist()]
    rows = [[tiles(unit_variance(level.mix(x0, eps), level), None, medium)[0] for level in map(schedule, at)] for schedule in compared.values()]
    return joined(raster(made), strip(rows, list(compared), under), gap=4, down=True)
