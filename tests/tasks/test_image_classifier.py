"""Pictures: views, caches and models of your own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import backbones
from tfvertical.errors import ConfigError, DataError, PresetError

QUICK = {"epochs": 2, "batch_size": 8, "verbose": 0}


@pytest.fixture(scope="module")
def task():
    return tiny.image_task()


def test_nothing_to_predict(task):
    assert task.predict([]) == []


def test_what_is_no_picture_is_refused(task):
    with pytest.raises(DataError):
        task.predict([b"no picture"])


@pytest.mark.parametrize("shape", [(20, 20), (20, 20, 1), (20, 20, 3), (20, 20, 4)], ids=str)
def test_one_array_is_one_picture(task, shape):
    picture = np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)
    assert task.predict(picture) == task.predict([picture]) and len(task.predict(picture)) == 1
    assert len(task.predict(np.stack([picture] * 5))) == 5


def test_views_differ_from_epoch_to_epoch_and_not_from_run_to_run():
    losses = []
    for augment in (None, tv.Augment(), tv.Augment()):
        task = tiny.image_task(dropout=0.0)
        history = task.fit(tiny.pictures(8), augment=augment, learning_rate=1e-7, **QUICK)
        losses.append(history.history["loss"])
    assert losses[0][0] == pytest.approx(losses[0][1], abs=1e-5)
    assert abs(losses[1][0] - losses[1][1]) > 1e-5
    assert losses[1] == losses[2]


def test_features_pooled_already():
    model = tiny.convnet()
    pooled = keras.Model(model.input, keras.layers.GlobalAveragePooling2D()(model.output))
    backbone = backbones.around(pooled, tiny.image_backbone().preprocessor, ["stem_", "block1_", "block2_"])
    task = tv.ImageClassifier(backbone, tiny.LABELS)
    task.fit(tiny.pictures(8), **QUICK)
    assert task.scores(tiny.pictures(3)).shape == (3, 2)


def test_models_that_do_not_fit():
    model = tiny.convnet()
    tokens = keras.Model(model.input, keras.layers.Reshape((-1, 8))(model.output))
    with pytest.raises(PresetError, match="another output"):
        backbones.around(tokens, tiny.image_backbone().preprocessor)
    with pytest.raises(PresetError, match="belongs to 0 blocks"):
        backbones.around(model, tiny.image_backbone().preprocessor, ["stem_"])


def test_a_normalization_belongs_to_the_layer_before_it():
    backbone = backbones.around(tiny.convnet(), tiny.image_backbone().preprocessor)
    assert backbone.blocks == tuple(f"(?:{name}_conv|{name}_norm)/" for name in ("stem", "block1", "block2"))
    task = tv.ImageClassifier(backbone, tiny.LABELS)
    history = task.fit(tiny.pictures(8), adaptation=tv.GradualUnfreezing(blocks=2), **QUICK)
    moved = [{address.split("/")[1] for address in proof.moved} for proof in history.proofs]
    assert moved == [{"logits"}, {"logits", "block2_conv"}, {"logits", "block1_conv", "block2_conv"}]


def test_a_network_that_begins_with_a_normalization():
    images = keras.Input((16, 16, 3), name="images")
    x = keras.layers.Conv2D(4, 3, name="conv")(keras.layers.BatchNormalization(name="norm")(images))
    backbone = backbones.around(keras.Model(images, x), tiny.image_backbone().preprocessor)
    assert backbone.blocks == ("(?:norm|conv)/",)


@pytest.mark.parametrize("augment", [True, tv.Augment, keras.Sequential([keras.layers.RandomFlip()])], ids=str)
def test_what_is_no_augmentation_is_told(task, augment):
    with pytest.raises(ConfigError, match=r"tv\.Augment\(flip"):
        task.fit(tiny.pictures(8), augment=augment, **QUICK)


def test_widths_of_hidden_layers_are_a_list():
    with pytest.raises(ConfigError, match=r"Fix: hidden=\[16\]"):
        tiny.image_task(hidden=16)
    with pytest.raises(ConfigError, match="a list of whole numbers"):
        tiny.image_task(hidden="16")
