"""Where results go: ``docs/results/NAME.json`` beside the page that explains them."""

import json
import platform
from pathlib import Path
from typing import Any

from maskstore.storage.atomic import write_file

FOLDER = Path(__file__).parents[1] / "docs" / "results"


def save_results(name: str, figures: dict[str, Any]) -> None:
    """Write the figures and the versions they were measured with; print them, too."""
    import numpy

    document = {
        "command": f"python -m benchmarks.{name}",
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        **figures,
    }
    text = json.dumps(document, indent=2)
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_file(FOLDER / f"{name}.json", (text + "\n").encode())
    print(text)
