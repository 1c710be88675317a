"""`entry.json`: what an entry is made of, in the one spelling it may have, and read as if a stranger had written it."""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from tfvertical.errors import BundleError, StoreError
from tfvertical.files import parse_json
from tfvertical.storing.layout import Layout, Spec

NAME = "entry.json"
USED = "used"  # an empty file beside it whose time of change says when the entry was last used
LIMIT = 4 * 2**20  # bytes; enough for two terabytes of shards
SCHEMA = 1
_KIND = "tfvertical features"
_DIGEST = re.compile(r"[0-9a-f]{64}")
_FIELDS = {"kind", "schema_version", "key", "byteorder", "parts", "specs", "rows", "positions", "shard_bytes"}
_FIELDS |= {"files", "hash"}


class Damaged(Exception):
    """Why an entry must not be used."""


@dataclass(frozen=True)
class Record:
    """What `entry.json` says.

    Args:
        key: the entry's own.
        parts: what the entry depends on, in words.
        layout: its arrays.
        digests: file name -> SHA-256 in hexadecimal, of exactly the files that the layout has.
    """

    key: str
    parts: Mapping[str, str]
    layout: Layout
    digests: Mapping[str, str]


def render(record: Record) -> bytes:
    """The file's bytes.

    Raises:
        StoreError: they would be more than a reader takes.
    """
    layout = record.layout
    body: dict[str, Any] = {
        "kind": _KIND,
        "schema_version": SCHEMA,
        "key": record.key,
        "byteorder": sys.byteorder,
        "parts": dict(record.parts),
        "specs": [asdict(spec) for spec in layout.specs],
        "rows": layout.rows,
        "positions": layout.positions,
        "shard_bytes": layout.shard_bytes,
        "files": {
            name: {"size": size, "sha256": record.digests[name]}
            for run in layout.runs
            for name, size in layout.shards(run)
        },
    }
    content = _canonical(body | {"hash": _hash(body)})
    if len(content) > LIMIT:
        raise StoreError("What this entry depends on is too long to note.", expected=f"at most {LIMIT} bytes of JSON")
    return content


def planned_bytes(key: str, parts: Mapping[str, str], layout: Layout) -> int:
    """What the whole entry will take on disk; hashes are all equally long, so it is known before there are any.

    Raises:
        StoreError: `entry.json` would be more than a reader takes.
    """
    digests = {name: "0" * 64 for run in layout.runs for name, _ in layout.shards(run)}
    return layout.bytes + len(render(Record(key, parts, layout, digests)))


def parse(content: bytes, key: str) -> Record:
    """What the bytes of the entry `key` say.

    Raises:
        Damaged: anything is not as `render` writes it.
    """
    try:
        body = parse_json(content, NAME)
    except BundleError as error:
        raise Damaged(f"{NAME} is no readable JSON") from error
    _need(isinstance(body, dict) and type(body.get("schema_version")) is int, "no schema_version")
    if body["schema_version"] != SCHEMA:
        raise Damaged(f"it has schema_version {body['schema_version']}, and this version reads {SCHEMA}")
    _need(set(body) == _FIELDS and body["kind"] == _KIND, "other fields")
    _need(content == _canonical(body), "another spelling")
    _need(body["hash"] == _hash({name: value for name, value in body.items() if name != "hash"}), "another hash")
    _need(body["key"] == key, "the key of another entry")
    _need(body["byteorder"] == sys.byteorder, "the byte order of another machine")
    parts = body["parts"]
    _need(isinstance(parts, dict) and all(isinstance(value, str) for value in parts.values()), "no parts")
    layout = _layout(body)
    return Record(key, parts, layout, _digests(body["files"], layout))


def _layout(body: Mapping[str, Any]) -> Layout:
    counts = [body["rows"], body["positions"], body["shard_bytes"]]
    _need(all(type(count) is int and 0 <= count < 2**62 for count in counts), "impossible counts")
    _need(body["shard_bytes"] > 0 and isinstance(body["specs"], list), "impossible counts")
    try:
        return Layout(tuple(map(_spec, body["specs"])), *counts)
    except StoreError as error:
        raise Damaged(f"{NAME} has arrays that cannot be") from error


def _spec(value: Any) -> Spec:
    _need(isinstance(value, dict) and sorted(value) == ["dtype", "name", "ragged", "shape"], "no specs")
    fits = isinstance(value["name"], str) and isinstance(value["dtype"], str) and isinstance(value["shape"], list)
    _need(fits and isinstance(value["ragged"], bool), "no specs")
    return Spec(value["name"], value["dtype"], tuple(value["shape"]), value["ragged"])


def _digests(files: Any, layout: Layout) -> dict[str, str]:
    # Counted before anything is listed: the numbers could ask for a list that fills the memory.
    _need(isinstance(files, dict) and layout.file_count == len(files), "sizes that do not fit its arrays")
    found = {}
    for run in layout.runs:
        for name, size in layout.shards(run):
            entry = files.get(name)
            _need(isinstance(entry, dict) and sorted(entry) == ["sha256", "size"], "no files")
            _need(type(entry["size"]) is int and entry["size"] == size, "sizes that do not fit its arrays")
            _need(isinstance(entry["sha256"], str) and bool(_DIGEST.fullmatch(entry["sha256"])), "no hashes")
            found[name] = entry["sha256"]
    return found


def _need(right: bool, what: str) -> None:
    if not right:
        raise Damaged(f"{NAME} was changed: it has {what}")


def _canonical(body: Mapping[str, Any]) -> bytes:
    """The one spelling, so that not even a changed space goes unnoticed."""
    return (json.dumps(body, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def _hash(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(_canonical(body)).hexdigest()
