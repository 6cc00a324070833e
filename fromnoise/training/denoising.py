"""What a diffusion run learns, and is measured by: the loss of denoising at levels that cover the schedule."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from ..diffusion import Level
from ..draws import Draws
from ..model import Model
from .looks import Samples
from .settings import TrainSettings

TIMES = (0.05, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95)  # where on the schedule the held-out loss is taken


def stratified(draws: Draws) -> Tensor:
    """t ~ U(0, 1), one in each of as many equal parts as the batch has examples: it covers the schedule evenly (Kingma et al. 2021, app. I.1)."""
    return (draws.randperm().double() + draws.rand()) / draws.total


def noise(model: nn.Module, batch: Mapping[str, Any], draws: Draws, accelerator: Accelerator) -> Tensor:
    """What a batch is blended with; a source that matches it to the data sees the batch of all processes."""
    if not model.source.whole or accelerator.num_processes == 1:
        return model.draw_source(batch, draws)
    whole = Draws(draws.key, range(draws.total), draws.total)
    return model.draw_source({"x": accelerator.gather(batch["x"])}, whole)[draws.rows.start : draws.rows.stop]


def measured(model: nn.Module, settings: TrainSettings, batch: Mapping[str, Any], level: Level, eps: Tensor, draws: Draws) -> Tensor:
    """The loss (B,) as the settings measure it."""
    part = settings.parts["penalty"]
    penalty = part and (lambda a, b: settings.penalty_weight * part(a, b))
    return model(batch, level, eps, settings.parts["weight"], draws, distance=settings.parts["distance"], penalty=penalty)


@dataclass(frozen=True)
class Denoising:
    """The objective of a diffusion run."""

    passes: ClassVar[int] = len(TIMES)  # of a held-out example through the network
    looks: ClassVar[type] = Samples
    model: Model
    settings: TrainSettings
    accelerator: Accelerator

    def drawn(self, batch: Mapping[str, Any], draws: Draws, done: float) -> dict[str, Any]:
        """The batch with what is drawn for the whole of it before it is cut: its levels, and what it is blended with."""
        level, eps = self.model.noise(stratified(draws.of("levels"))), noise(self.model, batch, draws.of("noise"), self.accelerator)
        dtype = torch.float32 if eps.device.type == "mps" else torch.float64  # MPS has no float64
        return {**batch, "_eps": eps, "_alpha": level.alpha.to(eps.device, dtype), "_sigma": level.sigma.to(eps.device, dtype)}

    def loss(self, trained: nn.Module, batch: Mapping[str, Any], draws: Draws) -> Tensor:
        """(B,) of a part of a batch that `drawn` gave; `trained` is the model, as processes share it."""
        return measured(trained, self.settings, batch, Level(batch["_alpha"], batch["_sigma"]), batch["_eps"], draws)

    def held_out(self, batch: Mapping[str, Any], seed: int, most: int) -> tuple[float, dict[str, Any]]:
        """The loss of examples that are never trained on, `most` at a time: its mean over `TIMES`, and each of them, {t: loss}."""
        n = len(batch["x"])
        eps, draws = self.model.draw_source(batch, Draws.fixed(n, seed)), Draws.fixed(n, seed).of("evaluation")

        def mean(t: float) -> float:
            values = []
            for part in (slice(first, first + most) for first in range(0, n, most)):
                here, own = {key: value[part] for key, value in batch.items()}, draws.part(part)
                level = self.model.noise(torch.full((len(own.rows),), t, dtype=torch.float64))
                values.append(measured(self.model, self.settings, here, level, eps[part], own))
            return float(torch.cat(values).mean())

        by_level = {f"{t:g}": mean(t) for t in TIMES}
        return sum(by_level.values()) / len(by_level), {"held_out_by_level": by_level}
