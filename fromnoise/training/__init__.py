"""Training: a run, from its recipe to its last checkpoint."""

from .encoding import encode
from .estimate import estimate, speed
from .loop import Stopped, train
from .reconstruction import AutoencoderSettings
from .settings import TrainSettings
