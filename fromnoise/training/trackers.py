"""Where a run's figures go beside its log: tracker(run) with add({name: number}, step) and close()."""

from collections.abc import Callable, Mapping
from typing import Any

from ..errors import Problem
from ..runs.folder import Run


class TensorBoard:
    """Event files in the run folder's tensorboard/."""

    def __init__(self, run: Run):
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise Problem('train.tracker=tensorboard needs TensorBoard; run pip install "fromnoise[tensorboard]"') from error
        self.writer = SummaryWriter(str(run.path / "tensorboard"))

    def add(self, figures: Mapping[str, float], step: int) -> None:
        for key, value in figures.items():
            self.writer.add_scalar(key, value, step)

    def close(self) -> None:
        self.writer.close()


class WandB:
    """A run of Weights & Biases under the project fromnoise."""

    def __init__(self, run: Run):
        try:
            import wandb
        except ImportError as error:
            raise Problem('train.tracker=wandb needs Weights & Biases; run pip install "fromnoise[wandb]"') from error
        name = run.path.name
        self.run = wandb.init(project="fromnoise", name=name, dir=str(run.path), config=run.recipe(True).as_dict(), resume="allow", id=name)

    def add(self, figures: Mapping[str, float], step: int) -> None:
        self.run.log(dict(figures), step=step)

    def close(self) -> None:
        self.run.finish()


TRACKERS: dict[str, Callable[[Run], Any] | None] = {"none": None, "tensorboard": TensorBoard, "wandb": WandB}
