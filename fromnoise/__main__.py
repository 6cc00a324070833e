"""`python -m fromnoise`."""

from .cli import main

main()
