"""What an export's folder says, held against the model beside it: whoever changes a file can seal the folder anew."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvertical.codecs import pixels, wordpiece
from tfvertical.errors import BundleError, ConfigError, TfverticalError
from tfvertical.files import unique
from tfvertical.runtime.litert import LiteRT

NAME = "preprocessing.json"
_VERSION = 1
_MOST_BYTES = 64 * 2**20  # of the file; the steps between 1,000 tags take some 20 MB
_MOST_TOKENS = 2**16
_MOST_SIDE = 8192  # pixels, as in training
_FIX = "export again, or copy the folder again from where it was made"


def described(folder: Path) -> dict[str, Any]:
    """What `preprocessing.json` says.

    Raises:
        BundleError: it is damaged or too large, or another version of this package wrote it, by other rules.
    """
    path = folder / NAME
    if (size := path.stat().st_size) > _MOST_BYTES:
        raise BundleError(f"{path} is too big.", expected=f"at most {_MOST_BYTES:,} bytes", received=f"{size:,}")
    try:
        found = json.loads(path.read_bytes(), object_pairs_hook=unique)
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{path} is no readable JSON.", received=f"{type(error).__name__}: {error}"[:200]) from error
    if not isinstance(found, dict):
        raise BundleError(f"{path} is no description.", expected="a JSON object", received=type(found).__name__)
    if found.get("schema_version") != _VERSION:
        raise BundleError(
            f"{path} is of another version.",
            expected=f"schema_version {_VERSION}",
            received=f"schema_version {found.get('schema_version')}",
            fix="export again with this version of tfvertical, or read it with the one that wrote it",
        )
    for name, known in (("wordpiece", wordpiece.RULES), ("pixels", pixels.RULES)):  # older files have neither
        told = found.get(name, {"version": known})
        if not isinstance(told, dict) or type(told.get("version")) is not int or told["version"] > known:
            raise BundleError(
                f"{path}: {name} has other rules than this version of tfvertical.",
                expected=f"version {known} or older",
                received=f"{told!r:.80}",
                fix="read it with the version that wrote it",
            )
    return found


@contextlib.contextmanager
def understood(folder: Path) -> Iterator[None]:
    """What the block reads of the folder's description, and finds missing or of a wrong type, is a BundleError."""
    try:
        yield
    except ConfigError as error:  # a codec's, of names, thresholds and the like
        raise BundleError(f"{folder} cannot be read: {error}", fix=_FIX) from error
    except TfverticalError:
        raise
    except KeyError as error:
        raise BundleError(f"{folder / NAME}: {error} is missing.", fix=_FIX) from error
    except (AttributeError, IndexError, OverflowError, TypeError, ValueError) as error:
        received = f"{type(error).__name__}: {error}"[:200]
        raise BundleError(f"{folder}: what its files say cannot be used.", received=received, fix=_FIX) from error


def lengths(description: Mapping[str, Any]) -> list[int]:
    """Tokens that the file takes, in ascending order; none for pictures.

    Raises:
        BundleError: they are no such numbers.
    """
    length = description["length"]
    found = description.get("lengths") or ([] if length is None else [length])
    fits = isinstance(found, list) and all(type(each) is int and 3 <= each <= _MOST_TOKENS for each in found)
    if not fits or found != sorted(set(found)):
        raise BundleError(
            f"{NAME}: its lengths cannot be used.",
            expected=f"numbers of tokens, 3 to {_MOST_TOKENS:,}, ascending",
            received=f"{found!r:.80}",
        )
    return found


def size(config: Mapping[str, Any]) -> tuple[int, int]:
    """Height and width of a model's pictures; BundleError where they are no such numbers."""
    found = config["size"]
    if (
        not isinstance(found, list)
        or len(found) != 2
        or not all(type(n) is int and 1 <= n <= _MOST_SIDE for n in found)
    ):
        raise BundleError(
            f"{NAME}: its size of pictures cannot be used.",
            expected=f"[height, width], each from 1 to {_MOST_SIDE} pixels",
            received=f"{found!r:.80}",
        )
    return found[0], found[1]


def inputs(folder: Path, description: Mapping[str, Any], run: LiteRT) -> None:
    """Raise BundleError unless the model takes what the description says that examples become."""
    config = description["config"]
    made: list[dict[str, tuple[int, ...]]]
    if description["length"] is None:
        made = [{config["input_name"]: (1, *size(config), 3)}]
    else:
        apart = description.get("items") == "pair" and description.get("encoder") == "bi"
        sides = ("first_", "second_") if apart else ("",)
        names = [side + name for side in sides for name in config["inputs"]]
        made = [{name: (1, length) for name in names} for length in lengths(description)]
    for shapes in made:
        if not run.takes(shapes):
            raise BundleError(
                f"{folder}: {NAME} and model.tflite do not belong together.",
                expected=", ".join(f"{name} {shape}" for name, (shape, _) in sorted(run.inputs.items())),
                received=", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())),
                fix=_FIX,
            )


def vocabulary(folder: Path, pieces: Sequence[str], run: LiteRT) -> None:
    """Raise BundleError if no table of the model has a row for each of the pieces."""
    if len(pieces) > run.rows:
        raise BundleError(
            f"{folder}: vocab.txt and model.tflite do not belong together.",
            expected=f"at most {run.rows:,} pieces, the rows of the file's largest table",
            received=f"{len(pieces):,} pieces",
            fix=_FIX,
        )


def outputs(folder: Path, run: LiteRT, names: Sequence[str]) -> None:
    """Raise BundleError unless the model's scores are of so many outputs."""
    if "scores" not in run.outputs:
        raise BundleError(
            f"{folder} is no LiteRT export of scores: it gives {', '.join(run.outputs)}.",
            fix="read an export of embeddings with tfvertical.runtime.Embedder",
        )
    count = (run.output_shapes["scores"] or (0,))[-1]
    if count not in (-1, len(names)):
        raise BundleError(
            f"{folder}: its labels and model.tflite do not belong together.",
            expected=f"{count:,}, one for each score of the model",
            received=f"{len(names):,}: {', '.join(names[:5])}{', …' * (len(names) > 5)}",
            fix=_FIX,
        )
