"""What a bundle knows of the run that made it: its task, and how its data were read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tfvertical import bundle
from tfvertical._console import load_tensorflow
from tfvertical.jobs.declared import kind_of, target_of
from tfvertical.runfiles import schema

_TABLE = Path(__file__).parent.parent / "data" / "table.py"
_DELIMITED = (".csv", ".tsv", ".tab")


def loaded(path: str | Path) -> Any:
    """The task in a bundle, once TensorFlow is there."""
    load_tensorflow()
    return bundle.load(path)


def columns(path: str | Path, source: Any, **chosen: str | None) -> dict[str, Any]:
    """The columns that were chosen; where one was not, that of the run file the bundle was trained by.

    Of pairs, `first,second` names both; questions that were learned from a file of SQuAD's stand in `question` and
    `context`.
    A table with the ending of the training data is also read as those were: encoding, delimiter, header, quotes.
    """
    config = bundle.run(path).get("config")
    trained: Mapping[str, Any] = config.get("data", {}) if isinstance(config, dict) else {}
    known = {name: column if column is not None else trained.get(name) for name, column in chosen.items()}
    found: dict[str, Any] = {name: column for name, column in known.items() if column is not None}
    task = bundle.description(path)[0]
    if kind_of(task) == "pair":
        asked = found.get("text", "question,context" if target_of(task) == "answers" else None)
        if isinstance(asked, str) and asked.count(",") == 1:
            found["text"] = [column.strip() for column in asked.split(",")]
    ending = Path(source).suffix.lower() if isinstance(source, str | Path) else ""
    if ending in _DELIMITED and ending == Path(str(trained.get("train"))).suffix.lower():
        takes = schema.declared(_TABLE, "table", "__init__").parameters.values()
        options = [parameter.name for parameter in takes if parameter.kind is parameter.KEYWORD_ONLY]
        found |= {name: trained[name] for name in options if name in trained}
    return found | {name: trained[name] for name in ("separator", "spans") if name in trained}
