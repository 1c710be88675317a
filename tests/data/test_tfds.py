from __future__ import annotations

import importlib.util
import shutil
import sys
import warnings
from pathlib import Path

import pytest

from tfvertical import data
from tfvertical.errors import ConfigError, DataError

# TensorFlow Datasets' own, with the protobuf (6.33) that Apache Beam asks for
pytestmark = pytest.mark.filterwarnings(r"ignore:label\(\) is deprecated:DeprecationWarning")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> Path:
    """A folder in which two real builders have generated their data."""
    folder = tmp_path_factory.mktemp("tfds")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of TensorFlow Datasets and of what it imports
        spec = importlib.util.spec_from_file_location("local_builders", Path(__file__).with_name("builders.py"))
        module = sys.modules["local_builders"] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for builder in (module.LocalReviews, module.LocalPictures):
            builder(data_dir=folder).download_and_prepare()
    return folder


def test_labels_come_out_as_names(data_dir):
    examples = data.load("tfds:local_reviews", data_dir=data_dir)
    assert sorted(zip(examples.inputs, examples.labels, strict=True)) == [
        ("text 0", "sad"),
        ("text 1", "glad"),
        ("text 2", "sad"),
    ]
    assert list(examples.ids) == [f"tfds:local_reviews:train:{at}" for at in range(3)]
    again = data.load("tfds:local_reviews:train", data_dir=data_dir)
    assert list(again.inputs) == list(examples.inputs)


def test_splits_and_columns(data_dir):
    test = data.load("tfds:local_reviews:test", data_dir=data_dir, text="review", label="mood")
    assert sorted(test.inputs) == ["text 3", "text 4"]
    assert len(data.load("tfds:local_reviews:train[:2]", data_dir=data_dir, labels=["sad", "glad"])) == 2


def test_pictures_stay_encoded(data_dir):
    examples = data.load("tfds:local_pictures", kind="image", data_dir=data_dir)
    assert all(item.startswith(b"\x89PNG") for item in examples.inputs)
    assert sorted(examples.labels) == ["0", "0", "1", "1"]


@pytest.mark.parametrize(
    "name, message",
    [
        ("tfds:local_reviews:tset", r"split cannot be read[\s\S]*'test'"),
        ("tfds:local_review", "cannot be found"),
        ("tfds:imdb_review", r"cannot be found[\s\S]*'imdb_reviews'"),
        ("tfds:local_pictures", "say kind='image'"),
    ],
)
def test_names_that_do_not_exist(data_dir, name, message):
    with pytest.raises(DataError, match=message):
        data.load(name, data_dir=data_dir)


def test_no_network_is_said_so(data_dir, monkeypatch):
    import tensorflow_datasets as tfds

    def refuse(*args, **kwargs):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", refuse)
    with pytest.raises(DataError, match=r"cannot be fetched: no route to host[\s\S]*data_dir="):
        data.load("tfds:imdb_reviews", data_dir=data_dir)


def test_a_damaged_file_is_said_so(data_dir, tmp_path):
    shutil.copytree(data_dir, tmp_path / "copy")
    for path in (tmp_path / "copy" / "local_reviews").rglob("*train.tfrecord*"):
        path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(DataError, match=r"tfds:local_reviews:train failed while it was read"):
        data.load("tfds:local_reviews", data_dir=tmp_path / "copy")


def test_malformed_names():
    with pytest.raises(ConfigError, match="names no data set"):
        data.load("tfds:")
