"""`python -m twinsim` is `twinsim`."""

from twinsim.cli import main

main()
