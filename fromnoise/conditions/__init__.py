"""Conditions: a batch entry -> Context, by the place where it enters the network."""

from .condition import Condition, Example
from .image import Control, Image
from .label import Label
from .text import Text

CONDITIONS: dict[str, type[Condition]] = {"label": Label, "text": Text, "image": Image, "control": Control}
