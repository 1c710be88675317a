"""Names to sources: what is taken by which, what is refused, and what happens without a hub."""

from __future__ import annotations

import re
import shutil
import time
import warnings
from pathlib import Path
from typing import Any

import keras_hub
import numpy as np
import pytest

from tfvertical import backbones, stages
from tfvertical.backbones import _hub_files
from tfvertical.errors import ConfigError, MissingPackageError, PresetError
from tfvertical.tasks.image_classifier import ImageClassifier

HANDLE = "kaggle://keras/bert/keras/bert_base_en/3"


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("minilm_l6_v2", "PackageIndex"),
        ("efficientnet_lite0", "PackageIndex"),
        ("bert_base_en", "KerasHub"),
        ("hf://owner/model", "KerasHub"),
        ("kaggle://owner/model/keras/variant", "KerasHub"),
        ("keras_cv:efficientnetv2_b0", "KerasCV"),
        ("./folder", "Local"),
        ("/somewhere/folder", "Local"),
        ("~/folder", "Local"),
        ("a/folder", "Local"),
    ],
)
def test_each_name_has_its_source(name: str, source: str) -> None:
    assert type(backbones._source(name)).__name__.lower() == source.lower()


def test_a_folder_wins_over_a_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bert_base_en").mkdir()
    with pytest.raises(PresetError, match="holds no model"):
        backbones.load("bert_base_en")


@pytest.mark.parametrize("name", ["minilm_l6_v2", "efficientnet_lite0"])
def test_a_folder_does_not_take_an_offline_preset_s_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    assert type(backbones._source(name)).__name__ == "PackageIndex"
    backbones.check(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("minilm_l6_v3", "Nearest: 'minilm_l6_v2'"),
        ("bert_base_em", "Nearest: 'bert_base_en'"),
        ("ftp://x", "no hub 'ftp'"),
        ("kaggle://x/y", "kaggle://owner/model/keras/variant"),
        ("hf://a/b/c", "hf://owner/model"),
        ("hf://../..", "hf://owner/model"),
        ("./nothing", "There is no folder"),
        ("", "no name of a preset"),
        ("two words", "no name of a preset"),
    ],
)
def test_names_that_cannot_be_right(name: str, message: str) -> None:
    for ask in (backbones.check, backbones.load, backbones.fetch, backbones.path):
        if (ask, name) != (backbones.path, "./nothing"):
            with pytest.raises(PresetError, match=message):
                ask(name)


@pytest.mark.parametrize("name", ["efficientnet_lite0", "keras_cv:efficientnet_lite0"])
def test_lite0_takes_the_options_of_pictures_by_either_name(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path))
    assert backbones.path(name) is None
    backbone = backbones.load(name, weights=False, size=64, margin=0)
    assert backbone.model.input_shape == (None, 64, 64, 3)
    with pytest.raises(ConfigError, match="Nearest: 'size'"):
        backbones.load(name, weights=False, sise=64)


def test_names_that_may_be_right_ask_no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_hub_files, "fetch", lambda *_: pytest.fail("asked"))
    for name in ("minilm_l6_v2", "bert_base_en", "hf://owner/model", HANDLE):
        backbones.check(name)


def test_the_list(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path))
    names = {preset.name: preset for preset in backbones.presets()}
    assert next(iter(names)) == "minilm_l6_v2"
    assert names["minilm_l6_v2"] == ("minilm_l6_v2", "text", "package index", False)
    assert names["bert_base_en"].kind == "text" and names["resnet_50_imagenet"].kind == "image"
    assert [preset.name for preset in backbones.presets(hub=False)] == ["minilm_l6_v2", "efficientnet_lite0"]


def no_hub(monkeypatch: pytest.MonkeyPatch, error: Exception | None, seconds: float = 0.0) -> None:
    def probe() -> str:
        time.sleep(seconds)
        raise error or AssertionError

    monkeypatch.setattr(_hub_files, "place", lambda handle: None)
    monkeypatch.setattr(_hub_files, "_kaggle", lambda address: (probe, probe))
    monkeypatch.setattr(_hub_files, "_hugging_face", lambda address: (probe, probe))


class ConnectTimeout(Exception): ...


class NotThere(Exception): ...


