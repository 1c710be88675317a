"""When two items are the same: exactly, or but for what no model should tell apart."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from tfvertical.codecs.marking import Marked
from tfvertical.codecs.pairs import Pair


def exact(item: Any) -> str | bytes:
    """Equal for equal items: the text itself, words with spaces between; of a picture, a hash of its file or pixels."""
    if isinstance(item, Pair):
        return "\x1f".join(item)
    if isinstance(item, str | tuple | list):
        return item if isinstance(item, str) else " ".join(item)
    digest = hashlib.blake2b(digest_size=16)
    if isinstance(item, Path):
        with open(item, "rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).digest()
    if isinstance(item, np.ndarray):
        digest.update(f"{item.dtype}{item.shape}".encode())
    digest.update(item.tobytes() if isinstance(item, np.ndarray) else item)
    return digest.digest()


def source(item: Any) -> str | bytes:
    """`normalized`, without the marks that were made in a text: what may not stand on both sides of a split."""
    return normalized(item.plain if isinstance(item, Marked) else item)


def normalized(item: Any) -> str | bytes:
    """`exact`, but texts without regard to case and white space.

    Example:
        >>> normalized(" Where IS\\tmy card") == normalized("where is my card")
        True
    """
    found = exact(item)
    if isinstance(found, bytes):
        return found
    return "\x1f".join(" ".join(part.split()) for part in found.casefold().split("\x1f"))
