"""``python -m supsup_store`` is ``supsup-store``."""

from supsup_store.main import main

main()