@pytest.mark.parametrize("name", ["bert_base_en", "hf://owner/model"])
def test_without_a_hub(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    no_hub(monkeypatch, ConnectTimeout("no route"))
    with pytest.raises(PresetError, match=r"(?s)no model hub can be reached.*minilm_l6_v2, efficientnet_lite0.*folder"):
        backbones.load(name)


def test_a_silent_hub_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    no_hub(monkeypatch, None, seconds=30)
    monkeypatch.setattr(_hub_files, "PATIENCE", 0.1)
    start = time.perf_counter()
    with pytest.raises(PresetError, match="no model hub can be reached"):
        backbones.fetch("hf://owner/model")
    assert time.perf_counter() - start < 5


def test_a_hub_that_has_no_such_preset(monkeypatch: pytest.MonkeyPatch) -> None:
    no_hub(monkeypatch, NotThere("404"))
    with pytest.raises(PresetError, match="did not serve preset"):
        backbones.fetch("hf://owner/model")


def test_a_missing_client_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(MissingPackageError, match="pip install kagglehub"):
        _hub_files._kaggle("a/b/c/d")


def image_preset(folder: Path, hub: Any) -> str:
    converter = keras_hub.layers.ResNetImageConverter(
        image_size=(32, 32), scale=1 / 255, offset=-0.5, crop_to_aspect_ratio=False
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Keras' own, when it writes weights
        hub.save_to_preset(str(folder))
        converter.save_to_preset(str(folder))
    return str(folder)


def resnet() -> Any:
    return keras_hub.models.ResNetBackbone(
        input_conv_filters=[64], input_conv_kernel_sizes=[3], stackwise_num_filters=[64, 8, 8],
        stackwise_num_blocks=[1, 1, 2], stackwise_num_strides=[1, 2, 2], block_type="basic_block",
        image_shape=(32, 32, 3),
    )  # fmt: skip


def densenet() -> Any:
    return keras_hub.models.DenseNetBackbone([1, 1, 1], compression_ratio=0.5, growth_rate=4, image_shape=(32, 32, 3))


@pytest.mark.parametrize("make", [resnet, densenet])
def test_an_image_network_from_a_folder(tmp_path: Path, make: Any) -> None:
    hub = make()
    backbone = backbones.load(image_preset(tmp_path / "preset", hub))
    pictures = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.float32)
    np.testing.assert_allclose(backbone.model(pictures), hub(pictures / 255 - 0.5), atol=1e-6)
    assert (backbone.preprocessor.size, backbone.preprocessor.crop) == ((32, 32), "squash")
    addresses = stages.addresses({"image": backbone.model})
    assert 3 <= len(backbone.blocks) <= 6
    for address in addresses:
        assert sum(bool(re.match(f"image/{block}", address)) for block in backbone.blocks) == 1
    for block in backbone.blocks:  # BatchNormalization stays frozen, and something else learns
        assert stages.resolve({"image": backbone.model}, stages.Stage("b", {f"image/{block}": 1.0}, 1)).rates


def test_a_fetched_preset_is_loaded_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(image_preset(tmp_path / "preset", resnet()))
    monkeypatch.setattr(_hub_files, "place", lambda handle: folder if handle == HANDLE else None)
    assert backbones.path(HANDLE) == backbones.fetch(HANDLE) == folder
    source = backbones.load(HANDLE).source
    assert (source.preset, source.kind) == (HANDLE, "keras_hub")
    shutil.rmtree(folder)
    with pytest.raises(PresetError, match="There is no folder"):
        backbones.load(HANDLE)


def test_a_folder_may_be_a_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image_preset(tmp_path / "mine", resnet())
    for path, name in ((Path("./mine"), "./mine"), (tmp_path / "mine", str(tmp_path / "mine"))):
        assert backbones.load(path).source.preset == name
    with pytest.raises(PresetError, match="There is no folder"):
        backbones.load(Path("bert_base_en"))


def test_a_model_in_the_place_of_a_name_is_told_its_way() -> None:
    model = resnet()
    with pytest.raises(PresetError, match=r"Received: ResNetBackbone[\s\S]*save_to_preset[\s\S]*backbones\.around"):
        backbones.load(model)
    with pytest.raises(ConfigError, match=r"Received: ResNetBackbone[\s\S]*save_to_preset[\s\S]*backbones\.around"):
        ImageClassifier(model, ["a", "b"])
