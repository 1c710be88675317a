"""One file a format: write the model, run what was written, and keep it only if it agrees with Keras."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np

from tfvertical.contracts import Examples, Exporter, Task
from tfvertical.errors import ConfigError, ExportError, MissingPackageError, TfverticalError
from tfvertical.files import new_folder, write_json, write_text
from tfvertical.registry import Registry

if TYPE_CHECKING:
    from tfvertical.export import _parity

SCHEMA_VERSION = 1
DROP = 0.01  # of accuracy that a lower precision may lose, where nothing else is said
CALIBRATION = 200  # examples; more change the ranges little, and each takes a run of the float model


def export(
    task: Task,
    path: str | Path,
    format: str = "litert",
    *,
    precision: str = "float32",
    examples: Examples | Sequence[Any] | None = None,
    calibration: Examples | Sequence[Any] | None = None,
    max_drop: float | None = None,
    overwrite: bool = False,
    bundle_hash: str | None = None,
    **options: Any,
) -> Path:
    """Write `<path>/exports/<format>-<precision>/`, run it, and compare it with the task's own scores.

    An output other than scores stands at the end of the folder's name: `litert-float32-embedding`.

    A float32 file must give the task's scores. A file of lower precision must give the task's labels on 99 of 100
    examples (of entities: its tags on 99 of 100 words), and lose at most `max_drop` of its accuracy (of entities: F1);
    both are only known on real examples.

    Args:
        task: what to export. A model in mixed precision is exported, and compared, with float32 in its place.
        path: the folder that holds `bundle/` and `exports/`; `bundle/` is never touched.
        format: `"litert"`, `"saved_model"` or `"onnx"`.
        precision: of weights and arithmetic: `"float32"`, and for LiteRT `"float16"`, `"dynamic"`, `"int8"`, `"auto"`.
        examples: raw items to compare on: texts, or pictures (paths, encoded bytes, uint8 arrays); or `Examples` with
            labels, on which accuracy is measured too. Built-in texts of all scripts, or drawn pictures of several
            sizes, are compared beside them; a float32 file must hold on those too, and needs no others.
        calibration: raw training items for `"int8"`, some 200; activations are quantized to the ranges seen on them.
        max_drop: how much accuracy, as a share of all examples, a lower precision may lose; None for 0.01.
        overwrite: replace an export that stands there.
        bundle_hash: the `hash` of the bundle's manifest, by which a stale export is known.
        **options: the format's own, such as `length` (tokens) for LiteRT.

    Returns:
        The export's folder: the format's files, `labels.txt`, `parity.json` and `manifest.json`.

    Raises:
        ConfigError: no such format, precision or option; a lower precision without examples; an option that would do
            nothing.
        ExportError: the file cannot be written in built-in operators, or it is not faithful. Nothing is left behind.
        BundleError: an export is there already, or no space is left.
        DataError: items that the task cannot read.
        MissingPackageError: the format needs a package that is not installed.
    """
    from tfvertical import manifest
    from tfvertical.export import _float32, _parity, _summary

    exporter: Exporter = Registry("export").build({"name": format, "precision": precision, **options})
    check_packages(exporter)
    asked, precision = precision, exporter.chosen(task.items, task.target)
    exporter = replace(exporter, precision=precision)  # type: ignore[type-var]
    gate = _parity.Gate(precision, DROP if max_drop is None else max_drop)
    _check(gate, examples, calibration)
    labelled = isinstance(examples, Examples) and examples.labels is not None
    refuse_idle(asked, calibration=calibration is not None, max_drop=max_drop is not None, labelled=labelled)
    exporter.suits(task)
    if exporter.output == "scores":
        check_labels(task.outputs)
    ranges = _some(calibration)
    if precision == "int8":
        task.encode(ranges)  # names what the task cannot read; the converter would blame a layer
    folder = Path(path).expanduser() / "exports" / folder_name(exporter, precision)
    with new_folder(folder, overwrite=overwrite) as temporary, _told(_format_name(exporter)):
        task = _float32.twin(task)
        comparison = _parity.Comparison(task, exporter, examples, gate)
        exporter.check(task, comparison.items)
        how = exporter.write(task, temporary, ranges.inputs, comparison.margin)
        if exporter.output == "scores":
            write_text(temporary / "labels.txt", "".join(f"{label}\n" for label in task.outputs))
        description = {"format": _format_name(exporter), "precision": precision, "bundle_hash": bundle_hash}
        write_json(temporary / "parity.json", description | how | comparison.check(temporary))
        manifest.seal(temporary, kind="export", schema_version=SCHEMA_VERSION)
    write_text(folder.parent / _summary.NAME, _summary.table(folder.parent, bundle_hash))
    return folder


@contextlib.contextmanager
def _told(name: str) -> Iterator[None]:
    """What converters and runtimes raise has no common class; whoever exports several formats goes on to the next."""
    try:
        yield
    except (TfverticalError, OSError, MemoryError):  # the room on disk is told by whoever makes the folder
        raise
    except Exception as error:
        message = f"{type(error).__name__}: {str(error).strip()[:500]}"
        raise ExportError(f"The export to {name} failed; nothing was written.", received=message) from error


def folder_name(exporter: Exporter, precision: str) -> str:
    """What an export's folder is called: format, precision, and an output other than scores."""
    return "-".join((_format_name(exporter), precision, *(() if exporter.output == "scores" else (exporter.output,))))


