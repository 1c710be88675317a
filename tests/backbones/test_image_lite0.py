"""EfficientNet-Lite0's real weights: verified, the same in both libraries, and right about photographs."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from tfvertical import packages, stages
from tfvertical.backbones import _efficientnet_lite as lite
from tfvertical.errors import PresetError

pytestmark = pytest.mark.real
JERSEY, JEAN, DAISY, PALACE = 610, 608, 985, 698
FOOTWEAR = {502, 514, 630, 770, 774}  # clog, cowboy boot, loafer, running shoe, sandal


@pytest.fixture(scope="module")
def classifier():
    return lite.classifier()


def named(classifier, paths) -> np.ndarray:
    pictures = np.stack([lite.PREPROCESSOR.pixels(path) for path in paths])
    return classifier.predict(lite.PREPROCESSOR.inputs(pictures)["images"], verbose=0).argmax(1)


def test_both_libraries_give_the_same_features():
    images = np.random.default_rng(0).integers(0, 256, (3, 224, 224, 3)).astype(np.float32)
    hub, cv = lite.load_keras_hub(), lite.load_keras_cv()
    features = hub.model.predict(images, verbose=0)
    assert features.shape == (3, 7, 7, 1280) and features.std() > 0.1
    assert np.abs(features - cv.model.predict(images, verbose=0)).max() <= 1e-4
    for backbone in (hub, cv):
        assert backbone.model.count_params() == 3_413_024
        assert backbone.source.weights_sha256 == lite.CHECKPOINT_SHA256
        paths = [address.partition("/")[2] for address in stages.addresses({"image": backbone.model})]
        assert all(sum(bool(re.match(block, path)) for block in backbone.blocks) == 1 for path in paths)
        assert all(any(re.match(block, path) for path in paths) for block in backbone.blocks)


def test_it_names_a_palace_and_a_flower(classifier):
    import sklearn.datasets

    folder = Path(sklearn.datasets.__file__).parent / "images"
    assert named(classifier, [folder / "china.jpg", folder / "flower.jpg"]).tolist() == [PALACE, DAISY]


@pytest.mark.shared
def test_it_names_clothes(classifier, shared_data: Path):
    folder = shared_data / "clothing" / "test"
    shirts = named(classifier, sorted((folder / "t-shirt").glob("*.jpg"))[:40])
    shoes = named(classifier, sorted((folder / "shoes").glob("*.jpg"))[:40])
    pants = named(classifier, sorted((folder / "pants").glob("*.jpg")))
    assert (shirts == JERSEY).mean() >= 0.75
    assert np.isin(shoes, list(FOOTWEAR)).mean() >= 0.9
    assert np.bincount(pants).argmax() == JEAN


def test_the_kept_copy_is_verified(tmp_path: Path, monkeypatch):
    whole = lite.checkpoint()
    kept = tmp_path / "copy.safetensors"
    place = packages.folder(lite.PACKAGE)
    monkeypatch.setattr(packages, "place", lambda name: tmp_path / "copy")
    monkeypatch.setattr(packages, "folder", lambda name: place)
    assert lite.digest(lite.checkpoint()) == lite.TENSORS_SHA256 and kept.exists()
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    assert all(np.array_equal(tensor, whole[name]) for name, tensor in lite.checkpoint().items())
    assert kept.read_bytes() != bytes(content)  # made anew
    kept.write_bytes(b"{}")
    assert lite.digest(lite.checkpoint()) == lite.TENSORS_SHA256


def test_another_checkpoint_is_refused(tmp_path: Path):
    (tmp_path / "other.pth").write_bytes(b"\x80\x02cos\nsystem\n.")
    with pytest.raises(PresetError, match=r"other\.pth is not the checkpoint"):
        lite._read_checkpoint(tmp_path / "other.pth")
