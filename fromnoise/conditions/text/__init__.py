"""Words as vectors that a network can be told: an encoder of our own that needs nothing, and pretrained ones, frozen."""

from .encoder import Encoder, encoder
from .pretrained import Pretrained
from .words import Words

__all__ = ["Encoder", "Pretrained", "Words", "encoder"]