def check_packages(exporter: Exporter) -> None:
    """Say that a package is missing before anything is computed; nothing is imported.

    Raises:
        MissingPackageError: the exporter needs it.
    """
    name = _format_name(exporter)
    if missing := [each for each in exporter.packages if importlib.util.find_spec(each) is None]:
        raise MissingPackageError(
            f"An export to {name} needs {' and '.join(missing)}.", fix=f"pip install 'tfvertical[{name}]'"
        )


def refuse_idle(precision: str, *, calibration: bool, max_drop: bool, labelled: bool = True) -> None:
    """Say that an option would do nothing, before anything is read or computed.

    Args:
        precision: as it was asked for: with `auto`, whoever asks need not know which one that will be.
        calibration, max_drop: whether they are given.
        labelled: whether the examples have labels.

    Raises:
        ConfigError: one of them is given and changes nothing.
    """
    if calibration and precision not in ("int8", "auto"):
        raise ConfigError(
            f"`calibration` would do nothing: precision {precision!r} takes no ranges of activations.",
            fix="leave it out, or ask for precision 'int8'",
        )
    if max_drop and precision == "float32":
        raise ConfigError(
            "`max_drop` would do nothing: a float32 file has to give the task's own scores.",
            fix="leave it out, or ask for a lower precision",
        )
    if max_drop and not labelled:
        raise ConfigError(
            "`max_drop` would do nothing: accuracy is only known on examples with labels.",
            expected="`examples` with labels: tv.data.load(…)",
            fix="give labels, or leave it out",
        )


def _format_name(exporter: Exporter) -> str:
    return type(exporter).__module__.rsplit(".", 1)[-1]


def _items(examples: Examples | Sequence[Any] | None) -> list[Any]:
    if isinstance(examples, str | bytes | Path) or not isinstance(examples, Examples | Sequence | np.ndarray | None):
        raise ConfigError(
            "Examples are a list of raw items, or `Examples`.",
            received=type(examples).__name__,
            fix="load them first: tv.data.load(…)",
        )
    return [] if examples is None else list(examples.inputs if isinstance(examples, Examples) else examples)


def _some(calibration: Examples | Sequence[Any] | None) -> Examples:
    """As many as calibration takes, from all over: folders and tables are often sorted by label."""
    items = _items(calibration)
    ids = calibration.ids if isinstance(calibration, Examples) else [f"calibration:{at}" for at in range(len(items))]
    return Examples(items, None, ids).take(np.random.default_rng(0).permutation(len(items))[:CALIBRATION])


def _check(gate: _parity.Gate, examples: Any, calibration: Any) -> None:
    """Say what is missing before a minute of conversion."""
    if not 0 <= gate.max_drop <= 1:
        raise ConfigError(f"max_drop is {gate.max_drop}.", expected="a share of examples, 0 to 1")
    given = _items(examples)  # whatever the precision: a path is no list of letters
    if gate.exact and examples is not None and not given:
        raise ConfigError(
            "`examples` is empty: there is nothing to compare on.", fix="give some, or leave it out for built-in ones"
        )
    if gate.exact:
        return
    if not given:
        raise ConfigError(
            f"What precision {gate.precision!r} loses is only known on real examples.",
            fix="give examples=… (on the command line: --data FILE), with labels if accuracy counts",
        )
    if gate.precision == "int8" and not _items(calibration):
        raise ConfigError(
            "Precision 'int8' needs training examples to take the ranges of activations from.",
            fix="give calibration=…, some 200 training items (on the command line: --calibration FILE)",
        )


def check_labels(labels: Sequence[str]) -> None:
    """Say that a label cannot stand in `labels.txt`, before a minute of conversion, or hours of training.

    Raises:
        ExportError: it does not fit on a line.
    """
    for label in labels:
        if not label or label.splitlines() != [label]:
            raise ExportError(f"The label {label!r} does not fit on a line of labels.txt.", fix="rename the label")


class _Callable(ModuleType):
    """The import system binds this folder as `tfvertical.export`, where users expect the function of that name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Path:
        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
