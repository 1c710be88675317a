"""Only known layers come in, and no more weights than the file holds."""

from __future__ import annotations

import json

import keras
import numpy as np
import pytest

from tfvertical.errors import BundleError
from tfvertical.sealing import architecture, weights


def dense(units: int = 3) -> keras.Model:
    inputs = keras.Input((4,))
    return keras.Model(inputs, keras.layers.Dense(units, activation="relu")(inputs))


def test_round_trip_keeps_structure():
    model = dense()
    copy = architecture.from_json(architecture.to_json(model), "a.json", room=10_000)
    copy.set_weights(model.get_weights())
    x = np.ones((2, 4), np.float32)
    np.testing.assert_array_equal(copy(x), model(x))


def test_lambda_is_refused_when_saving():
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    with pytest.raises(BundleError, match="Lambda, which is not allowed"):
        architecture.to_json(model)


def test_a_class_of_another_package_is_refused_when_saving():
    @keras.saving.register_keras_serializable("elsewhere")
    class Twice(keras.layers.Layer):
        def call(self, x):
            return x * 2

    inputs = keras.Input((4,))
    with pytest.raises(BundleError, match="Twice, which is not allowed"):
        architecture.to_json(keras.Model(inputs, Twice()(inputs)))


FOREIGN = {
    "os.system": {"module": "os", "class_name": "function", "config": "system", "registered_name": "function"},
    "look-alike package": {"module": "keras_evil.layers", "class_name": "Dense", "config": {}},
    "registered elsewhere": {"module": "keras.layers", "class_name": "X", "registered_name": "Custom>X", "config": {}},
    "function of elsewhere": {"module": "builtins", "class_name": "function", "config": "Custom>run"},
    "no module": {"class_name": "Dense", "config": {}},
    "marshalled lambda": {"class_name": "__lambda__", "config": {"value": "4wEAAAA="}},
    "type spec": {"class_name": "__typespec__", "module": "keras", "config": [], "spec_name": "x"},
    "lambda by its inner path": {"module": "keras.src.layers.core.lambda_layer", "class_name": "Lambda", "config": {}},
    "lambda by its registered name": {"module": "keras", "class_name": "D", "registered_name": "Lambda", "config": {}},
    "saved model from a path": {"module": "keras.layers", "class_name": "TFSMLayer", "config": {"filepath": "/x"}},
    "pickle": {"module": "keras.layers", "class_name": "TorchModuleWrapper", "config": {}},
    "tokenizer that reads a path": {
        "module": "keras_hub.src.models.bert.bert_tokenizer",
        "class_name": "BertTokenizer",
        "config": {"vocabulary": "/etc/passwd"},
    },
    "tokenizer by its public path": {
        "module": "keras_hub.models",
        "class_name": "BertTokenizer",
        "registered_name": "keras_hub>BertTokenizer",
        "config": {"vocabulary": "/etc/passwd"},
    },
    "lambda by a name with a dot": {"module": "keras", "class_name": "layers.Lambda", "config": {}},
    "saved model by a name with a dot": {
        "module": "keras",
        "class_name": "layers.TFSMLayer",
        "config": {"filepath": "/x"},
    },
    "function by a name with a dot": {"module": "keras", "class_name": "function", "config": "utils.get_file"},
    "a name that is none": {"module": "keras.layers", "class_name": ["Lambda"], "config": {}},
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_objects_are_refused_wherever_they_hide(name: str):
    config = json.loads(architecture.to_json(dense()))
    config["config"]["layers"][1]["config"]["kernel_initializer"] = FOREIGN[name]
    with pytest.raises(BundleError, match="not allowed in a bundle"):
        architecture.from_json(json.dumps(config).encode(), "a.json", room=10_000)


def test_a_huge_layer_is_refused_before_it_is_allocated():
    config = json.loads(architecture.to_json(dense()))
    config["config"]["layers"][1]["config"]["units"] = 10**10  # 160 GB
    with pytest.raises(BundleError, match="more weights than the bundle holds"):
        architecture.from_json(json.dumps(config).encode(), "a.json", room=10_000)


def test_nonsense_is_an_error_of_ours():
    for content in (b"{}", b"[1]", b'{"a": 1, "a": 2}', b"\xff", b'{"class_name": 3, "config": {}}'):
        with pytest.raises(BundleError):
            architecture.from_json(content, "a.json", room=1)


def test_weights_must_fit_exactly():
    from tfvertical import stages

    variables = stages.addresses({"model": dense()})
    values = weights.arrays(variables)
    kernel = "model/dense_0/kernel"
    before = variables[kernel].numpy()
    for change, message in (
        ({kernel: np.zeros((3, 4), np.float32)}, "does not fit"),
        ({kernel: np.zeros((4, 3), np.float64)}, "does not fit"),
        ({"model/dense_0/kernal": np.zeros(1)}, "which the model has not"),
    ):
        with pytest.raises(BundleError, match=message):
            weights.assign(variables, values | change, "w")
    values.pop(kernel)
    with pytest.raises(BundleError, match="lacks 'model/dense_0/kernel'"):
        weights.assign(variables, values, "w")
    np.testing.assert_array_equal(variables[kernel].numpy(), before)
    with pytest.raises(BundleError, match="no readable safetensors"):
        weights.from_bytes(b"\xff" * 100, "w")


def test_bfloat16_survives():
    import ml_dtypes

    values = {"a": np.arange(4).astype(ml_dtypes.bfloat16)}
    found = weights.from_bytes(weights.to_bytes(values), "w")["a"]
    assert found.dtype == values["a"].dtype and (found == values["a"]).all()
