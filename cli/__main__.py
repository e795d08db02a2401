"""``python -m cli`` is ``supsup-store``."""

from cli.main import main

main()
