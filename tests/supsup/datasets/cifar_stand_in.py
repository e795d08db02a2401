"""The command line with a small CIFAR-100: ``python -m tests.… FOLDER COMMAND …``.

The catalogue is told the digests of the files in FOLDER, so that everything else runs as it is.
"""

import sys
from pathlib import Path

from supsup.datasets import SOURCES
from supsup.datasets import catalog as catalog_module
from supsup_store.main import main
from tests.supsup.datasets.helpers import cifar_like

if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    catalog_module.SOURCES = {**SOURCES, "cifar100": cifar_like(folder)}
    main()
