"""What a run leaves on disk."""

from .folder import Run, digest, misfit
from .lock import locked

__all__ = ["Run", "digest", "locked", "misfit"]
