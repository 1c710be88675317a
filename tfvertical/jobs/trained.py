"""What a bundle knows of the run that made it: its task, and how its data were read."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfvertical import bundle, data
from tfvertical._console import load_tensorflow
from tfvertical.contracts import Examples
from tfvertical.data._load import keywords_of, kind_of_source
from tfvertical.data.table import Table
from tfvertical.jobs.declared import kind_of, target_of
from tfvertical.runfiles.together import PARTS

_ANY_SOURCE = ("separator", "spans", "scheme", "max_text_bytes", "max_pixels", "max_rows")


class Origin:
    """What a bundle says of its task and its run, looked up once: each look-up compares every file with the manifest.

    Args:
        path: the bundle.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)

    @property
    def task(self) -> str:
        """The name of its class."""
        return self._described[0]

    @property
    def labels(self) -> tuple[str, ...]:
        """Their names."""
        return self._described[1]

    @functools.cached_property
    def data(self) -> Mapping[str, Any]:
        """The run file's section on data; of a bundle from Python, nothing."""
        config = bundle.run(self.path).get("config")
        found: Mapping[str, Any] = config.get("data", {}) if isinstance(config, dict) else {}
        return found

    @functools.cached_property
    def _described(self) -> tuple[str, tuple[str, ...]]:
        return bundle.description(self.path)


def origin(of: str | Path | Origin) -> Origin:
    """Of a bundle at a path; one that is there already stays as it is, with what it knows."""
    return of if isinstance(of, Origin) else Origin(of)


def loaded(path: str | Path) -> Any:
    """The task in a bundle, once TensorFlow is there."""
    load_tensorflow()
    return bundle.load(path)


def columns(of: str | Path | Origin, source: Any, **chosen: str | None) -> dict[str, Any]:
    """The columns that were chosen; where one was not, that of the run file the bundle was trained by.

    Of pairs, `first,second` names both; questions that were learned from a file of SQuAD's stand in `question` and
    `context`.
    Limits are the run's too, and the options of the source's kind: columns of a CoNLL file, encoding of a table. Those
    of a table are for files with the ending of the run's own.
    """
    made = origin(of)
    trained = made.data
    known = {name: column if column is not None else trained.get(name) for name, column in chosen.items()}
    found: dict[str, Any] = {name: column for name, column in known.items() if column is not None}
    task = made.task
    if kind_of(task) == "pair":
        asked = found.get("text", "question,context" if target_of(task) == "answers" else None)
        if isinstance(asked, str) and asked.count(",") == 1:
            found["text"] = [column.strip() for column in asked.split(",")]
    kind = kind_of_source(source)  # None of one picture
    endings = {Path(str(trained.get(part))).suffix.lower() for part in PARTS}
    if kind is not None and (kind is not Table or Path(source).suffix.lower() in endings):
        found |= {name: trained[name] for name in keywords_of(kind) if name in trained}
    return found | {name: trained[name] for name in _ANY_SOURCE if name in trained}


def rows(
    path: str | Path, source: str, *, text: str | None, label: str | None, reading: Mapping[str, Any] | None
) -> Examples:
    """Labelled rows for the bundle at `path`, read as those of its run were.

    Where the run went on without rows that cannot be used, these are skipped here too: a file to set them aside in was
    for its own data.

    Args:
        path: the bundle.
        source: what `data.load` reads.
        text: column of the text; None for the run's.
        label: column of the label; None for the run's.
        reading: keywords of `data.load` in the place of the run's.
    """
    made = origin(path)
    name, labels = made.task, made.labels
    if source.startswith("tfds:"):
        load_tensorflow()
    options = columns(made, source, text=text, label=label)
    if made.data.get("policy", "raise") != "raise":
        options["policy"] = "skip"
    options |= dict(reading or {})
    if target_of(name) == "numbers":
        options.setdefault("label", list(labels))
    return data.load(source, kind=kind_of(name), target=target_of(name), labels=labels, **options)
