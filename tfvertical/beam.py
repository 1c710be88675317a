"""Predict over more data than one machine holds: an Apache Beam pipeline around the same reading and the same model.

Beam's runner decides where it runs. Files are read and checked as `tfvertical predict` does; usable rows go through
`RunInference` in batches, the others to a quarantine file. Output files appear whole, when their stage has ended: Beam
writes under temporary names and renames, so that work that is retried leaves no row twice.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvertical import bundle, jobs
from tfvertical.data._encoding import utf8_name
from tfvertical.errors import ConfigError, DataError, MissingPackageError, nearest_paths
from tfvertical.files import check_place, new_folder, refuse_filled, write_json
from tfvertical.jobs.trained import Origin, origin

try:
    import apache_beam as beam
    from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.portability.fn_api_runner.fn_runner import FnApiRunner
    from apache_beam.transforms.combiners import Count
except ImportError as error:
    raise MissingPackageError("Apache Beam is not installed.", fix="pip install 'tfvertical[beam]'") from error

PREDICTIONS, QUARANTINE, COUNTS = "predictions", "quarantine", "counts.json"
_NEW = ".unfinished"  # holds the files until all are there
_RESULT = re.compile(rf"({PREDICTIONS}|{QUARANTINE})-\d+-of-\d+\.jsonl")


def predict(
    path: str | Path,
    source: str,
    out: str | Path,
    *,
    text: str | None = None,
    reading: Mapping[str, Any] | None = None,
    batch: int = 256,
    options: Sequence[str] = (),
    overwrite: bool = False,
) -> dict[str, int]:
    """Predict a label for every row of many files.

    Args:
        path: the bundle; every worker has to see it.
        source: a file, or a pattern of files (`rows-*.csv`): each is read by one worker, so many files spread well.
        out: the folder that gets `predictions-*.jsonl`, `quarantine-*.jsonl` and `counts.json`.
        text: column of the text; None for the one that the bundle was trained on.
        reading: other keywords of reading without labels, in the place of those that the bundle was trained with.
        batch: rows a call of the model, at most.
        options: Beam's own (`--runner=FlinkRunner`); none for its local runner.
        overwrite: replace what stands there; it stays until the new files are complete.

    Returns:
        `files`, of which `broken` could not be read to their end, and `read`, `predicted` and `quarantined` rows; the
        last two add up to those that were read.

    Raises:
        BundleError: the bundle is damaged, or `out` is filled or no local folder.
        ConfigError: `out` holds what Beam reads as a pattern; or a file is one of those in `out` that are about to be
            replaced.
        DataError: no file matches, none can be read, or the counts do not add up.
    """
    out = Path(out).expanduser()
    refuse_filled(out, overwrite=overwrite)
    check_place(out)
    _refuse_pattern(out.absolute())
    bundle.verify(path)
    found = [source] if os.path.exists(source) else sorted(glob.glob(source, recursive=True))
    files = [str(Path(file).absolute()) for file in found if source == file or os.path.isfile(file)]
    if not files:
        raise DataError(f"No file matches {source!r}.", nearest=nearest_paths(source))
    path, folder = Path(path).absolute(), Path(out).absolute()
    _refuse_results(files, folder)
    made = Origin(path)  # which the first file looks up, and no worker again
    _refuse_unreadable(made, files, text, reading)
    with new_folder(folder / _NEW, overwrite=True) as new:
        _run(path, files, _Read(made, text, reading), new, batch, options)
        account = _account(new, files)
    _replace(folder)
    return account


def _refuse_pattern(folder: Path) -> None:
    """Raise ConfigError where Beam, which looks for its temporary files by a pattern, would not find them there."""
    if found := [mark for mark in "[]*?" if mark in str(folder)]:
        raise ConfigError(
            f"{folder} holds {' and '.join(map(repr, found))}, which Beam reads as a pattern.",
            fix="name a folder without such marks, above it too",
        )


def _refuse_results(files: Sequence[str], folder: Path) -> None:
    """Raise ConfigError where a file to read is an earlier result in `folder`: it is removed when the new ones stand.

    Rows that were mended in the quarantine's file would be gone, and a pattern that takes the folder in would take
    predictions for rows.
    """
    old = {os.path.realpath(path) for path in _results(folder)}
    if found := [file for file in files if os.path.realpath(file) in old]:
        more = f" and {len(found) - 1:,} more" if len(found) > 1 else ""
        raise ConfigError(
            f"{found[0]}{more} would be read, and is an earlier result, which the new ones in {folder} replace.",
            expected="rows that lie elsewhere",
            fix="name another --out, or move what is to be read; a pattern should not take --out in",
        )


def _refuse_unreadable(made: Origin, files: Sequence[str], text: str | None, reading: Mapping[str, Any] | None) -> None:
    """Raise the first file's DataError where none can be begun: a column that is not there is told here."""
    errors = []
    for file in files:
        try:
            next(jobs.rows_of(made, file, text, reading), None)
            return
        except DataError as error:
            errors.append(error)
    raise errors[0]


