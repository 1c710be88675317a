"""The columns of the tasks have digests: equal where a model would see equal inputs, different elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tfvertical as tv
from tests.core import tiny
from tfvertical.errors import DataError


def test_texts():
    task = tiny.TextClassifier(tiny.text_backbone(), tiny.LABELS)

    def digests(*texts):
        return {name: column.digest() for name, column in task.encode(tiny.labelled(list(texts), None)).columns.items()}

    one = digests("the card never came", "good")
    assert one == digests("the card never came", "good")
    assert len(set(one.values())) == len(one)
    for other in (digests("good", "the card never came"), digests("the card never came"), digests("good", "good")):
        assert not set(one.values()) & set(other.values())


def test_pictures(tmp_path: Path):
    task = tiny.image_task()
    arrays = [np.full((9, 8, 3), value, np.uint8) for value in (10, 200)]
    encoded = []
    for number, array in enumerate(arrays):
        Image.fromarray(array).save(tmp_path / f"{number}.png")
        encoded.append((tmp_path / f"{number}.png").read_bytes())

    def digest(items, augment=None, epoch=0, task=task):
        examples = tv.Examples(items, None, [str(row) for row in range(len(items))])
        found = task.encode(examples)
        if augment is not None:
            found = task._augmented(examples, augment, 0)(found, epoch)
        (column,) = found.columns.values()
        return column.digest()

    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    assert digest(paths) == digest(encoded) == digest([str(path) for path in paths])
    assert digest(arrays) == digest([array.copy() for array in arrays])
    views = [(None, 0), (tv.Augment(), 0), (tv.Augment(), 1), (tv.Augment(flip=False), 0)]
    found = [digest(items, *view) for items in (arrays, arrays[::-1], paths, paths[:1]) for view in views]
    assert len(set(found)) == len(found)
    Image.open(io.BytesIO(encoded[1])).save(paths[0])  # another picture under the same name
    assert digest(paths) != digest(encoded)
    paths[0].unlink()
    with pytest.raises(DataError, match="cannot be read"):
        digest(paths)
