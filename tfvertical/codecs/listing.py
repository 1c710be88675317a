"""What `predict` is given, as a list of items: what would be read as another thing than was meant is refused."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tfvertical.codecs import pixels
from tfvertical.codecs.pairs import Pair
from tfvertical.errors import DataError

_WHAT = {"text": "texts", "image": "pictures", "pair": "pairs of texts"}


def listed(items: Any, kind: str) -> Iterable[Any]:
    """Raw items; a single text, picture or pair counts as a list of one, and `Examples` as what they hold.

    Args:
        items: as `predict` takes them.
        kind: of an item: `text`, `image` or `pair`.

    Raises:
        DataError: a table or a mapping, whose names would be taken for items; or the path of a file, for a text.

    Example:
        >>> listed("The card never arrived.", "text")
        ['The card never arrived.']
    """
    if isinstance(items, Mapping) or hasattr(items, "columns"):
        raise DataError(
            f"Of a {type(items).__name__}, the names would be predicted, and not what it holds.",
            expected=f"a list of {_WHAT[kind]}",
            fix='give a list of what stands in it, such as list(df["text"])',
        )
    if hasattr(items, "inputs") and hasattr(items, "ids"):  # `Examples`; their module is not for the runtime
        inputs: Iterable[Any] = items.inputs
        return inputs
    if kind != "image" and isinstance(items, str | Path) and os.path.isfile(items):
        named = "" if kind == "text" else f", kind={kind!r}"
        raise DataError(
            f"{str(items)!r} is a file, and would itself be read as a text.",
            expected=f"a list of {_WHAT[kind]}",
            fix=f"for what is in it: tv.data.load({str(items)!r}{named}, label=None); for this very text: a list of it",
        )
    if isinstance(items, str | bytes | bytearray | memoryview | Path | Pair):
        return [items]
    found: Iterable[Any] = [items] if kind == "image" and pixels.is_picture(items) else items
    return found
