"""Run a SavedModel by TensorFlow's C library alone: what TensorFlow Serving loads it with, and no Python of TensorFlow.

Standard input is a JSON object: `library`, what to load `ops` from, the SavedModel's `folder`, names of tensors by
argument (`inputs`, `outputs`), and `items`, base64 of bytes each. Standard output is the outputs as JSON.
"""

from __future__ import annotations

import base64
import ctypes
import json
import sys
from typing import Any

FLOAT, STRING = 1, 7


class Output(ctypes.Structure):
    """`TF_Output`: an operation and which of its outputs."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


def main() -> None:
    """One call of the serving signature."""
    asked = json.load(sys.stdin)
    tf = ctypes.CDLL(asked["library"], mode=ctypes.RTLD_GLOBAL)
    for name in ("NewStatus", "NewSessionOptions", "NewGraph", "LoadLibrary", "LoadSessionFromSavedModel"):
        getattr(tf, f"TF_{name}").restype = ctypes.c_void_p
    for name in ("AllocateTensor", "TensorData", "GraphOperationByName", "StringGetDataPointer"):
        getattr(tf, f"TF_{name}").restype = ctypes.c_void_p
    for name in ("Message", "Dim", "TensorElementCount", "StringGetSize"):
        getattr(tf, f"TF_{name}").restype = ctypes.c_char_p if name == "Message" else ctypes.c_int64
    status = ctypes.c_void_p(tf.TF_NewStatus())

    def check() -> None:
        if tf.TF_GetCode(status):
            sys.exit(tf.TF_Message(status).decode())

    for ops in asked["ops"]:
        tf.TF_LoadLibrary(ops.encode(), status)
        check()
    graph = ctypes.c_void_p(tf.TF_NewGraph())
    tags = (ctypes.c_char_p * 1)(b"serve")
    options = ctypes.c_void_p(tf.TF_NewSessionOptions())
    folder = asked["folder"].encode()
    session = tf.TF_LoadSessionFromSavedModel(options, None, folder, tags, 1, graph, None, status)
    check()

    def places(names: list[str]) -> Any:
        parts = [name.split(":") for name in names]
        return (Output * len(names))(
            *(Output(tf.TF_GraphOperationByName(graph, op.encode()), int(at)) for op, at in parts)
        )

    items = [base64.b64decode(item) for item in asked["items"]]
    given = ctypes.c_void_p(tf.TF_AllocateTensor(STRING, (ctypes.c_int64 * 1)(len(items)), 1, 24 * len(items)))
    for at, item in enumerate(items):
        place = ctypes.c_void_p(tf.TF_TensorData(given) + 24 * at)
        tf.TF_StringInit(place)
        tf.TF_StringCopy(place, item, ctypes.c_size_t(len(item)))
    names = list(asked["outputs"])
    found = (ctypes.c_void_p * len(names))()
    places_in, places_out = places(list(asked["inputs"].values())), places(list(asked["outputs"].values()))
    tf.TF_SessionRun(
        ctypes.c_void_p(session), None, places_in, (ctypes.c_void_p * 1)(given), 1,
        places_out, found, len(names), None, 0, None, status,
    )  # fmt: skip
    check()
    json.dump({name: read(tf, ctypes.c_void_p(tensor)) for name, tensor in zip(names, found, strict=True)}, sys.stdout)


def read(tf: Any, tensor: Any) -> dict[str, Any]:
    """A tensor's numbers or texts, one after the other, and its shape."""
    shape = [tf.TF_Dim(tensor, axis) for axis in range(tf.TF_NumDims(tensor))]
    count, data = tf.TF_TensorElementCount(tensor), tf.TF_TensorData(tensor)
    if tf.TF_TensorType(tensor) == FLOAT:
        return {"shape": shape, "values": list((ctypes.c_float * count).from_address(data))}
    places = [ctypes.c_void_p(data + 24 * at) for at in range(count)]
    texts = [ctypes.string_at(tf.TF_StringGetDataPointer(each), tf.TF_StringGetSize(each)) for each in places]
    return {"shape": shape, "values": [text.decode() for text in texts]}


if __name__ == "__main__":
    main()
