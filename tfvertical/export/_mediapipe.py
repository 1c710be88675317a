"""Which metadata a task's TFLite file gets, if its preprocessing is one that MediaPipe Tasks can do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tfvertical.contracts import Task
from tfvertical.errors import ConfigError
from tfvertical.export import _metadata
from tfvertical.export._convert import SIGNATURE
from tfvertical.export._handover import reads_words
from tfvertical.runtime.contents import contents, roles

_ROLES = {"token_ids": "ids", "padding_mask": "mask", "segment_ids": "segment_ids"}


def check(task: Task, label_names: Mapping[str, Sequence[str]]) -> None:
    """Say that label names in other languages cannot stand in the file, before a minute of conversion.

    Raises:
        ConfigError: other names than the task has labels, names that do not fit on a line, or no metadata to hold them.
    """
    if label_names and not supported(task):
        raise ConfigError(
            "`label_names` stands in MediaPipe's metadata, and MediaPipe cannot make this model's inputs.",
            fix="leave it out",
        )
    for locale, names in label_names.items():
        where = f"label_names[{locale!r}]"
        if not locale or not locale.replace("-", "").replace("_", "").isalnum():
            raise ConfigError(f"{where}: no locale.", expected="a language, such as 'de' or 'pt-BR'")
        if isinstance(names, str) or len(names) != len(task.labels):
            received = "text" if isinstance(names, str) else f"{len(names)}"
            raise ConfigError(f"{where}.", expected=f"{len(task.labels)} names", received=received)
        for name in names:
            if not name or name.splitlines() != [name]:
                raise ConfigError(f"{where}: {name!r} does not fit on a line.", fix="rename it")


def supported(task: Task, output: str = "scores") -> bool:
    """Whether MediaPipe can make the model's inputs, and has a task for its output.

    It lower-cases every text and splits Chinese into characters; what an embedding is learned for is nothing to it.
    """
    preprocessor = task.preprocessor
    if (output == "scores" and task.target != "label") or task.items == "pair":
        return False
    if reads_words(preprocessor):
        config = preprocessor.config()
        return bool(config["lowercase"] and config["cjk"] and set(config["inputs"]) == set(_ROLES))
    return type(preprocessor).__name__ == "KerasImagePreprocessor"


def described(model: bytes, task: Task, output: str, label_names: Mapping[str, Sequence[str]]) -> bytes:
    """The file with metadata; unchanged where MediaPipe has no such preprocessing.

    MediaPipe reads BERT models of exactly three int32 inputs, told apart by the metadata's names, and pictures that
    it stretches to the model's size.

    Args:
        model: as it was converted.
        task: whose it is.
        output: `scores` or `embedding`.
        label_names: as `check` has found them right.
    """
    if not supported(task, output):
        return model
    files, given = {}, _metadata.embedding()
    if output == "scores":
        names = {"": tuple(task.labels)} | {locale: tuple(names) for locale, names in label_names.items()}
        label_files = {locale: f"labels_{locale}.txt" if locale else "labels.txt" for locale in names}
        files = {label_files[locale]: "".join(f"{name}\n" for name in names[locale]).encode() for locale in names}
        given = _metadata.scores(label_files)
    preprocessor, title = task.preprocessor, type(task).__name__
    if preprocessor.kind == "text":
        order = roles(model, SIGNATURE)
        if set(order) != set(_ROLES):  # the converter has dropped one that does nothing
            return model
        metadata = _metadata.text(title, [_ROLES[name] for name in order], given)
        files["vocab.txt"] = preprocessor.assets()["vocab.txt"]
    else:
        whole = contents(model).inputs[0].dtype == "UINT8"
        height, width = preprocessor.config()["size"]
        mean, std = ((), ()) if whole else ((0.0,), (1.0,))
        metadata = _metadata.image(title, (height, width), mean, std, given)
    return _metadata.attach(model, metadata, files)
