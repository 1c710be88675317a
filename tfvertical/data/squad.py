"""Questions, contexts and answers in the files of SQuAD."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tfvertical.contracts import Row, Source
from tfvertical.data._encoding import utf8_name
from tfvertical.data._request import Request
from tfvertical.errors import DataError

LARGEST = 2_000_000_000  # bytes: the file is held in memory as a whole


class Squad(Source):
    """A `.json` file in the form of SQuAD 1.1 or 2.0. Ids are those of the questions: `dev-v2.0.json:56ddde6b9a69…`.

    Its form: `data`, a list of articles; `paragraphs` of each, with a `context` and its `qas`; of each of these `id`,
    `question` and `answers` (`text` and `answer_start`, in characters), none where it `is_impossible`.

    Args:
        value: path of the file.
        request: limits.

    Raises:
        DataError: from `rows`: the file is no JSON, of another form, or something else than answers is wanted of it.

    Example:
        >>> Squad.accepts("dev-v2.0.json"), Squad.accepts("dev.jsonl")
        (True, False)
    """

    named = False

    def __init__(self, value: str | os.PathLike[str], request: Request):
        self.path, self.request = Path(value), request
        self.name = utf8_name(self.path.name)

    @classmethod
    def accepts(cls, value: Any) -> bool:
        return isinstance(value, str | os.PathLike) and Path(value).suffix.lower() == ".json"

    def rows(self) -> Iterator[Row]:
        if self.request.kind != "pair" or self.request.target not in ("answers", "label"):
            raise DataError(
                f"{self.name} is read as questions with answers.", fix="use it for an ExtractiveQA; or give JSON lines"
            )
        times = Counter[str]()
        for number, (context, asked) in enumerate(self._questions()):
            name = utf8_name(str(asked.get("id", number)))
            times[name] += 1
            row = f"{self.name}:{name}" + (f":{times[name]}" if times[name] > 1 else "")
            question, answers = asked.get("question"), self._answers(asked)
            if "second" in self.request.columns():  # a run file whose other sources are tables
                yield Row(row, question, answers, second=context)
            else:
                yield Row(row, (question, context), answers)

    def _questions(self) -> Iterator[tuple[Any, Mapping[str, Any]]]:
        for at, article in enumerate(self._list(self._content(), "data", "the file")):
            for part, paragraph in enumerate(self._list(article, "paragraphs", f"data[{at}]")):
                where = f"data[{at}].paragraphs[{part}]"
                for number, asked in enumerate(self._list(paragraph, "qas", where)):
                    if not isinstance(asked, Mapping):
                        raise self._other(f"{where}.qas[{number}]", "an object")
                    yield paragraph.get("context"), asked

    def _answers(self, asked: Mapping[str, Any]) -> Any:
        """None where they are missing; an impossible question has none, whatever is plausible."""
        if self.request.label is None:
            return None
        return [] if asked.get("is_impossible") is True else asked.get("answers")

    def _content(self) -> Any:
        try:
            if self.path.stat().st_size > LARGEST:
                raise DataError(f"{self.path} has more than {LARGEST:,} bytes.", fix="give JSON lines")
            return json.loads(self.path.read_bytes())
        except OSError as error:
            raise DataError(f"{self.path} cannot be read: {error.strerror}.") from error
        except RecursionError as error:
            raise DataError(f"{self.path} is nested too deeply.") from error
        except ValueError as error:  # UnicodeDecodeError too
            raise DataError(f"{self.path} is not JSON: {error}.") from error

    def _list(self, holder: Any, key: str, where: str) -> list[Any]:
        if not isinstance(holder, Mapping) or not isinstance(holder.get(key), list):
            raise self._other(where, f"an object with a list {key!r}")
        found: list[Any] = holder[key]
        return found

    def _other(self, where: str, wanted: str) -> DataError:
        return DataError(
            f"{self.name}: {where} has another form than SQuAD's.", expected=wanted, fix="for a table give JSON lines"
        )
