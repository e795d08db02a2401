"""The command line with a small CIFAR-100: ``python -m tests.… FOLDER COMMAND …``.

The catalogue is told the digests of the files in FOLDER, so that everything else runs as it is.
"""

import sys
from pathlib import Path

from cli.main import main
from supsup.data import SOURCES
from supsup.data import catalog as catalog_module
from tests.supsup.data.helpers import cifar_like

if __name__ == "__main__":
    folder = Path(sys.argv.pop(1))
    catalog_module.SOURCES = {**SOURCES, "cifar100": cifar_like(folder)}
    main()
