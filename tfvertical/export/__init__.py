"""One file a format: write the model, run what was written, and keep it only if it agrees with Keras."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from tfvertical.contracts import Exporter, Task
from tfvertical.errors import ExportError
from tfvertical.files import new_folder, write_json, write_text
from tfvertical.registry import Registry

SCHEMA_VERSION = 1


def export(
    task: Task,
    path: str | Path,
    format: str = "litert",
    *,
    precision: str = "float32",
    examples: Sequence[Any] | None = None,
    overwrite: bool = False,
    bundle_hash: str | None = None,
    **options: Any,
) -> Path:
    """Write `<path>/exports/<format>-<precision>/`, run it, and compare it with the task's own scores.

    Args:
        task: what to export. A model in mixed precision is exported, and compared, with float32 in its place.
        path: the folder that holds `bundle/` and `exports/`; `bundle/` is never touched.
        format: `"litert"` or `"saved_model"`.
        precision: of weights and arithmetic; `"float32"`.
        examples: raw items to compare on: texts, or pictures (paths, encoded bytes, uint8 arrays). None for built-in
            texts of all scripts, or drawn pictures of several sizes.
        overwrite: replace an export that stands there.
        bundle_hash: the `hash` of the bundle's manifest, by which a stale export is known.
        **options: the format's own, such as `length` (tokens) for LiteRT.

    Returns:
        The export's folder: the format's files, `labels.txt`, `parity.json` and `manifest.json`.

    Raises:
        ConfigError: no such format, precision or option.
        ExportError: the file cannot be written in built-in operators, or its scores differ by more than 1e-5. Nothing
            is left behind.
        BundleError: an export is there already, or no space is left.
        MissingPackageError: the format needs a package that is not installed.
    """
    from tfvertical import manifest
    from tfvertical.export import _float32, _parity

    exporter: Exporter = Registry("export").build({"name": format, "precision": precision, **options})
    name = type(exporter).__module__.rsplit(".", 1)[-1]
    folder = Path(path) / "exports" / f"{name}-{precision}"
    with new_folder(folder, overwrite=overwrite) as temporary:
        task = _float32.twin(task)
        exporter.write(task, temporary)
        write_text(temporary / "labels.txt", _label_lines(task))
        found = _parity.compare(task, exporter, temporary, examples)
        description = {"format": name, "precision": precision, "bundle_hash": bundle_hash}
        write_json(temporary / "parity.json", description | found)
        manifest.seal(temporary, kind="export", schema_version=SCHEMA_VERSION)
    return folder


def _label_lines(task: Task) -> str:
    for label in task.labels:
        if not label or label.splitlines() != [label]:
            raise ExportError(f"The label {label!r} does not fit on a line of labels.txt.", fix="rename the label")
    return "".join(f"{label}\n" for label in task.labels)


class _Callable(ModuleType):
    """The import system binds this folder as `tfvertical.export`, where users expect the function of that name."""

    def __call__(self, *args: Any, **kwargs: Any) -> Path:
        return export(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
