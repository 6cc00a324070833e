"""Training: a run, from its recipe to its last checkpoint."""

from .estimate import estimate, speed
from .loop import Stopped, train
from .settings import TrainSettings
