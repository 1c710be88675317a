"""Whether a row can be used: one function a field, each returning the clean value or raising `Fault`."""

from __future__ import annotations

import datetime
import math
import os
import re
from collections.abc import Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs import pixels
from tfvertical.codecs.marking import Marked
from tfvertical.codecs.pairs import Pair
from tfvertical.errors import DataError

_SAID = {"0": False, "0.0": False, "false": False, "no": False, "1": True, "1.0": True, "true": True, "yes": True}
LARGEST = 1e30  # of a number to learn: sums of many still fit into float32
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?")  # one way to read any digits: linear in their number


class Fault(Exception):
    """Why a row cannot be used, in one short sentence; becomes `contracts.Rejected`.

    Args:
        reason: the sentence.
        at: of a field that stands in several columns, which.
    """

    def __init__(self, reason: str, at: int = 0):
        super().__init__(reason)
        self.at = at


def missing(value: Any) -> bool:
    """None, NaN, pandas' NA and NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    return isinstance(value, float | np.floating) and math.isnan(value)


def _blank(value: Any) -> bool:
    """Missing, or a cell with nothing in it."""
    return missing(value) or (isinstance(value, str) and not value.strip())


def decoded(value: Any, what: str) -> Any:
    """Bytes, as TensorFlow gives texts, as the text they are; anything else as it is."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Fault(f"{what} not utf-8") from error


def text(value: Any, max_bytes: int) -> str:
    """A text with something in it, of at most `max_bytes` of UTF-8."""
    if missing(value):
        raise Fault("the text is missing")
    if isinstance(value, bytes):
        try:
            value = value.decode()
        except UnicodeDecodeError as error:
            raise Fault(f"byte 0x{value[error.start]:02X} at byte {error.start + 1} is not utf-8") from error
    if not isinstance(value, str):
        raise Fault(f"a text is wanted, this is {_kind(value)}")
    try:
        size = len(value.encode())
    except UnicodeEncodeError as error:
        raise Fault("the text holds half a surrogate pair, which is no character") from error
    if size > max_bytes:
        raise Fault(f"the text takes {size:,} bytes, more than {max_bytes:,}")
    if not value.strip():
        raise Fault("the text is empty")
    return value if isinstance(value, Marked) else str(value)  # NumPy's strings become Python's


def pair(value: Any, max_bytes: int) -> Pair:
    """Two texts with something in each."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if missing(value):
        raise Fault("the pair is missing")
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise Fault(f"two texts are wanted, this is {_kind(value)}")
    found = []
    for name, each in zip(("first", "second"), value, strict=True):
        try:
            found.append(text(each, max_bytes))
        except Fault as fault:
            raise Fault(
                str(fault).replace("the text", f"the {name} text").replace("a text", f"a {name} text")
            ) from fault
    return Pair(*found)


def image(value: Any, max_pixels: int) -> Any:
    """A picture that decodes to its end: a `Path`, encoded bytes, or a uint8 array."""
    if missing(value):
        raise Fault("the picture is missing")
    if isinstance(value, str | os.PathLike):
        value = Path(value)
        if os.path.isdir(value):  # unlike Path's, never raises, whatever a cell holds
            raise Fault("the picture's path is empty or names a folder")
        if not os.path.isfile(value):
            raise Fault("not a regular file" if os.path.exists(value) else "no such file can be read")
        if (size := os.path.getsize(value)) > 4 * max_pixels:  # never read into memory
            raise Fault(f"the file takes {size:,} bytes, more than {4 * max_pixels:,}")
    elif not isinstance(value, bytes | np.ndarray):
        raise Fault(f"a picture (path, bytes or uint8 array) is wanted, this is {_kind(value)}")
    if isinstance(value, np.ndarray) and value.dtype.kind == "f":
        raise Fault(f"a picture is uint8, 0 to 255, this is {value.dtype}: give {pixels.OF_FLOATS}")
    try:
        pixels.decode(value, max_pixels=max_pixels)
    except DataError as error:
        raise Fault(_reason(error, value)) from error
    return value


def _reason(error: DataError, value: Any) -> str:
    """The codec's message as one line, without the file's name and the advice, which stand elsewhere."""
    message = " ".join(str(error).split("Fix:")[0].split())
    if isinstance(value, Path):
        message = message.removeprefix(str(value)).lstrip(": ")
    return message.rstrip(". ") or "the picture cannot be decoded"


def label(value: Any) -> tuple[str, str]:
    """A label's name and its family: `number`, `truth value` or `text`."""
    value = decoded(value, "the label is")
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    if missing(value) or (isinstance(value, str) and not value.strip()):
        raise Fault("the label is missing")
    if isinstance(value, bool | np.bool_):
        return str(bool(value)), "truth value"
    if isinstance(value, int | np.integer):
        return str(int(value)), "number"
    if isinstance(value, float | np.floating):
        if not math.isfinite(value):
            raise Fault(f"the label is {value}")
        return (str(int(value)) if float(value).is_integer() else repr(float(value))), "number"
    if isinstance(value, str):
        name = str(value).strip()
        if any("\ud800" <= character <= "\udfff" for character in name[:1000]):
            raise Fault("the label is not utf-8")
        if len(name) > 1000:
            raise Fault(f"the label has {len(name):,} characters; is this the label's column?")
        return name, "number" if _NUMBER.fullmatch(name) else "text"
    raise Fault(f"a label is wanted, this is {_kind(value)}")


