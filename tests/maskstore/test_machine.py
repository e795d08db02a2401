"""A few lives of ``machine.py``; ``benchmarks/machine.py`` lives many, and longer."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from maskstore import ArchiveError
from maskstore.storage.index import Index
from maskstore.testing.machine import ArchiveMachine
from maskstore.writer import ArchiveWriter


def live(lives: int, steps: int, phases: list[Phase] | None = None) -> None:
    run_state_machine_as_test(
        ArchiveMachine,
        settings=settings(
            max_examples=lives,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            report_multiple_bugs=False,
            phases=phases or list(Phase),
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_an_archive_is_what_its_model_is():
    live(lives=25, steps=25)


@pytest.mark.parametrize("broken", ["undoing a block in another", "the index of the others"])
def test_it_notices(monkeypatch, broken):
    if broken == "undoing a block in another":
        monkeypatch.setattr(ArchiveWriter, "_return_to", lambda self, turn, mark: None)
    else:
        apply = Index.apply
        monkeypatch.setattr(Index, "apply", lambda self, rows: apply(self, rows[:3]))
    # What is wrong shows in what is listed, or where it is read.
    with pytest.raises((AssertionError, ArchiveError)):
        live(lives=100, steps=30, phases=[Phase.generate])
