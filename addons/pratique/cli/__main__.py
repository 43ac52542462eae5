"""`python -m pratique.cli`."""

from pratique.cli import main

main()