def labels(value: Any, separator: str, names: Sequence[str] | None = None) -> tuple[str, ...]:
    """The names in a set of labels, sorted; there may be none.

    Args:
        value: a list of names, a text in which `separator` stands between them, or, with `names`, a 0 or 1 for each.
        separator: between names.
        names: of the columns, where there is one a label.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    value = decoded(value, "the labels are")
    if missing(value):
        raise Fault("the labels are missing; write an empty text or list where none applies")
    if isinstance(value, str):
        value = [part for part in value.split(separator) if part.strip()]
    if not isinstance(value, list | tuple | set | frozenset):
        raise Fault(f"a list of labels is wanted, this is {_kind(value)}")
    if names is not None and len(value) != len(names):
        raise Fault(f"{len(value)} of 0 or 1 where {len(names)} labels are")
    if names is not None:
        return tuple(sorted(name for each, name in zip(value, names, strict=True) if _applies(each, name)))
    found = [label(each)[0] for each in value]
    if len(set(found)) < len(found):
        raise Fault(f"a label stands there twice: {', '.join(sorted(found))[:100]}")
    return tuple(sorted(found))


def _applies(value: Any, name: str) -> bool:
    """Whether a cell says yes."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if missing(value) or (isinstance(value, str) and not value.strip()):
        raise Fault(f"whether {name!r} applies is missing")
    said = str(value).strip().lower()
    if said not in _SAID:
        raise Fault(f"{name!r} is {_shown(value)}, neither 0 nor 1")
    return _SAID[said]


def numbers(value: Any, names: Sequence[str] | None = None) -> tuple[float, ...]:
    """One finite number or several.

    Args:
        value: a number, written as one too, or a list of them.
        names: what they are called, as many as there must be; None where that is not known.
    """
    if isinstance(value, np.ndarray):
        value = value.tolist()
    every = list(value) if isinstance(value, list | tuple) else [value]
    if not every or (names is not None and len(every) != len(names)):
        raise Fault(f"{len(every)} numbers where {len(names or ('',))} are wanted")
    called = [f"the number {name!r}" for name in names] if names else ["the number"] * len(every)
    return tuple(_number(each, name) for each, name in zip(every, called, strict=True))


def _number(value: Any, name: str) -> float:
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if missing(value) or (isinstance(value, str) and not value.strip()):
        raise Fault(f"{name} is missing")
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | int | float | np.number | Decimal):
        raise Fault(f"{name} is {_kind(value)}")
    if isinstance(value, str) and not _NUMBER.fullmatch(value.strip()):
        comma = _NUMBER.fullmatch(value.strip().replace(",", ".", 1))
        raise Fault(f"{name} is {_shown(value)}, no number{'; write a point for the comma' if comma else ''}")
    found = _float(value)
    if not abs(found) <= LARGEST:
        raise Fault(f"{name} is {found}, not a finite number of at most {LARGEST:g}")
    return found


def _float(value: Any) -> float:
    try:
        return float(value)
    except OverflowError:  # a whole number of hundreds of digits, which has no limit in JSON
        return math.inf


def weight(value: Any) -> float | None:
    """A finite number of 0 or more that fits into float32, or None, which counts as 1."""
    if isinstance(value, np.ndarray) and value.size == 1:
        value = value.item()
    if _blank(value):
        return None
    try:
        number = _float(value)
    except (TypeError, ValueError) as error:
        raise Fault(f"the weight {_shown(value)} is not a number") from error
    if not 0 <= number <= LARGEST:
        raise Fault(f"the weight is {number}, not a finite number of 0 or more, at most {LARGEST:g}")
    return number


def group(value: Any) -> str | None:
    """A name, as a label's: `7`, `7.0` and `"7 "` are one group; or None, which stands alone."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if _blank(value):
        return None
    if isinstance(value, float | np.floating) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def time(value: Any) -> tuple[float, str]:
    """A date as seconds since 1970 (UTC where it names no zone) or a number as it is; and `date` or `number`."""
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    if _blank(value) or (isinstance(value, np.datetime64) and np.isnat(value)):
        raise Fault("the time is missing")
    if isinstance(value, np.datetime64):
        return float(value.astype("datetime64[us]").astype(np.int64)) / 1e6, "date"
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime(value.year, value.month, value.day)
    if not isinstance(value, datetime.datetime):
        written = str(value).strip()
        if _NUMBER.fullmatch(written) and math.isfinite(float(written)):
            return float(written), "number"
        try:
            value = datetime.datetime.fromisoformat(written)
        except ValueError as error:
            raise Fault(f"the time {_shown(value)} is neither a number nor a date like 2024-05-31") from error
    return (value if value.tzinfo else value.replace(tzinfo=datetime.UTC)).timestamp(), "date"


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "…"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype} {value.shape}"
    return f"of type {type(value).__name__}: {_shown(value)}"
