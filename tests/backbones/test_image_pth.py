"""Reading PyTorch's old checkpoints: tensors and nothing else, whatever the file says."""

from __future__ import annotations

import random
import struct

import numpy as np
import pytest

from tfvertical.backbones._pth import read_pth
from tfvertical.errors import PresetError

MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
PROTOCOL = b"\x80\x02M\xe9\x03."
SYSTEM = b"\x80\x02}(X\x0d\x00\x00\x00little_endian\x88u."


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def numbers(values) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key, size, stride, count, offset=0, kind="torch\nFloatStorage", call="torch._utils\n_rebuild_tensor_v2"):
    storage = b"(" + text("storage") + b"c" + kind.encode() + b"\n" + text(key) + text("cpu") + number(count) + b"Nt"
    hooks = b"ccollections\nOrderedDict\n)R"
    return (
        b"c" + call.encode() + b"\n(" + storage + b"Q" + number(offset) + numbers(size) + numbers(stride)
        + b"\x89" + hooks + b"tR"
    )  # fmt: skip


def file(tensors: dict[str, bytes], data: dict[str, np.ndarray], table: bytes | None = None) -> bytes:
    items = b"".join(text(name) + value for name, value in tensors.items())
    table = table or b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."
    keys = b"\x80\x02](" + b"".join(text(key) for key in data) + b"e."
    raw = b"".join(struct.pack("<q", array.size) + array.tobytes() for array in data.values())
    return MAGIC + PROTOCOL + SYSTEM + table + keys + raw


DATA = np.arange(12, dtype=np.float32)
GOOD = file({"a.weight": tensor("7", (3, 4), (4, 1), 12), "b": tensor("7", (4, 2), (1, 4), 12, 4)}, {"7": DATA})


def test_tensors_with_offsets_and_strides():
    found = read_pth(GOOD)
    assert list(found) == ["a.weight", "b"]
    assert np.array_equal(found["a.weight"], DATA.reshape(3, 4))
    assert np.array_equal(found["b"], DATA[4:].reshape(2, 4).T)


def test_a_scalar_and_an_empty_tensor():
    found = read_pth(file({"n": tensor("1", (), (), 1, kind="torch\nLongStorage")}, {"1": np.array([5], np.int64)}))
    assert found["n"].shape == () and found["n"] == 5
    assert read_pth(file({"e": tensor("1", (0,), (1,), 0)}, {"1": DATA[:0]}))["e"].shape == (0,)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (file({}, {}, b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R."), "os system"),
        (file({}, {}, b"\x80\x02cbuiltins\neval\n" + text("1") + b"\x85R."), "builtins eval"),
        (file({"a": tensor("1", (1,), (1,), 1, call="torch\nFloatStorage")}, {"1": DATA[:1]}), "may not be called"),
        (file({"a": tensor("1", (1,), (1,), 1, kind="os\nsystem")}, {"1": DATA[:1]}), "os system"),
        (file({}, {}, b"\x80\x02\x8c\x02os\x8c\x06system\x93."), "STACK_GLOBAL"),
        (file({}, {}, b"\x80\x02(ios\nsystem\n."), "INST"),
        (file({"a": tensor("1", (1 << 30, 4), (0, 0), 1)}, {"1": DATA[:1]}), "in a storage of 1"),
        (file({"a": tensor("1", (3,), (1,), 2)}, {"1": DATA[:2]}), "in a storage of 2"),
        (file({"a": tensor("1", (2,), (1,), 2, offset=1)}, {"1": DATA[:2]}), "in a storage of 2"),
        (file({"a": tensor("1", (2,), (-1,), 2, offset=1)}, {"1": DATA[:2]}), "whole numbers"),
        (file({"a": tensor("1", (1,), (1,), 9)}, {"1": DATA[:1]}), "announced"),
        (file({}, {"1": DATA[:1]}), "does not fit"),
        (file({}, {}, b"\x80\x02" + text("hello") + b"."), "something other"),
        (GOOD + b"\0", "after the last"),
        (b"PK\x03\x04" + bytes(100), "Received"),
        (b"", "Received"),
    ],
)
def test_everything_else_is_refused(content, word):
    with pytest.raises(PresetError, match=word):
        read_pth(content)


def test_a_nest_of_tuples_does_not_hang_it():
    nest = b")" + b"".join(b"q" + bytes([i]) + b"h" + bytes([i]) + b"\x86" for i in range(60))
    with pytest.raises(PresetError):
        read_pth(file({}, {}, b"\x80\x02}" + nest + b"Ns."))
    with pytest.raises(PresetError):
        read_pth(file({}, {}, b"\x80\x02" + nest + b"Q."))


def test_every_cut_is_noticed():
    for end in range(len(GOOD)):
        with pytest.raises(PresetError):
            read_pth(GOOD[:end])


def test_damage_gives_tensors_or_our_error():
    chance = random.Random(0)
    for _ in range(5000):
        content = bytearray(GOOD)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        try:
            found = read_pth(bytes(content))
        except PresetError:
            continue
        assert all(isinstance(array, np.ndarray) and array.size <= 12 for array in found.values())
