"""What a run leaves on disk."""

from .folder import Run

__all__ = ["Run"]
