"""`load`: any source to checked examples. Reading is the sources' work; checking, policy and account are done here."""

from __future__ import annotations

import dataclasses
import inspect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tfvertical.codecs.labels import numbered
from tfvertical.codecs.pixels import MAX_PIXELS
from tfvertical.contracts import DataReport, DataWarning, Examples, Source, Target
from tfvertical.data import _check, _policy, _warnings
from tfvertical.data._labels import classes_of
from tfvertical.data._request import Column, Request
from tfvertical.data._rows import Clean, read_rows
from tfvertical.data.table import Table
from tfvertical.errors import ConfigError, DataError, nearest, nearest_paths
from tfvertical.registry import Registry

_SHOWN_LABELS = 3


def load(
    value: Any,
    *,
    kind: Literal["text", "image", "pair"] = "text",
    text: Column | Sequence[Column] = "text",
    label: Column | Sequence[Column] | None = "label",
    policy: _policy.Policy = "raise",
    quarantine: str | os.PathLike[str] | None = None,
    labels: Sequence[str] | None = None,
    group: Column | None = None,
    time: Column | None = None,
    weight: Column | None = None,
    target: Target = "label",
    scheme: Literal["iob2", "iob1", "bioes"] | None = None,
    separator: str = "|",
    spans: Sequence[Column] = (),
    strict: bool = False,
    name: str | None = None,
    max_text_bytes: int = 1_000_000,
    max_pixels: int = MAX_PIXELS,
    max_rows: int = 10_000_000,
    **options: Any,
) -> Examples:
    """Read labelled examples from wherever they are, check every row, and account for each.

    Args:
        value: path of a CSV, TSV, JSON-lines or Parquet file or of a folder of pictures; `tfds:NAME[/CONFIG][:SPLIT]`;
            `(x, y)` of lists or arrays; a pandas DataFrame; a `tf.data.Dataset`.
        kind: what an item is: a text, a picture, or a pair of texts.
        text: column of the item: the text or, with `kind="image"`, the picture or its path; of a pair, both columns,
            or one that holds lists of two.
        label: column of the label; None reads without labels. Of numbers, one column or several, or one of lists; of
            sets of labels, one column, or several that say 0 or 1.
        policy: what becomes of rows that cannot be used (missing, empty, undecodable, wrong type, unknown label):
            `raise` a DataError that names them, `skip` them, or `quarantine` them in a file.
        quarantine: the file (or folder) for the policy of that name: JSON lines with id and reason.
        labels: the label names that are known; rows with any other label cannot be used. Numbers count as positions in
            it, unless some name is a number. Give the training labels when reading validation or test data. Of
            numbers: what they are called, as many as each row must have.
        group: column of what a split must keep together (a patient, a customer).
        time: column of the date, for splits by date.
        weight: column of the sample weight.
        target: what a label is: `"label"`, one name; `"labels"`, any number of names; `"entities"`, what is marked in
            a text (spans of characters) or in a list of words (tags, or spans of words); `"numbers"`, one or several;
            `"answers"`, where the second text of a pair answers the first.
        scheme: of tags: `"iob2"`, `"iob1"`, `"bioes"` (BILOU and BMEWO too); None finds it out.
        separator: between names, where several labels stand in one cell.
        spans: two columns of places in the text (`[start, end]` in characters, or `15:24`), between which there is a
            relation: they are marked in what the model reads, see `mark`.
        strict: treat warnings (duplicates, conflicting labels, rare classes) as errors.
        name: what reports call the data; by default the source's name.
        max_text_bytes: a longer text cannot be used.
        max_pixels: a larger picture cannot be used; it is never decoded.
        max_rows: more rows are an error.
        **options: of the kind of source: `encoding`, `header`, `delimiter`, `quotes` (tables), `data_dir` (tfds).

    Returns:
        Examples with string labels (of entities: tuples of `Span`s; of numbers: tuples of floats), ids such as
        `train.csv:17`, and `report`, in which kept + rejected = read.

    Raises:
        ConfigError: the arguments do not fit together.
        DataError: rows cannot be used, or the source as a whole cannot.

    Example:
        >>> examples = load((["The card never arrived.", "Thank you!"], ["complaint", "praise"]))
        >>> examples.labels, examples.ids, examples.report.kept
        (['complaint', 'praise'], ['arrays:0', 'arrays:1'], 2)
    """
    limits = {"max_text_bytes": max_text_bytes, "max_pixels": max_pixels, "max_rows": max_rows}
    request = Request(kind, text, label, group, time, weight, target, scheme, separator, spans, **limits)
    _policy.check_policy(policy, quarantine)
    known = None if labels is None else known_labels(labels)
    source = open_source(value, request, options)
    if quarantine is not None:
        _policy.refuse_sources([quarantine], [value])
    title = name or source.name
    clean, rejected = read_rows(source, request, known, keep_rows=policy == "quarantine")
    read, faults = len(clean) + len(rejected), [fault for _, fault in rejected]
    if not read:
        raise DataError(f"{title} has no rows.", expected="at least one")
    if not clean or (faults and policy == "raise"):
        raise _policy.refuse(title, faults, read)
    _refuse_mixture(title, clean, request, known)
    examples = _examples(clean, request, isinstance(source, Table))
    warnings = [
        *getattr(source, "notes", ()),
        *_warnings.look(examples.inputs, examples.labels, examples.ids, _noun(kind)),
    ]
    warnings += _few_classes(title, examples, known, target)
    if target == "labels":
        warnings += _other_separator(examples, separator)
    if strict:
        _policy.refuse_warnings(title, warnings)
    if quarantine is not None:
        _policy.write_quarantine(quarantine, rejected, title)
    report = DataReport(title, read, len(clean), tuple(faults), tuple(warnings))
    return dataclasses.replace(examples, report=report)


