"""Random views: decided by seed, epoch and row alone, and inside the picture."""

from __future__ import annotations

import numpy as np
import pytest

from tfvertical.augment import Augment
from tfvertical.errors import ConfigError

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def view(augment: Augment, row: int = 0, epoch: int = 0, picture: np.ndarray = PICTURE) -> np.ndarray:
    return augment(picture, (32, 24), augment.generator(0, epoch, row))


def test_a_pure_function_of_seed_epoch_and_row():
    augment = Augment(color=0.3)
    before = PICTURE.copy()
    assert np.array_equal(view(augment), view(augment)) and np.array_equal(PICTURE, before)
    assert not np.array_equal(view(augment, row=0), view(augment, row=1))
    assert not np.array_equal(view(augment, epoch=0), view(augment, epoch=1))
    assert view(augment).shape == (32, 24, 3) and view(augment).dtype == np.uint8


def test_nothing_asked_is_a_plain_resize():
    from PIL import Image

    picture = PICTURE[:, :45]  # three quarters as wide as high, as is the view
    plain = Augment(flip=False, crop=(1.0, 1.0), aspect=(1.0, 1.0))
    expected = np.asarray(Image.fromarray(picture).resize((24, 32), Image.Resampling.BICUBIC))
    assert np.abs(view(plain, picture=picture).astype(int) - expected).max() <= 1


def test_half_of_the_views_are_mirrored():
    slope = np.repeat(np.arange(80, dtype=np.uint8)[None, :, None], 60, 0).repeat(3, 2)
    turned = [int(v[16, 0, 0]) > int(v[16, -1, 0]) for v in (view(Augment(), row, picture=slope) for row in range(200))]
    assert 70 < sum(turned) < 130
    assert not any(int(view(Augment(flip=False), row, picture=slope)[16, 0, 0]) > 40 for row in range(50))


def test_the_kept_area_is_within_the_range():
    chance = np.random.default_rng(0)
    for _ in range(300):
        left, top, right, bottom = Augment(crop=(0.3, 0.5), aspect=(0.8, 1.25))._box(60, 80, (32, 32), chance)
        assert 0 <= left < right <= 80 and 0 <= top < bottom <= 60
        assert 0.29 < (right - left) * (bottom - top) / 4800 < 0.51
        assert 0.79 < (right - left) / (bottom - top) < 1.26


@pytest.mark.parametrize("shape", [(1, 1), (1, 300), (300, 1), (3, 200)])
def test_strange_pictures_have_a_view(shape):
    picture = np.full((*shape, 3), 77, np.uint8)
    assert (view(Augment(), picture=picture) == 77).all()


def test_colours_change_by_what_was_asked_at_most():
    picture = np.full((20, 20, 3), 100, np.uint8)
    levels = [int(view(Augment(color=0.2), row, picture=picture)[0, 0, 0]) for row in range(100)]
    assert 80 <= min(levels) < 88 and 112 < max(levels) <= 120


@pytest.mark.parametrize(
    "fields", [{"crop": (0.0, 1.0)}, {"crop": (0.9, 0.5)}, {"crop": (0.5, 1.2)}, {"aspect": (0, 1)}, {"color": 1.0}]
)
def test_senseless_ranges_are_refused(fields):
    with pytest.raises(ConfigError, match=next(iter(fields))):
        Augment(**fields)
