"""Thin bundles leave out what the base model has, and notice when the base model is another."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.bundle import fakes
from tfvertical import bundle, stages
from tfvertical.contracts import Backbone, SourceInfo
from tfvertical.errors import BundleError
from tfvertical.sealing import weights


def base(seed: int = 0):
    """What the fake task was built on."""
    model = fakes.text_task(seed).components["text"]
    return lambda preset: Backbone(model, fakes.Hashing(), ["transformer_layer_0/"], SourceInfo(preset, "", {}, "1"))


def adapted() -> fakes.FakeTask:
    task = fakes.text_task()
    for address, variable in stages.addresses(task.components).items():
        if address.startswith(("text/transformer_layer_1/", "head/")):
            variable.assign(variable + 0.5)
    return task


def test_only_what_differs_is_stored(tmp_path: Path, fake_tasks):
    task = adapted()
    bundle.save(task, tmp_path / "thin", thin=True, base=base())
    content = (tmp_path / "thin/bundle/weights.safetensors").read_bytes()
    stored = weights.from_bytes(content, "w")
    assert {"/".join(address.split("/")[:2]) for address in stored} == {"text/transformer_layer_1", "head/dense_0"}
    loaded = bundle.load(tmp_path / "thin", base=base())
    scores = [t.scores(fakes.examples(fakes.TEXTS)) for t in (task, loaded)]
    np.testing.assert_array_equal(*scores)


def test_another_base_is_refused(tmp_path: Path, fake_tasks):
    bundle.save(adapted(), tmp_path / "thin", thin=True, base=base())
    with pytest.raises(BundleError, match="is not what it was"):
        bundle.load(tmp_path / "thin", base=base(seed=1))


def test_a_base_of_another_shape_cannot_be_left_out(tmp_path: Path):
    other = fakes.image_task().components["image"]
    make = lambda preset: Backbone(other, fakes.Pixels(), [], SourceInfo(preset, "", {}, "1"))  # noqa: E731
    with pytest.raises(BundleError, match="No component of this task is built on 'tiny'"):
        bundle.save(fakes.text_task(), tmp_path / "thin", thin=True, base=make)
    assert not list(tmp_path.iterdir())