def open_source(value: Any, request: Request, options: dict[str, Any]) -> Source:
    """The source that reads `value`, found by asking each kind in turn.

    Raises:
        ConfigError: its kind has no such option.
        DataError: none reads `value`; for a path that does not exist, with the nearest that does.
    """
    chosen = kind_of_source(value)
    if isinstance(value, str | os.PathLike) and not str(value).startswith("tfds:") and not os.path.exists(Path(value)):
        path = Path(value)
        raise DataError(f"{path} does not exist.", nearest=[os.path.basename(near) for near in nearest_paths(path)])
    if chosen is None:
        shown = repr(value)
        raise DataError(
            f"Data of type {type(value).__name__} cannot be read: {shown if len(shown) < 100 else shown[:97] + '…'}.",
            expected="a .csv, .tsv, .jsonl or .parquet file, a folder of pictures, tfds:NAME, (x, y), a DataFrame "
            "or a tf.data.Dataset",
        )
    known = keywords_of(chosen)
    for option in options:
        if option not in known:
            raise ConfigError(
                f"{chosen.__name__} data has no option {option!r}.",
                expected="one of " + ", ".join(known) if known else "none",
                nearest=nearest(option, [*known, *inspect.signature(load).parameters]),
            )
    return chosen(value, request, **options)


def kind_of_source(value: Any) -> Any:
    """The class of the source that reads `value`, found by asking each in turn; None where none does."""
    return next((kind for kind in _kinds() if kind.accepts(value)), None)


def keywords_of(target: Any) -> list[str]:
    """The names of the keyword-only arguments of a kind of source, or of `load` itself."""
    return [p.name for p in inspect.signature(target).parameters.values() if p.kind is p.KEYWORD_ONLY]


def keywords() -> list[str]:
    """Every keyword of `load`, those of all kinds of sources among them."""
    return list(dict.fromkeys(name for target in (load, *_kinds()) for name in keywords_of(target)))


def _kinds() -> list[Any]:
    room = Registry("data")
    return [room.get(module) for module in room.modules()]


def known_labels(labels: Sequence[Any]) -> tuple[str, ...]:
    """Label names as rows are compared with them; raises ConfigError for none, an empty name, two alike, or no list."""
    labels = list(numbered(labels))
    try:
        known = tuple(_check.label(label)[0] for label in labels)
    except _check.Fault as fault:
        raise ConfigError(f"labels={labels!r}: {fault}.", expected="names") from fault
    if not known or len(set(known)) < len(known):
        raise ConfigError(f"labels={labels!r}.", expected="a list of distinct names")
    return known


