"""Image networks of KerasHub and KerasCV as backbones: one shape, blocks that cover, graphs that survive."""

from __future__ import annotations

import re
from pathlib import Path

import keras
import numpy as np
import pytest

from tfvertical import backbones, stages
from tfvertical.backbones._image_blocks import image_blocks
from tfvertical.backbones._image_model import image_backbone, random_source, with_scaling
from tfvertical.backbones._image_preprocessor import KerasImagePreprocessor
from tfvertical.backbones.keras_cv import KerasCV
from tfvertical.errors import ConfigError, PresetError

SIZE = (64, 64)


def resnet(**options):
    from keras_hub.models import ResNetBackbone

    return ResNetBackbone([64], [3], [64, 16], [1, 1], [1, 2], "basic_block", image_shape=(None, None, 3), **options)


def resnet_v2():
    """Its last layer with weights is a BatchNormalization."""
    return resnet(use_pre_activation=True)


def vit():
    from keras_hub.models import ViTBackbone

    return ViTBackbone(image_shape=(*SIZE, 3), patch_size=(16, 16), num_layers=3, num_heads=2, hidden_dim=8, mlp_dim=16)


def covered(backbone) -> list[int]:
    """Of each block, how many variables; every variable in exactly one. In each something learns without asking."""
    paths = [address.partition("/")[2] for address in stages.addresses({"image": backbone.model})]
    found = [[bool(re.match(block, path)) for block in backbone.blocks] for path in paths]
    assert all(sum(row) == 1 for row in found)
    for block in backbone.blocks:
        assert stages.resolve({"image": backbone.model}, stages.Stage("b", {f"image/(?:{block})": 1.0}, 1)).rates
    return np.sum(found, 0).tolist()


def as_backbone(network, **fields):
    return image_backbone(network, KerasImagePreprocessor(SIZE, **fields), random_source("mine", network), 1 / 255)


@pytest.mark.parametrize(
    ("build", "blocks", "shape"), [(resnet, 3, (8, 8, 16)), (resnet_v2, 3, (8, 8, 16)), (vit, 4, (4, 4, 8))]
)
def test_hub_networks_keep_their_function(build, blocks, shape):
    network = build()
    backbone = as_backbone(network)
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    expected = network.predict(images / 255, verbose=0)
    expected = expected if expected.ndim == 4 else expected[:, 1:].reshape(2, 4, 4, 8)
    assert np.abs(backbone.model.predict(images, verbose=0) - expected).max() < 1e-5
    assert backbone.model.output_shape == (None, *shape)
    assert backbone.model.name == "image" and backbone.model.input.name == "images"
    assert isinstance(backbone.model.layers[1], keras.layers.Rescaling)
    assert len(covered(backbone)) == blocks and min(covered(backbone)) > 0


@pytest.mark.filterwarnings("ignore:__array__ implementation")  # Keras' own, when it writes a variable
@pytest.mark.parametrize("build", [resnet, vit])
def test_it_comes_back_from_keras_files(build, tmp_path: Path):
    model = as_backbone(build()).model
    images = np.random.default_rng(0).integers(0, 256, (2, *SIZE, 3)).astype(np.float32)
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    assert list(stages.addresses({"image": again})) == list(stages.addresses({"image": model}))
    assert np.array_equal(again.predict(images, verbose=0), model.predict(images, verbose=0))


def test_blocks_of_a_plain_network():
    inputs = keras.Input((8, 8, 3))
    outputs = keras.layers.Conv2D(4, 1, name="first")(inputs)
    for number in (1, 2, 11):
        outputs = keras.layers.Conv2D(4, 1, name=f"block{number}_a")(outputs)
        outputs = keras.layers.BatchNormalization(name=f"norm_{number}")(outputs)
    model = keras.Model(inputs, keras.layers.Conv2D(4, 1, name="last")(outputs))
    patterns = image_blocks(model)
    assert [bool(re.match(patterns[1], path)) for path in ("block1_a/kernel", "block11_a/kernel")] == [True, False]
    # the norms after the last number belong to the top, since nothing tells them from it
    names = ("first", "norm_1", "norm_2", "norm_11", "last")
    members = [[name for name in names if re.match(pattern, f"{name}/gamma")] for pattern in patterns]
    assert members == [["first"], ["norm_1"], ["norm_2"], [], ["norm_11", "last"]]
    alone = keras.Sequential([inputs, keras.layers.Conv2D(4, 1, name="only")])
    assert image_blocks(alone) == ("only/",)


