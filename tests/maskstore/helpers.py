"""Small layouts and masks for the tests of the store, as the harness has them for everybody."""

from maskstore.testing.samples import LAYOUT, equal, random_masks, random_tensors

__all__ = ["LAYOUT", "equal", "random_masks", "random_tensors"]
