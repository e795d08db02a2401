import numpy as np

from maskstore import MaskLayout
from maskstore.packed import PackedMasks


def test_select_gives_the_masks_asked_for_in_that_order():
    layout = MaskLayout({"w": (3, 5)})
    masks = [np.random.default_rng(at).random((3, 5)) < 0.5 for at in range(4)]
    packed = PackedMasks(
        layout=layout,
        names=("a", "b", "c", "d"),
        bits=np.stack([layout.pack({"w": mask}) for mask in masks]),
    )
    some = packed.select([3, 1])
    assert some.names == ("d", "b")
    assert np.array_equal(some.unpack(0)["w"], masks[3])
    assert np.array_equal(some.unpack(1)["w"], masks[1])
    assert packed.select(range(2)).names == ("a", "b")
