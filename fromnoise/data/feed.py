"""The batches of a training run, in order, on the training device."""

from collections.abc import Iterator
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from ..errors import Problem, Usage
from .dataset import PICTURES, Dataset, scaled
from .latents import FLIPPED
from .plan import Plan


def check_flip(dataset: Dataset, flip: bool) -> None:
    """Raises Usage where there is nothing to mirror."""
    if flip and len(dataset.shape) < 3:
        raise Usage(f"flip mirrors pictures; {dataset.name} holds examples of shape {dataset.shape}: set data.flip=false")


def feed(
    dataset: Dataset, plan: Plan, start: int = 0, device: torch.device | str = "cpu", flip: bool = False, workers: int = 0
) -> Iterator[dict[str, Any]]:
    """The endless batches of `plan` from step `start`, as `Dataset.get` gives them, on `device`; raises Usage where `flip` cannot be.

    `flip` mirrors each example along its last axis with probability 1/2, decided by (seed, step) and its place in the batch. A set in memory moves
    to `device` once and is gathered there, a large one batch by batch; one that streams from files is decoded by `workers` processes (0: in this
    one). Nothing here waits for the device.
    """
    check_flip(dataset, flip)
    device = torch.device(device)
    raw = map(dataset.to(device).take, map(plan, count(start))) if dataset.in_memory else _streamed(dataset, plan, start, device, workers)
    for step, batch in enumerate(raw, start):
        batch = {key: value.to(device, non_blocking=True) if isinstance(value, Tensor) else value for key, value in batch.items()}
        pictures = {key: batch[key] for key in PICTURES if key in batch}
        if flip:  # all of an example alike, before bytes become floats: a quarter of the memory to move
            chosen = (plan.draws(step).of("flip").rand() < 0.5).to(device, non_blocking=True).reshape(-1, *(1,) * len(dataset.shape))
            pictures = {key: torch.where(chosen, x.flip(-1), x) for key, x in pictures.items()}
            for key in [key for key in batch if key + FLIPPED in batch]:  # latents of both
                turned = batch.pop(key + FLIPPED)
                batch[key] = torch.where(chosen.reshape(-1, *(1,) * (turned.ndim - 1)), turned, batch[key])
        yield {**batch, **{key: scaled(x) for key, x in pictures.items()}}


def _streamed(dataset: Dataset, plan: Plan, start: int, device: torch.device, workers: int) -> Iterator[dict[str, Any]]:
    settings = {"num_workers": workers, "prefetch_factor": 4 if workers else None, "pin_memory": device.type == "cuda"}
    for batch in DataLoader(_Planned(dataset), batch_size=None, sampler=map(plan, count(start)), **settings):  # type: ignore[arg-type]
        if isinstance(batch, Problem):
            raise batch
        yield batch


class _Planned:
    """A dataset as DataLoader takes it: a whole batch by its indices; a Problem is handed over, since raised it would come with a worker's traceback."""

    def __init__(self, dataset: Dataset):
        self.dataset = dataset

    def __getitem__(self, indices: Tensor) -> dict[str, Any] | Problem:
        try:
            return self.dataset.take(indices)
        except Problem as problem:
            return problem
