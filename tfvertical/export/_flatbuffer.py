"""What a TFLite file says about itself: its operators and its signatures, read without running it."""

from __future__ import annotations

from dataclasses import dataclass

from tfvertical.errors import ExportError


@dataclass(frozen=True)
class Contents:
    """Args:
    custom: names of operators that are not built in (`FlexErf`), in the file's order.
    signatures: signature key -> (input names, output names).
    """

    custom: tuple[str, ...]
    signatures: dict[str, tuple[tuple[str, ...], tuple[str, ...]]]


def contents(model: bytes) -> Contents:
    """Parse a `.tflite` file.

    Raises:
        ExportError: it is none.
    """
    from tensorflow.lite.python import schema_py_generated as schema

    if model[4:8] != b"TFL3":
        raise ExportError("The converter wrote no TFLite file.", received=repr(model[:8]))
    root = schema.Model.GetRootAs(model, 0)
    codes = [root.OperatorCodes(index) for index in range(root.OperatorCodesLength())]
    custom = tuple(
        (code.CustomCode() or b"custom operator without a name").decode()
        for code in codes
        if code.CustomCode() or code.BuiltinCode() == schema.BuiltinOperator.CUSTOM
    )
    signatures = {}
    for index in range(root.SignatureDefsLength()):
        signature = root.SignatureDefs(index)
        inputs = tuple(signature.Inputs(i).Name().decode() for i in range(signature.InputsLength()))
        outputs = tuple(signature.Outputs(i).Name().decode() for i in range(signature.OutputsLength()))
        signatures[signature.SignatureKey().decode()] = (inputs, outputs)
    return Contents(custom, signatures)


def refuse_custom(model: bytes) -> None:
    """Raise ExportError where a phone without the TensorFlow runtime could not run the file."""
    found = contents(model).custom
    if found:
        raise ExportError(
            f"The TFLite file needs operators that LiteRT does not have: {', '.join(found)}.",
            expected="built-in operators only",
            fix="replace the layers that use them, or export as saved_model",
        )