def _run(path: Path, files: Sequence[str], read: _Read, folder: Path, batch: int, options: Sequence[str]) -> None:
    """The pipeline from the files to those in `folder`."""
    handler: Any = KeyedModelHandler(_Bundle(str(path), batch))
    # without a name, Beam would fetch a runner from the network
    runner = None if any(option.startswith("--runner") for option in options) else FnApiRunner()
    with beam.Pipeline(runner=runner, options=PipelineOptions(list(options))) as pipeline:
        rows = (
            pipeline
            | "Files" >> beam.Create([os.fsencode(file) for file in files])
            | "Spread" >> beam.Reshuffle()
            | "Read" >> beam.ParDo(read).with_outputs(QUARANTINE, main="rows")
        )
        predictions = rows.rows | "Rows" >> beam.Reshuffle() | "Predict" >> RunInference(handler)
        for name, found, said in ((PREDICTIONS, predictions, _line), (QUARANTINE, rows[QUARANTINE], json.dumps)):
            lines = found | f"As JSON: {name}" >> beam.Map(said)
            lines | f"Write {name}" >> beam.io.WriteToText(str(folder / name), file_name_suffix=".jsonl")
            counted = lines | f"Count {name}" >> Count.Globally()
            counted | f"Write count of {name}" >> beam.io.WriteToText(str(folder / f".{name}"), shard_name_template="")


def _replace(folder: Path) -> None:
    """Put the new files in the place of an earlier run's; what else lies in the folder stays.

    The account goes first and comes last: where it stands, everything does.
    """
    for old in _results(folder):
        old.unlink()
    for file in sorted((folder / _NEW).iterdir(), key=lambda file: file.name == COUNTS):
        os.rename(file, folder / file.name)
    (folder / _NEW).rmdir()


def _results(folder: Path) -> list[Path]:
    """What an earlier run has left in `folder`, the account first: files with the very names that Beam gives."""
    found = [path for path in folder.glob("*.jsonl") if _RESULT.fullmatch(path.name)]
    return [path for path in (folder / COUNTS, *found) if path.is_file()]


def _account(folder: Path, files: Sequence[str]) -> dict[str, int]:
    """What was counted on the way, compared with what lies in the files."""
    counted = {}
    for name in (PREDICTIONS, QUARANTINE):
        told = folder / f".{name}"
        counted[name] = int(told.read_text(encoding="utf-8"))
        told.unlink()
        lies = sum(_lines(path) for path in folder.glob(f"{name}-*.jsonl"))
        if lies != counted[name]:
            raise DataError(f"{counted[name]} {name} were made, and {lies} lie in the files.")
    broken = sum(map(_broken, folder.glob(f"{QUARANTINE}-*.jsonl")))
    predicted, held = counted[PREDICTIONS], counted[QUARANTINE] - broken
    account = {"files": len(files), "broken": broken, "read": predicted + held}
    account |= {"predicted": predicted, "quarantined": held}
    write_json(folder / COUNTS, account)
    return account


def _lines(path: Path) -> int:
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def _broken(path: Path) -> int:
    """How many lines stand for a file and not for a row."""
    with open(path, encoding="utf-8") as file:
        return sum(json.loads(line)["id"] is None for line in file)


def _line(row: tuple[tuple[str, str], Any]) -> str:
    """`((file, id), prediction)` as JSON."""
    (file, name), found = row
    return json.dumps({"file": file, "id": name} | jobs.written(found), ensure_ascii=False)


class _Read(beam.DoFn):
    """File -> its rows as `((file, id), value)`; those that cannot be used go to the quarantine.

    So does, without an `id`, a file that cannot be read any further: the others are worth their predictions all the
    same. What a worker may read at another try (a disk, a network) is left to Beam.
    """

    def __init__(self, of: str | Origin, text: str | None, reading: Mapping[str, Any] | None = None):
        self.made, self.text, self.reading = origin(of), text, reading

    def process(self, path: bytes) -> Iterator[Any]:
        source = os.fsdecode(path)  # bytes on the way, since Beam's coders take no name that is not UTF-8
        file = utf8_name(source)
        try:
            for item in jobs.rows_of(self.made, source, self.text, self.reading):
                if item.fault is None:
                    yield (file, item.id), item.value
                else:
                    yield self._held(file, item.id, item.fault)
        except DataError as error:
            if getattr(error.__cause__, "errno", None) is not None:  # pyarrow's OSError for broken pages has none
                raise
            yield self._held(file, None, str(error))

    def _held(self, file: str, row: str | None, error: str) -> Any:
        return beam.pvalue.TaggedOutput(QUARANTINE, {"file": file, "id": row, "error": error})


class _Bundle(ModelHandler):
    """A bundle as Beam loads it: once a worker."""

    def __init__(self, path: str, batch: int):
        super().__init__(max_batch_size=batch)
        self.path = path

    def load_model(self) -> Any:
        return bundle.load(self.path)

    def run_inference(self, batch: Sequence[Any], model: Any, inference_args: Any = None) -> Iterable[Any]:
        found: Iterable[Any] = model.predict(list(batch))
        return found
