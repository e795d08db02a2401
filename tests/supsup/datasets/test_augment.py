import math

import numpy as np
import pytest
import torch
from scipy import stats

from supsup.datasets.augment import CropFlip, ResizedCropFlip
from supsup.tasks.counter_random import draws


def pictures(n: int, side: int) -> torch.Tensor:
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.integers(1, 256, (n, 3, side, side), dtype=np.uint8))


def test_draws_depend_on_key_and_batch_only():
    batch = torch.tensor([5, 3, 9])
    first = draws(7, batch, 4)
    assert first.shape == (3, 4)
    assert torch.equal(first, draws(7, batch.clone(), 4))
    for other in (draws(8, batch, 4), draws(7, torch.tensor([3, 5, 9]), 4)):
        assert not (other == first).any()
    # A neighbour's index changes everybody's numbers, so that passes over the data differ.
    assert not (draws(7, torch.tensor([5, 3, 8]), 4) == first).any()


def test_draws_are_splitmix64():
    """Bits are a promise: masks are trained on what they choose. Here in unsigned integers."""

    def mix(word: int) -> int:
        word %= 2**64
        word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        word = (word ^ (word >> 27)) * 0x94D049BB133111EB % 2**64
        return word ^ (word >> 31)

    step, key, indices = 0x9E3779B97F4A7C15, 2**62 + 5, [4, 0, 7]
    batch = sum(mix(mix(index + key) + place * step) for place, index in enumerate(indices))
    expected = [mix(batch + cell * step) >> 40 for cell in range(6)]
    found = draws(key, torch.tensor(indices), 2).flatten() * 2**24
    assert found.tolist() == expected


def test_draws_are_even_and_unrelated():
    numbers = torch.cat([draws(key, torch.arange(500) * 3, 4) for key in range(20)]).numpy()
    assert numbers.min() >= 0
    assert numbers.max() < 1
    for column in numbers.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-3
    related = np.corrcoef(np.hstack([numbers[:-1], numbers[1:]]).T) - np.eye(8)
    assert np.abs(related).max() < 5 / math.sqrt(len(numbers))


def test_crop_flip_shifts_and_mirrors():
    images = pictures(400, 6)
    numbers = draws(3, torch.arange(400), 3)
    views = CropFlip(margin=2).train(images, numbers)
    assert views.dtype == torch.float32
    seen = set()
    for image, view, (down, right, mirror) in zip(images, views, numbers.tolist(), strict=True):
        wide = np.pad(image.numpy(), ((0, 0), (2, 2), (2, 2)))
        top, left = int(down * 5), int(right * 5)
        expected = wide[:, top : top + 6, left : left + 6]
        if mirror < 0.5:
            expected = expected[:, :, ::-1]
        np.testing.assert_array_equal(view, expected)
        seen.add((top, left, mirror < 0.5))
    assert len(seen) == 50  # 5 × 5 shifts, mirrored or not
    assert torch.equal(CropFlip().test(images), images.float())
    assert CropFlip().side(32) == 32


def test_resized_crops_are_parts_of_the_picture():
    """Of a picture that shows its own coordinates, a view shows which part it is."""
    side, size = 64, 16
    ramp = torch.arange(side, dtype=torch.uint8) * 4
    row = ramp.expand(side, side)
    image = torch.stack([row.T, row, torch.full_like(row, 9)])
    n = 2000
    augment = ResizedCropFlip(size=size)
    views = augment.train(image.expand(n, 3, side, side), draws(0, torch.arange(n), 23))
    assert views.shape == (n, 3, size, size)
    assert torch.allclose(views[:, 2], torch.tensor(9.0), atol=1e-4)
    rows, columns = views[:, 0, :, 0] / 4, views[:, 1, 0] / 4
    assert torch.allclose(views[:, 0], 4 * rows[:, :, None].expand(n, size, size), atol=1e-2)
    high = (rows[:, -2] - rows[:, 1]) / (size - 3) * size / side
    wide = (columns[:, -2] - columns[:, 1]) / (size - 3) * size / side
    mirrored = wide < 0
    assert 0.45 < float(mirrored.float().mean()) < 0.55
    wide = wide.abs()
    area, ratio = high * wide, wide / high
    assert float(area.min()) > 0.07
    assert float(area.max()) < 1.01
    assert float(ratio.min()) > 0.74
    assert float(ratio.max()) < 1.34
    # Against the definition, by rejection.
    rng = np.random.default_rng(1)
    a = rng.uniform(0.08, 1, 20_000)
    r = np.exp(rng.uniform(math.log(3 / 4), math.log(4 / 3), 20_000))
    kept = (a * r <= 1) & (a / r <= 1)
    assert stats.ks_2samp(area.numpy(), a[kept]).pvalue > 1e-3
    assert stats.ks_2samp(ratio.numpy(), r[kept]).pvalue > 1e-3
    # Nothing beyond the edges: each part lies anywhere inside, as likely.
    top = (rows[:, 1] + 0.5) / side - 1.5 * high / size
    assert stats.kstest((top / (1 - high)).clamp(0, 1)[high < 0.8].numpy(), "uniform").pvalue > 1e-3


def test_tests_see_the_middle():
    images = pictures(3, 10)
    augment = ResizedCropFlip(size=6)
    assert torch.equal(augment.test(images), images[:, :, 2:8, 2:8].float())
    assert augment.side(10) == 6


@pytest.mark.cuda
def test_draws_have_the_same_bits_on_a_gpu():
    indices = torch.arange(100) * 7
    assert torch.equal(draws(5, indices.cuda(), 3).cpu(), draws(5, indices, 3))
