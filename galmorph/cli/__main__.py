"""``python -m galmorph.cli``."""

from galmorph.cli import main

main()
