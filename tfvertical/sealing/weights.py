"""A model's weights as one safetensors file, by address: no pickle, no Keras names, nothing that runs when read."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from tfvertical.errors import BundleError, nearest


def arrays(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Address -> values, in C order, moving averages and counters included.

    Args:
        variables: address -> Keras variable, from `stages.addresses`.
    """
    return {address: np.ascontiguousarray(variable.numpy()) for address, variable in variables.items()}


def to_bytes(values: Mapping[str, np.ndarray]) -> bytes:
    """A safetensors file; the same values give the same bytes.

    Example:
        >>> content = to_bytes({"head/kernel": np.zeros((2, 3), np.float32)})
        >>> from_bytes(content, "weights.safetensors")["head/kernel"].shape
        (2, 3)
    """
    from safetensors.numpy import save

    return bytes(save({address: values[address] for address in sorted(values)}))


def from_bytes(content: bytes, where: str) -> dict[str, np.ndarray]:
    """Address -> values.

    Raises:
        BundleError: it is no safetensors file.
    """
    from safetensors import SafetensorError, deserialize

    try:
        return {
            address: np.frombuffer(tensor["data"], _dtype(tensor["dtype"])).reshape(tensor["shape"])
            for address, tensor in deserialize(content)
        }
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        raise BundleError(f"{where} is no readable safetensors file.", received=str(error)) from error


def assign(variables: Mapping[str, Any], values: Mapping[str, np.ndarray], where: str) -> None:
    """Give every variable its values; checks all of them before it changes one.

    Args:
        variables: address -> Keras variable, every one of the model.
        values: address -> values, of the very shapes and dtypes, for exactly these addresses.
        where: what the message calls the file.

    Raises:
        BundleError: an address too many or too few, another shape or dtype.
    """
    for address in values.keys() - variables.keys():
        raise BundleError(
            f"{where} has {address!r}, which the model has not.", nearest=nearest(address, variables.keys())
        )
    for address, variable in variables.items():
        if address not in values:
            raise BundleError(f"{where} lacks {address!r}.", nearest=nearest(address, values.keys()))
        expected = (tuple(variable.shape), np.dtype(variable.value.dtype.as_numpy_dtype))
        received = (values[address].shape, values[address].dtype)
        if expected != received:
            raise BundleError(
                f"{where}: {address!r} does not fit the model.", expected=_spell(*expected), received=_spell(*received)
            )
    for address, variable in variables.items():
        variable.assign(values[address])


def _dtype(name: str) -> np.dtype:
    """safetensors' name of a dtype as NumPy's; its own reader for NumPy stops at bfloat16, which its writer writes."""
    import ml_dtypes

    if name == "BF16":
        return np.dtype(ml_dtypes.bfloat16)
    kinds = {"F": "f", "I": "i", "U": "u"}
    return np.dtype(bool) if name == "BOOL" else np.dtype(f"{kinds[name[0]]}{int(name[1:]) // 8}")


def digest(values: np.ndarray) -> str:
    """SHA-256 over dtype, shape and bytes of one array."""
    content = hashlib.sha256(_spell(values.shape, values.dtype).encode())
    content.update(np.ascontiguousarray(values).tobytes())
    return content.hexdigest()


def _spell(shape: tuple[int, ...], dtype: Any) -> str:
    return f"{np.dtype(dtype).name} {tuple(int(size) for size in shape)}"
