"""Models of other libraries as ours, and ours as theirs: settings and names of weights, in both directions; nothing is executed."""

from . import autoencoder
from .folder import Taken, is_foreign, read, unsaid, write, write_adapter
from .rows import Row, to_ours, to_theirs
