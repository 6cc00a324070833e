"""Examples from the user's own files."""
