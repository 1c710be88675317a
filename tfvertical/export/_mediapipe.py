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


def described(model: bytes, task: Task, label_names: Mapping[str, Sequence[str]]) -> bytes:
    """The file with metadata; unchanged where MediaPipe has no such preprocessing.

    MediaPipe reads BERT models of exactly three int32 inputs, told apart by the metadata's names, and pictures that
    it stretches to the model's size.

    Raises:
        ConfigError: other names than the task has labels.
    """
    names = {"": tuple(task.labels)} | {locale: tuple(names) for locale, names in label_names.items()}
    for locale, of_locale in names.items():
        if len(of_locale) != len(task.labels):
            raise ConfigError(
                f"label_names[{locale!r}].", expected=f"{len(task.labels)} names", received=f"{len(of_locale)}"
            )
    label_files = {locale: f"labels_{locale}.txt" if locale else "labels.txt" for locale in names}
    files = {label_files[locale]: "".join(f"{name}\n" for name in names[locale]).encode() for locale in names}
    preprocessor, title = task.preprocessor, type(task).__name__
    order = roles(model, SIGNATURE)
    if reads_words(preprocessor) and set(order) == set(_ROLES):
        metadata = _metadata.text_classifier(title, [_ROLES[name] for name in order], label_files)
        files["vocab.txt"] = preprocessor.assets()["vocab.txt"]
    elif type(preprocessor).__name__ == "KerasImagePreprocessor":
        whole = contents(model).inputs[0].dtype == "UINT8"
        height, width = preprocessor.config()["size"]
        mean, std = ((), ()) if whole else ((0.0,), (1.0,))
        metadata = _metadata.image_classifier(title, (height, width), mean, std, label_files)
    else:
        return model
    return _metadata.attach(model, metadata, files)
