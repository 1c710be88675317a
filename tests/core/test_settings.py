"""What can be wrong with training settings is said at once, all of it."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
import pytest

from tfvertical.errors import ConfigError
from tfvertical.settings import HABITS, Settings

WRONG = {
    "epochs": [0, -1, 2.5, "3", True, None],
    "batch_size": [0, "8"],
    "learning_rate": [0, -1.0, float("nan"), float("inf"), 11, "1e-3"],
    "schedule": ["cosinus", None],
    "warmup": [-0.1, 1.1, float("nan")],
    "restart": ["yes", 1],
    "weight_decay": [-1e-9, 2],
    "clip_norm": [0, -1.0, "none"],
    "label_smoothing": [-0.1, 1.0],
    "early_stopping": [0, 1.5],
    "monitor": [3],
    "cache_bytes": [-1],
    "seed": [-1, None],
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_values_that_cannot_be(name, value):
    with pytest.raises(ConfigError, match=name):
        Settings.of({name: value})


def test_numbers_of_numpy_are_numbers():
    found = Settings.of({"epochs": np.int64(2), "learning_rate": np.float32(0.5), "cache": np.bool_(False)})
    assert found == Settings(epochs=2, learning_rate=0.5, cache=False)
    assert {type(found.epochs), type(found.learning_rate), type(found.cache)} == {int, float, bool}


def test_all_mistakes_in_one_message():
    with pytest.raises(ConfigError, match=r"epochs is 0[\s\S]*learning_rate is -1[\s\S]*seed is -2"):
        Settings(epochs=0, learning_rate=-1, seed=-2)


def test_unknown_settings_have_their_nearest():
    with pytest.raises(ConfigError, match=r"'learning_rat'[\s\S]*'learning_rate'"):
        Settings.of({"learning_rat": 1e-3})


def test_what_is_right():
    assert Settings.of({"learning_rate": 1, "clip_norm": None, "early_stopping": None, "warmup": 0}).learning_rate == 1
    assert Settings.of({"learning_rate": np.float64(0.1)}).learning_rate == 0.1
    settings = Settings(epochs=7)
    assert Settings.of(dataclasses.asdict(settings)) == settings


@pytest.mark.parametrize("name", HABITS)
def test_what_is_said_by_habit_is_told_by_its_name_here(name):
    with pytest.raises(ConfigError, match="Fix: ") as told:
        Settings.of({name: 1})
    assert HABITS[name] in str(told.value)
    named = re.findall(r"it is called (\w+)", HABITS[name])
    assert set(named) <= set(Settings.__dataclass_fields__) and name not in Settings.__dataclass_fields__
