"""The run file as text, commented, checked like any other before it is written."""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvertical import config
from tfvertical.drafting.choose import Choice, choose
from tfvertical.errors import ConfigError
from tfvertical.files import check_place, write_text
from tfvertical.runfiles import runfile

_PRESETS = {"Image": "efficientnet_lite0"}
_PLAIN = re.compile(r"/?(?:\.{1,2}/)*[A-Za-z_][\w./-]*(?: [\w./-]+)*")
_WORDS = ("true", "false", "yes", "no", "on", "off", "null", "y", "n")
_SHARE = 0.15  # of the rows for validation, and for the test
_JUDGES = 100  # validation rows that tell what a lower precision loses
_WHOLE = ("TokenClassifier", "ExtractiveQA")  # whose heads alone say little: every weight learns
_FROZEN = "Frozen                # the head alone, minutes; then try GradualUnfreezing, see docs/adaptations.md"


def draft(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    text: str | Sequence[str] = (),
    label: str | None = None,
    overwrite: bool = False,
) -> list[str]:
    """Write a run file for the data at `path`.

    Args:
        path: a table, a CoNLL or SQuAD file, or a folder of pictures.
        out: the run file.
        text: column of the text, or both of a pair, as a list or `first,second`; found where not given.
        label: column of the label; found where not given.
        overwrite: replace a file that stands there.

    Returns:
        What was seen and chosen, a line each; the last one says so where rows cannot be used and will end the run.

    Raises:
        BundleError: the file cannot be written there.
        ConfigError: the file exists, or is the data; or columns are named of data that have none.
        DataError: nothing can be read, or it does not say what is to be learned.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> with TemporaryDirectory() as folder:
        ...     rows = "".join(f"text {at},{'ab'[at % 2]}\\n" for at in range(20))
        ...     _ = (Path(folder) / "posts.csv").write_text("post,topic\\n" + rows)
        ...     draft(Path(folder) / "posts.csv", Path(folder) / "run.yaml")[-1]
        'task: TextClassifier'
    """
    out = Path(out)
    check_place(out.parent)
    if out.exists() and os.path.exists(path) and os.path.samefile(path, out):
        raise ConfigError(f"The run file would take the place of the data, {out}.", fix="name another with --out")
    if out.exists() and not overwrite:
        raise ConfigError(f"{out} exists.", fix="name another with --out, or replace it with --overwrite")
    choice = choose(Path(path), text, label)
    out.resolve().parent.mkdir(parents=True, exist_ok=True)
    written = content(choice, out)
    config.build(runfile.parse(written, out.name), out.resolve().parent)
    write_text(out, written)
    end = f"policy: raise: {_lost(choice)} the run; mend what is told above, or say --set data.policy=skip"
    return [*choice.seen, f"task: {choice.task}", *([end] if choice.lost else [])]


def content(choice: Choice, out: Path) -> str:
    """The run file's text; paths are taken from its own folder."""
    preset = next((preset for kind, preset in _PRESETS.items() if choice.task.startswith(kind)), "minilm_l6_v2")
    whole = choice.task in _WHOLE
    # of `seen`, lines below another quote rows: those are for the terminal, not for a file that is handed on
    texts, home = preset == "minilm_l6_v2", out.resolve().parent
    lines = [
        *(
            f"# {''.join(each if each.isprintable() else '?' for each in line)}"
            for line in choice.seen
            if line[0] != " "
        ),
        f"#   {command(Path(out.name))}",
        "",
        "task:",
        f"  name: {choice.task}",
        f"  preset: {preset}"
        + ("   # English, without capitals; others: `tfvertical presets list --hub`" if texts else ""),
        *_lines(choice.options),
        "",
        "data:",
        *_lines({part: os.path.relpath(source.resolve(), home) for part, source in choice.sources.items()}),
        *_lines(choice.columns),
    ]
    if choice.uneven and choice.task.endswith("Classifier"):
        lines.append("  class_weight: balanced   # some labels are ten times as frequent as others")
    if missing := [part for part in ("validation", "test") if part not in choice.sources]:
        shares = {"train": 1 - _SHARE * len(missing)} | dict.fromkeys(missing, _SHARE)
        ends = (
            f"{_lost(choice)} the run: mend {'it' if choice.lost == 1 else 'them'}"
            if choice.lost
            else "rows that cannot be used end the run"
        )
        lines += [
            f"  policy: raise            # {ends}; or skip, or quarantine them in a file",
            "  # group: patient         # rows of one patient, customer or machine must not be told apart by the split",
            "  split:",
            f"    fractions: {{{', '.join(f'{part}: {share:g}' for part, share in shares.items())}}}",
            "    seed: 0",
        ]
    rates = {"epochs": 4, "batch_size": 16, "learning_rate": 1e-4} if whole else {"epochs": 20, "learning_rate": 3e-3}
    lines += [
        "",
        "adaptation:",
        "  name: " + ("FullFineTuning" if whole else _FROZEN),
        *(["  backbone_rate: 1.0"] if whole else []),
        "",
        "training:",
        *_lines(rates),
        "",
        "export:",
        "  - {format: litert}        # for phones; with more validation data `precision: auto`, a quarter of the size"
        if choice.rows and _SHARE * choice.rows < _JUDGES
        else "  - {format: litert, precision: auto}   # for phones; refused where it loses more than 0.01",
    ]
    return "\n".join(lines) + "\n"


def command(out: Path) -> str:
    """What trains the run file, to be pasted into a shell."""
    return shlex.join(["tfvertical", "train", str(out), "--out", f"saved_models/{out.stem}"])


def _lost(choice: Choice) -> str:
    rows, ends = ("row", "ends") if choice.lost == 1 else ("rows", "end")
    return f"{choice.lost:,} {rows}, which cannot be used, {ends}"


def _lines(values: Mapping[str, Any]) -> list[str]:
    return [f"  {name}: {_scalar(value)}" for name, value in values.items()]


def _scalar(value: Any) -> str:
    """YAML of a value; a text stands bare where no reader of YAML can take it for anything else."""
    if isinstance(value, list):
        return "[" + ", ".join(map(_scalar, value)) + "]"
    if isinstance(value, float):
        return f"{value:.1e}"
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS:
        return value
    return json.dumps(value, ensure_ascii=not str(value).isprintable())
