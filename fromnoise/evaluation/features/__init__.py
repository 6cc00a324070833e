"""Networks that see."""
