"""`python -m fromnoise`."""

from .cli.main import main

main()
