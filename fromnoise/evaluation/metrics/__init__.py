"""Arithmetic on what they see."""
