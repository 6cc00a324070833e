"""What a run leaves on disk."""

from .folder import Run, misfit

__all__ = ["Run", "misfit"]
