import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from supsup.tasks.pixel_map import permute, rotate, rotate_nearest

IMAGES = np.random.default_rng(3).integers(0, 256, (5, 28, 28)).astype(np.float32)


def apply(pixels, images=IMAGES):
    flat = torch.from_numpy(images.reshape(len(images), -1).copy())
    return pixels(flat).numpy().reshape(images.shape)


def test_a_permutation_is_numpy_indexing():
    order = np.random.default_rng(0).permutation(784)
    expected = IMAGES.reshape(5, 784)[:, order].reshape(IMAGES.shape)
    np.testing.assert_array_equal(apply(permute(order)), expected)


@pytest.mark.parametrize("degrees", range(0, 360, 10))
def test_a_rotation_agrees_with_scipy(degrees):
    # Order 1 is bilinear; grid-constant samples a plane that is zero outside the image.
    expected = ndimage.rotate(
        IMAGES, degrees, axes=(1, 2), reshape=False, order=1, mode="grid-constant", cval=0
    )
    np.testing.assert_allclose(apply(rotate(degrees, 28, 28)), expected, atol=2e-4)


@pytest.mark.parametrize("degrees", [10, 130, 250])
def test_a_rotation_agrees_with_grid_sample(degrees):
    angle = np.deg2rad(degrees)
    theta = [[np.cos(angle), -np.sin(angle), 0], [np.sin(angle), np.cos(angle), 0]]
    grid = torch.nn.functional.affine_grid(
        torch.tensor([theta] * 5), [5, 1, 28, 28], align_corners=False
    )
    expected = torch.nn.functional.grid_sample(
        torch.from_numpy(IMAGES[:, None]).double(), grid, align_corners=False
    )
    np.testing.assert_allclose(apply(rotate(degrees, 28, 28)), expected[:, 0], atol=2e-4)


@pytest.mark.parametrize("turns", range(4))
@pytest.mark.parametrize("side", [7, 28])
def test_quarter_turns_are_exact_and_counter_clockwise(turns, side):
    images = IMAGES[:, :side, :side]
    expected = np.rot90(images, turns, axes=(1, 2))
    np.testing.assert_array_equal(apply(rotate(90 * turns, side, side), images), expected)


@pytest.mark.parametrize("degrees", range(0, 360, 10))
@pytest.mark.parametrize("size", [(28, 28), (10, 21)])
def test_the_nearest_pixels_are_those_of_the_papers_code(degrees, size):
    """Which turns pictures of three equal channels (``data/rotatingmnist.py``)."""
    images = IMAGES[:, : size[0], : size[1]]
    found = apply(rotate_nearest(degrees, *size), images)
    for image, turned in zip(images, found, strict=True):
        theirs = Image.fromarray(image.astype(np.uint8)).convert("RGB").rotate(degrees).convert("L")
        np.testing.assert_array_equal(turned, np.array(theirs))


def test_an_image_that_is_not_square():
    images = IMAGES[:, :10, :21]
    expected = ndimage.rotate(
        images, 40, axes=(1, 2), reshape=False, order=1, mode="grid-constant", cval=0
    )
    np.testing.assert_allclose(apply(rotate(40, 10, 21), images), expected, atol=2e-4)


def test_input_images_stay_as_they_are():
    flat = torch.from_numpy(IMAGES.reshape(5, 784).copy())
    before = flat.clone()
    rotate(30, 28, 28)(flat)
    assert torch.equal(flat, before)