def test_a_normalization_is_no_block():
    """First, last, or behind its layer: of the whole network there are two blocks."""
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 1, name="first")(keras.layers.BatchNormalization(name="before")(inputs))
    x = keras.layers.BatchNormalization(name="between")(x)
    x = keras.layers.Conv2D(4, 1, name="block1_a")(x)
    model = keras.Model(inputs, keras.layers.LayerNormalization(name="after")(x))
    patterns = image_blocks(model)
    names = ("before", "first", "between", "block1_a", "after")
    members = [[name for name in names if re.match(pattern, f"{name}/gamma")] for pattern in patterns]
    assert members == [["before", "first", "between"], ["block1_a", "after"]]


def test_a_network_of_another_size_is_refused():
    with pytest.raises(PresetError, match="32 x 32"):
        with_scaling(vit(), (32, 32), 1.0, 0.0)
    two = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    with pytest.raises(PresetError, match="does not take"):
        with_scaling(keras.Model(two, keras.layers.Add()(two)), (8, 8), 1.0, 0.0)


@pytest.mark.filterwarnings("ignore:__array__ implementation")
def test_a_local_preset_with_its_converter(tmp_path: Path):
    from keras_hub.layers import ResNetImageConverter
    from keras_hub.models import ResNetImageClassifierPreprocessor

    network = resnet()
    network.save_to_preset(str(tmp_path / "mine"))
    converter = ResNetImageConverter(
        image_size=SIZE, scale=[0.01, 0.02, 0.03], offset=[-1, 0, 1], interpolation="bicubic"
    )
    ResNetImageClassifierPreprocessor(converter).save_to_preset(str(tmp_path / "mine"))
    backbone = backbones.load(str(tmp_path / "mine"))
    assert backbone.preprocessor == KerasImagePreprocessor(SIZE, "center", 0, "bicubic")
    image = np.random.default_rng(0).integers(0, 256, (1, *SIZE, 3)).astype(np.float32)
    expected = network.predict(converter(image), verbose=0)
    assert np.abs(backbone.model.predict(image, verbose=0) - expected).max() < 1e-5
    other = backbones.load(str(tmp_path / "mine"), size=32, crop="pad")
    assert other.preprocessor.size == (32, 32) and other.model.input_shape == (None, 32, 32, 3)
    with pytest.raises(ConfigError, match="resample"):
        backbones.load(str(tmp_path / "mine"), resampel="bicubic")


@pytest.mark.parametrize(
    ("name", "blocks", "weights"),
    [
        ("resnet18", 5, 11_186_112),
        ("resnet18_v2", 5, 11_183_488),
        ("mobilenet_v3_small", 12, None),
        ("efficientnetlite_b0", 9, 3_413_024),
        ("csp_darknet_tiny", 5, 2_380_416),
    ],
)
def test_keras_cv_networks_are_built_offline(name, blocks, weights):
    backbone = KerasCV().load(f"keras_cv:{name}", weights=False, size=64)
    assert len(covered(backbone)) == blocks
    assert weights in (None, backbone.model.count_params())
    assert backbone.model.output_shape[1:3] == (2, 2)
    assert backbone.preprocessor.size == (64, 64) and backbone.source.kind == "random"
    if weights and name != "efficientnetlite_b0":
        import keras_cv

        presets = {k: v for cls in vars(keras_cv.models).values() for k, v in getattr(cls, "presets", {}).items()}
        assert presets[name]["metadata"]["params"] == weights


def test_keras_cv_says_what_to_do_instead():
    with pytest.raises(PresetError, match="keras_cv:resnet18'") as caught:
        KerasCV().load("keras_cv:resnot18")
    with pytest.raises(PresetError, match="efficientnet_lite0") as caught:
        KerasCV().load("keras_cv:resnet18")
    assert "resnet50_imagenet" in str(caught.value) and "weights=False" in str(caught.value)


def test_keras_cv_without_its_hub(monkeypatch):
    import keras_cv

    def unreachable(*arguments, **options):
        raise ConnectionError("no route")

    monkeypatch.setattr(keras_cv.models.EfficientNetV2Backbone, "from_preset", unreachable)
    with pytest.raises(PresetError, match="no route") as caught:
        KerasCV().load("keras_cv:efficientnetv2_b0")
    assert "efficientnet_lite0" in str(caught.value)
