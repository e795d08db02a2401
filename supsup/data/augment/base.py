"""Augment: the views of pictures that training and testing see."""

from abc import ABC, abstractmethod

from jaxtyping import Float32, UInt8
from torch import Tensor

Pictures = UInt8[Tensor, "b channel height width"]
Views = Float32[Tensor, "b channel high wide"]


class Augment(ABC):
    """Makes views of pictures, on the device where they are. Views keep the pictures' 0 to 255."""

    @abstractmethod
    def side(self, side: int) -> int:
        """Height and width of the views of square pictures of that side."""

    @property
    @abstractmethod
    def numbers(self) -> int:
        """Random numbers for one picture."""

    @abstractmethod
    def train(self, pictures: Pictures, numbers: Float32[Tensor, "b number"]) -> Views:
        """A random view of each; ``numbers`` are evenly spread over [0, 1)."""

    @abstractmethod
    def test(self, pictures: Pictures) -> Views:
        """The view of each that is tested."""
