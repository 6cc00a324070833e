"""Conditions: a batch entry -> Context, by the place where it enters the network."""

from .caption import Text
from .condition import Condition, Example
from .control import Control
from .image import Image
from .label import Label, class_numbers

CONDITIONS: dict[str, type[Condition]] = {"label": Label, "text": Text, "image": Image, "control": Control}
