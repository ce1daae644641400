"""``python -m galmorph``."""

from galmorph.cli import main

main()
