"""Conditions: a batch entry -> Context, by the place where it enters the network."""

from .condition import Condition, Example
from .image import Control, Image
from .label import Label, class_numbers
from .text import Text

CONDITIONS: dict[str, type[Condition]] = {"label": Label, "text": Text, "image": Image, "control": Control}
