"""Write tests/golden/hopfield/*.h5. Only ever add to them: what a release wrote stays readable."""

from pathlib import Path

from hopfield import save_memory
from tests.hopfield.helpers import EVERY
from tests.hopfield.test_file import RECIPE, stored_in


def main() -> None:
    """A file for every rule in every form."""
    folder = Path(__file__).with_name("hopfield")
    folder.mkdir(exist_ok=True)
    for rule, form in EVERY:
        save_memory(folder / f"{rule}-{form}.h5", stored_in(rule, form), RECIPE)


if __name__ == "__main__":
    main()
