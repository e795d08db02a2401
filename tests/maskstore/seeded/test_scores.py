import numpy as np
import pytest

from maskstore.errors import CorruptArchive, InvalidInput
from maskstore.layout import MaskLayout
from maskstore.seeded import streams as seeded
from maskstore.seeded.scores import ScoreStart, put_start, take_start

LAYOUT = MaskLayout({"fc.weight": (3, 4), "conv.weight": (2, 5, 3, 3), "bn.weight": (16,)})


def test_each_layer_is_uniform_within_one_over_the_root_of_its_fan_in():
    scores = ScoreStart(seed=2, stream="scores/t/0").draw(LAYOUT)
    for name, fan_in in (("fc.weight", 4), ("conv.weight", 45), ("bn.weight", 16)):
        b = fan_in**-0.5
        expected = seeded.uniform(2, f"scores/t/0/{name}", LAYOUT.shapes[name], -b, b)
        np.testing.assert_array_equal(scores[name], expected)
    assert list(scores) == list(LAYOUT.shapes)


def test_json_round_trip():
    start = ScoreStart(seed=2, stream="scores/t/0")
    assert ScoreStart.from_json(start.to_json()) == start


@pytest.mark.parametrize(
    "value", [None, {}, {"seed": 1}, {"seed": -1, "stream": "s"}, {"seed": 1, "stream": ""}]
)
def test_what_is_no_start_is_refused(value):
    with pytest.raises(InvalidInput):
        ScoreStart.from_json(value)


@pytest.mark.parametrize("seed", [0, 255, 256, 2**64 - 1])
@pytest.mark.parametrize("stream", ["scores", "other", "x" * 255])
def test_bytes_of_a_start_come_back_and_are_short(seed, stream):
    stored = put_start(ScoreStart(seed=seed, stream=stream))
    assert stored is not None
    assert take_start(stored + b"rest") == (ScoreStart(seed=seed, stream=stream), b"rest")
    for end in range(len(stored)):
        with pytest.raises(CorruptArchive):
            take_start(stored[:end])
