"""Files in dynamic range of which some layers keep their weights in float."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tfvertical.errors import ExportError
from tfvertical.export import _convert, _selective
from tfvertical.export._dynamic import Dynamic
from tfvertical.runtime.contents import contents
from tfvertical.runtime.litert import LiteRT

pytest.importorskip("ai_edge_litert", reason="ai-edge-litert is not installed")

WIDTH, LENGTHS = 64, (8, 4)


@pytest.fixture(scope="module")
def files() -> tuple[bytes, bytes]:
    """Six dense layers for two lengths, in dynamic range and in float; a weight of the second is far from others."""
    import tensorflow as tf

    draw = np.random.default_rng(0)
    kernels = [draw.normal(0, WIDTH**-0.5, (WIDTH, WIDTH)).astype(np.float32) for _ in range(6)]
    kernels[1][0, :] = 40.0  # of the int8 of each output's weights one takes all the room
    variables = [tf.Variable(kernel) for kernel in kernels]

    def answer(x: Any) -> dict[str, Any]:
        x = tf.concat([tf.zeros_like(x[..., :1]), x[..., 1:]], -1)
        for at, kernel in enumerate(variables):
            x = tf.tensordot(x, kernel, 1) + 0.1
            if at == 0:
                x = tf.concat([tf.zeros_like(x[..., :1]), tf.nn.relu(x[..., 1:])], -1)
        return {"scores": x}

    keys = (_convert.SIGNATURE, f"tokens_{LENGTHS[1]}")
    signatures = {
        key: tf.function(answer, autograph=False).get_concrete_function(
            x=tf.TensorSpec((1, length, WIDTH), tf.float32, name="x")
        )
        for key, length in zip(keys, LENGTHS, strict=True)
    }
    for function in signatures.values():
        assert {id(each) for each in function.variables} == {id(each) for each in variables}
    made = []
    for precision in ("dynamic", "float32"):
        with _convert.converter(signatures, precision) as converter, _selective.quiet_interpreter():
            made.append(bytes(converter.convert()))
    return made[0], made[1]


def error(model: bytes, floats: bytes) -> float:
    """The largest difference of an output from the float file's, over both lengths."""
    run, true, draw = LiteRT(model), LiteRT(floats), np.random.default_rng(1)
    given = [{"x": draw.normal(size=(1, length, WIDTH)).astype(np.float32)} for length in LENGTHS]
    return max(float(np.abs(run(each)["scores"] - true(each)["scores"]).max()) for each in given)


def test_layers_come_back_in_every_signature(files):
    whole, floats = files
    made = Dynamic(whole, lambda: floats)
    names = [name for group in made.groups() for name in group]
    assert len(names) == 6 and made.model() is whole
    assert error(made.model(names), floats) < 1e-5 < error(whole, floats)
    one = contents(made.model(names[1:2])).sizes
    assert one["float32 constants"] - contents(whole).sizes["float32 constants"] == 4 * WIDTH**2
    assert contents(whole).sizes["int8 constants"] - one["int8 constants"] == WIDTH**2


def test_the_layer_that_loses_is_the_one_that_stays_in_float(files):
    whole, floats = files
    made = Dynamic(whole, lambda: floats)
    names = [name for group in made.groups() for name in group]
    limit = error(whole, floats) / 4
    model, told = _selective.smallest(made, lambda model: limit - error(model, floats))
    assert told["float_operators"] == names[1:2] and error(model, floats) < limit
    assert not made.too_large(model) and made.too_large(made.model(names))


def test_a_file_that_holds_is_left_alone_and_the_float_one_never_made(files):
    whole, _ = files

    def never() -> bytes:
        raise AssertionError("made for nothing")

    assert _selective.smallest(Dynamic(whole, never), lambda model: 0.0) == (whole, {"float_operators": []})


def test_where_only_float_holds_it_is_refused(files):
    whole, floats = files
    with pytest.raises(ExportError, match=r"float16 is smaller(.|\n)*export in float16"):
        _selective.smallest(Dynamic(whole, lambda: floats), lambda model: 0.0 if len(model) >= len(floats) else -1.0)
