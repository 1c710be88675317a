"""The artefact folder: write it whole, verify it before anything of it is used, load it.

`<path>/bundle/` is sealed by its manifest and never touched again; `<path>/exports/` stands beside it, each export
naming the bundle it was made from.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tfvertical import manifest, stages
from tfvertical.contracts import Task
from tfvertical.errors import BundleError, TfverticalError, nearest_paths
from tfvertical.files import new_folder, parse_json
from tfvertical.manifest import Manifest
from tfvertical.registry import Registry
from tfvertical.report import Report as Evaluation
from tfvertical.sealing import architecture, weights
from tfvertical.sealing import thin as thin_weights
from tfvertical.sealing.thin import LoadBase

SCHEMA_VERSION = 1
_REPORT = "report/report.json"
Files = dict[str, bytes]  # path below bundle/ -> content
# Schema version -> what turns a bundle's files of that version into those of the next. Files on disk stay as they are.
MIGRATIONS: dict[int, Callable[[Files], Files]] = {}


class Report(Protocol):
    """Anything that writes itself into a folder."""

    def save(self, folder: Path) -> Any: ...


class StaleExportWarning(UserWarning):
    """An export beside the bundle was made from an earlier one."""


@dataclass(frozen=True)
class Export:
    """One verified export beside a bundle.

    Args:
        name: its folder, `litert-float32`.
        path: where it stands.
        bundle_hash: the bundle it was made from, or None where it was made from a task that was not saved.
        stale: whether that is another than the one beside it.
        parity: what the comparison with Keras gave.
    """

    name: str
    path: Path
    bundle_hash: str | None
    stale: bool
    parity: Mapping[str, Any]


def save(
    task: Task,
    path: str | Path,
    *,
    run: Mapping[str, Any] | None = None,
    report: Report | None = None,
    overwrite: bool = False,
    thin: bool = False,
    base: LoadBase | None = None,
) -> Path:
    """Write `<path>/bundle/`, whole or not at all; exports beside it stay.

    Args:
        task: what to save.
        path: the folder that holds `bundle/` and `exports/`.
        run: adaptation, settings, versions and history, as JSON values.
        report: its files go into `bundle/report/`.
        overwrite: replace a bundle that stands there; it stays until the new one is complete.
        thin: store only the weights that differ from the base model's, which loading then needs again.
        base: how to load the base model; by its preset's name where None.

    Returns:
        The folder `<path>/bundle`.

    Raises:
        BundleError: a bundle is there already, no space, a layer or a value that cannot be saved.
    """
    folder = Path(path).expanduser() / "bundle"
    with new_folder(folder, overwrite=overwrite) as temporary:
        for name, content in _contents(task, run or {}, thin, base).items():
            (temporary / name).parent.mkdir(parents=True, exist_ok=True)
            (temporary / name).write_bytes(content)
        if report is not None:
            report.save(temporary / "report")
        manifest.seal(temporary, kind="bundle", schema_version=SCHEMA_VERSION)
    return folder


def verify(path: str | Path) -> Manifest:
    """Compare every file of `<path>/bundle/` with the manifest; nothing is built, nothing is run.

    Raises:
        BundleError: a file is changed, missing, extra, or no plain file; the message has its name.
    """
    return _supported(manifest.check(_folder(path), kind="bundle")[0], path)


def load(path: str | Path, *, base: LoadBase | None = None) -> Task:
    """The task that was saved, with bit-equal predictions. Verified first; the bytes that were verified are used.

    `task.report` is the bundle's, so that saving the task again keeps it; None where there is none that can be read.

    Args:
        path: the folder that holds `bundle/`.
        base: how a thin bundle's base model is loaded; by its preset's name where None.

    Raises:
        BundleError: see `verify`; or the bundle was written by a newer version.
    """
    folder = _folder(path)
    found, files = manifest.check(
        folder, kind="bundle", keep=lambda name: name == _REPORT or not name.startswith("report/")
    )
    _supported(found, path)
    _warn_of_stale_exports(folder.parent, found)
    return _task(_migrated(files, found.schema_version), str(folder), base)


def hash_for(task: Task, path: str | Path) -> str | None:
    """The hash that an export of `task` into `path` shall name: the bundle's there, or None where there is none.

    Raises:
        BundleError: the bundle there has other weights, labels or preprocessing than `task`, so an export would stand
            beside the wrong bundle.
    """
    if not (Path(path).expanduser() / "bundle").exists():
        return None
    folder = _folder(path)
    found, files = manifest.check(folder, kind="bundle", keep=lambda name: not name.startswith("report/"))
    for name, content in _described(task).items():
        if files.get(name) != content:
            raise _other(path, name)
    stored = weights.from_bytes(files["weights.safetensors"], f"{folder}/weights.safetensors")
    current = weights.arrays(stages.addresses(task.components))
    for address, value in stored.items():
        if address not in current or weights.digest(current[address]) != weights.digest(value):
            raise _other(path, address)
    return found.hash


def _other(path: str | Path, what: str) -> BundleError:
    return BundleError(
        f"The bundle in {path} is not of this task: {what!r} differs.",
        fix="save the task first, or export into another folder",
    )


def description(path: str | Path) -> tuple[str, tuple[str, ...]]:
    """The name of the task's class and its labels, from a verified bundle; nothing is built.

    Raises:
        BundleError: see `verify`; or the bundle describes no task.
    """
    folder = _folder(path)
    found, files = manifest.check(folder, kind="bundle", keep=lambda name: name.endswith(".json"))
    files = _migrated(files, _supported(found, path).schema_version)
    for name in ("task.json", "labels.json"):
        if name not in files:
            raise BundleError(f"{folder}: {name!r} is missing.")
    task, labels = (parse_json(files[name], f"{folder}/{name}") for name in ("task.json", "labels.json"))
    if not isinstance(task, dict) or not isinstance(task.get("task"), str) or not isinstance(labels, list):
        raise BundleError(f"{folder}/task.json describes no task.")
    return task["task"], tuple(labels)


def run(path: str | Path) -> dict[str, Any]:
    """What `run.json` says about how the bundle came to be: adaptation, settings, versions, history."""
    folder = _folder(path)
    found, files = manifest.check(folder, kind="bundle", keep=lambda name: name.endswith(".json"))
    _supported(found, path)
    return _run(_migrated(files, found.schema_version), str(folder))


def exports(path: str | Path) -> tuple[Export, ...]:
    """The exports beside a bundle, each verified, with whether it was made from this very bundle.

    Raises:
        BundleError: a file of the bundle or of an export is changed, missing or extra.
    """
    current = verify(path).hash
    found = []
    for folder in _export_folders(Path(path).expanduser()):
        _, files = manifest.check(folder, kind="export", keep=lambda name: name == "parity.json")
        parity = parse_json(files.get("parity.json", b"{}"), str(folder / "parity.json"))
        origin = parity.get("bundle_hash")
        found.append(Export(folder.name, folder, origin, origin != current, parity))
    return tuple(found)


def _contents(task: Task, run: Mapping[str, Any], is_thin: bool, base: LoadBase | None) -> Files:
    values = weights.arrays(stages.addresses(task.components))
    files = _described(task) | {
        "architecture.json": architecture.to_json(task.model),
        "run.json": _json(dict(run), "run"),
    }
    if is_thin:
        values, files["base.json"] = thin_weights.split(task, values, base)
    return files | {"weights.safetensors": weights.to_bytes(values)}


def _described(task: Task) -> Files:
    """The files that say what the task is, apart from its weights."""
    return {
        "task.json": _json({"task": type(task).__name__, "config": task.config()}, "task.config()"),
        "labels.json": _json(list(task.labels), "labels"),
    } | {f"assets/{name}": content for name, content in task.preprocessor.assets().items()}


def _task(files: Files, where: str, base: LoadBase | None) -> Task:
    for name in ("task.json", "architecture.json", "labels.json", "weights.safetensors"):
        if name not in files:
            raise BundleError(f"{where}: {name!r} is missing.")
    values = weights.from_bytes(files["weights.safetensors"], f"{where}/weights.safetensors")
    if "base.json" in files:
        values |= thin_weights.restore(files["base.json"], f"{where}/base.json", base)
    room = sum(value.nbytes for value in values.values())
    model = architecture.from_json(files["architecture.json"], f"{where}/architecture.json", room=room)
    description = parse_json(files["task.json"], f"{where}/task.json")
    if not isinstance(description, dict) or set(description) != {"task", "config"}:
        raise BundleError(f"{where}/task.json describes no task.")
    assets = {name.removeprefix("assets/"): data for name, data in files.items() if name.startswith("assets/")}
    try:
        task = task_class(description["task"]).restore(model, description["config"], assets)
    except TfverticalError:
        raise
    except Exception as error:  # a configuration may lack anything, or hold anything in its place
        raise BundleError(
            f"{where}: task.json does not describe this model.", received=f"{type(error).__name__}: {error}"
        ) from error
    weights.assign(stages.addresses(task.components), values, f"{where}/weights.safetensors")
    task.run, task.report = _run(files, where), _report(files, where)
    if list(task.labels) != parse_json(files["labels.json"], f"{where}/labels.json"):
        raise BundleError(f"{where}: labels.json and task.json name different labels.")
    return task


def _run(files: Files, where: str) -> dict[str, Any]:
    content = parse_json(files.get("run.json", b"{}"), f"{where}/run.json")
    if not isinstance(content, dict):
        raise BundleError(f"{where}/run.json describes no run.")
    return content


def _report(files: Files, where: str) -> Evaluation | None:
    """The report, or None where there is none, or one of another version: no reason not to load what it measured."""
    with contextlib.suppress(BundleError):
        return Evaluation.read(files[_REPORT], f"{where}/{_REPORT}") if _REPORT in files else None
    return None


def task_class(name: str) -> type[Task]:
    """The class called `name` in `tasks/`."""
    found: type[Task] = Registry("tasks").get(name)
    return found


def _supported(found: Manifest, path: str | Path) -> Manifest:
    oldest = min([SCHEMA_VERSION, *MIGRATIONS])
    if found.schema_version > SCHEMA_VERSION:
        raise BundleError(
            f"{path} was written by a newer tfvertical.",
            expected=f"schema version {SCHEMA_VERSION} or older",
            received=str(found.schema_version),
            fix="pip install --upgrade tfvertical",
        )
    if found.schema_version < oldest:
        raise BundleError(
            f"{path} has schema version {found.schema_version}.", expected=f"{oldest} to {SCHEMA_VERSION}"
        )
    return found


def _migrated(files: Files, version: int) -> Files:
    for step in range(version, SCHEMA_VERSION):
        files = MIGRATIONS[step](files)
    return files


def _folder(path: str | Path) -> Path:
    path = Path(path).expanduser()
    folder = path / "bundle"
    if not folder.exists() and not folder.is_symlink():
        inside = (Path(path) / manifest.NAME).is_file()
        fix = f"give the folder above it, {Path(path).parent}" if inside else None
        close = [] if Path(path).exists() else nearest_paths(path)
        raise BundleError(
            f"There is no bundle at {path}.", expected="a folder that holds `bundle/`", nearest=close, fix=fix
        )
    return folder


def _export_folders(path: Path) -> list[Path]:
    parent = path / "exports"
    return sorted(f for f in parent.iterdir() if f.is_dir() and f.name[0] != ".") if parent.is_dir() else []


def _warn_of_stale_exports(path: Path, found: Manifest) -> None:
    """Cheap, for `load`: reads only what each export says about itself; `exports` verifies."""
    for folder in _export_folders(path):
        file = folder / "parity.json"
        if file.is_file() and not file.is_symlink() and file.stat().st_size < 2**20:
            try:
                origin = parse_json(file.read_bytes(), str(file)).get("bundle_hash")
            except (BundleError, AttributeError):
                continue  # a damaged export beside a sound bundle is for `exports` to say
            if origin is not None and origin != found.hash:
                warnings.warn(
                    f"{folder} was made from an earlier bundle; export again with overwrite.", StaleExportWarning, 3
                )


def _json(content: Any, what: str) -> bytes:
    try:
        return (json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    except (TypeError, ValueError) as error:
        raise BundleError(f"{what} holds what JSON has no word for: {error}.") from error