def _refuse_mixture(title: str, clean: Sequence[Clean], request: Request, known: tuple[str, ...] | None) -> None:
    """Labels, or times, of which some are numbers and others are not: one of the two is a mistake."""
    for field, fix in (
        ("label", "correct them or, if they are names all the same, list them: labels=[…]"),
        ("time", "write all times the same way"),
    ):
        if getattr(request, field) is None or (field == "label" and known is not None):
            continue
        families: dict[str, list[Clean]] = {}
        for row in clean:
            families.setdefault(getattr(row, f"{field}_family"), []).append(row)
        if len(families) > 1:
            some = [
                f"{len(rows):,} of type {family} ("
                + ", ".join(f"{row.id}: {getattr(row, field)!r}" for row in rows[:_SHOWN_LABELS])
                + ")"
                for family, rows in sorted(families.items(), key=lambda item: len(item[1]))
            ]
            raise DataError(f"{title}: {field}s are of mixed type: " + "; ".join(some) + ".", fix=fix)


def _examples(clean: Sequence[Clean], request: Request, table: bool) -> Examples:
    groups, weights = [row.group for row in clean], [row.weight for row in clean]
    if request.group is not None and all(group is None for group in groups):
        raise DataError(
            f"No row has a group {request.group!r}.", fix="arrays and folders have no columns: split(…, group=[…])"
        )
    if request.weight is not None and not table and all(weight is None for weight in weights):  # blank cells are 1
        raise DataError(
            f"No row has a weight {request.weight!r}.", fix="arrays and folders have no columns: give (x, y, weights)"
        )
    return Examples(
        [row.input for row in clean],
        None if request.label is None else [row.label for row in clean],
        [row.id for row in clean],
        None
        if all(weight is None for weight in weights)
        else np.array([1 if w is None else w for w in weights], np.float32),
        groups=None if request.group is None else groups,
        times=None if request.time is None else [row.time for row in clean],
    )


def _few_classes(title: str, examples: Examples, known: tuple[str, ...] | None, target: str) -> list[DataWarning]:
    """A single class: an error where the vocabulary is still to be learnt, worth a look where it is known."""
    if target == "numbers" and examples.labels is not None:
        return _constant(examples)
    names = set() if examples.labels is None else {name for label in examples.labels for name in classes_of(label)}
    if examples.labels is None or len(names) > 1:
        return []
    if target == "labels" and known is None:
        raise DataError(
            f"{title}: {f'only {next(iter(names))!r} applies' if names else 'no label applies'} to any of "
            f"{len(examples):,} rows; there is nothing to tell apart.",
            expected="at least two labels",
            fix="see whether the right column and separator='…' were named; for test data give the known labels: "
            "labels=[…]",
        )
    if target != "label":
        if names or known is not None:
            return []
        raise DataError(
            f"{title}: not one {'answer' if target == 'answers' else 'entity'} is marked in {len(examples):,} rows; "
            "there is nothing to find.",
            fix="see whether the right column was named; for test data give the known types: labels=[…]",
        )
    (only,) = names
    if known is None:
        raise DataError(
            f"{title}: all {len(examples):,} rows have the label {only!r}; there is nothing to tell apart.",
            expected="at least two classes",
            fix="see whether the right column was named; for test data give the known labels: labels=[…]",
        )
    return [DataWarning("single_class", f"All {len(examples):,} rows have the label {only!r}.", (), len(examples))]


def _other_separator(examples: Examples, separator: str) -> list[DataWarning]:
    """Sets that look as if something else stood between their names: no row has two, and names hold another mark."""
    labels = examples.labels or ()
    if any(len(label) > 1 for label in labels):
        return []
    for mark in (each for each in "|;," if each != separator):
        rows = [at for at, label in enumerate(labels) if label and mark in label[0]]
        if rows:
            message = f"No row has two labels, and {mark!r} stands in those of {len(rows):,} rows: separator={mark!r}?"
            return [DataWarning("separator", message, tuple(examples.ids[at] for at in rows[:100]), len(rows))]
    return []


def _constant(examples: Examples) -> list[DataWarning]:
    """Numbers of which all are the same."""
    first = (examples.labels or ())[0]
    if len(examples) == 1 or any(label != first for label in examples.labels or ()):
        return []
    return [DataWarning("constant", f"All {len(examples):,} rows have the same numbers, {first}.", (), len(examples))]


def _noun(kind: str) -> str:
    return "picture" if kind == "image" else kind
