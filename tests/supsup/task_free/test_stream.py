import pytest
import torch

from maskstore.errors import InvalidInput
from supsup.task_free import task_stream
from tests.supsup.task_free.helpers import corners


def visits_of(stream):
    route = []
    for batch in stream:
        if not route or route[-1][0] != batch.source.name:
            route.append([batch.source.name, 0])
        route[-1][1] += 1
    return route


def test_every_task_is_visited_for_a_while():
    tasks = corners(6)
    route = visits_of(task_stream(tasks, least=3, most=9, batch=16))
    assert [name for name, _ in route] == [task.name for task in tasks]
    lengths = [length for _, length in route]
    assert len(set(lengths)) > 1
    assert all(3 <= length <= 9 for length in lengths)
    assert visits_of(task_stream(tasks, least=3, most=9, batch=16)) == route
    assert visits_of(task_stream(tasks, least=3, most=9, batch=16, seed=1)) != route


def test_later_visits_are_in_another_order_and_go_on():
    tasks = corners(6)
    batches = list(task_stream(tasks, visits=3, least=2, most=2, batch=16))
    names = [batch.source.name for batch in batches[::2]]
    rounds = [names[0:6], names[6:12], names[12:18]]
    assert all(sorted(each) == sorted(rounds[0]) for each in rounds)
    assert rounds[1] != rounds[0]
    seen = torch.cat([b.images for b in batches if b.source is tasks[2]])
    assert len(torch.unique(seen, dim=0)) == len(seen) == 3 * 2 * 16


def test_bad_input():
    for bad in ({"visits": 0}, {"least": 0}, {"batch": 0}, {"least": 5, "most": 4}):
        with pytest.raises(InvalidInput, match="stream: expected tasks"):
            task_stream(corners(1), **bad)
    with pytest.raises(InvalidInput, match="0 tasks"):
        task_stream([])
