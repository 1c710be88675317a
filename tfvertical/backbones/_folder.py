"""A folder to a `Backbone`: the one road that all sources of KerasHub's kind take once the files are there."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tfvertical import files, installed
from tfvertical.backbones import _blocks, _vocabulary
from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
from tfvertical.contracts import Backbone, SourceInfo, TextPreprocessor
from tfvertical.errors import ConfigError, PresetError, nearest

if TYPE_CHECKING:
    import keras

LONGEST = 512  # tokens; the length where a preset names none
_TEXT_INPUTS = {"token_ids", "padding_mask", "segment_ids"}
_HOLDS = (
    "a KerasHub preset (config.json, model.weights.h5, …) or a Hugging Face model (config.json, model.safetensors, …)"
)


def load(
    folder: Path, *, preset: str, kind: str, weights: bool, licence: str | None = None, **options: Any
) -> Backbone:
    """The backbone in `folder`.

    Args:
        folder: a KerasHub preset, or a Hugging Face model with safetensors weights.
        preset, kind, licence: what `SourceInfo` shall say.
        weights: False leaves the random initial weights.
        options: for texts `length`, most tokens a sequence may have.

    Raises:
        PresetError: the folder is not what it should be, or damaged.
    """
    config = checked(folder, weights)
    hub = _build(folder, weights)
    source = SourceInfo(preset, kind, versions(), weights_digest(folder, hub, weights), licence)
    names = list(hub.input) if isinstance(hub.input, Mapping) else []
    if "token_ids" in names and set(names) <= _TEXT_INPUTS:
        return _text(hub, folder, config, source, options)
    from tfvertical.backbones import _hub_images

    return _hub_images.load(hub, folder, source, options)


def checked(folder: Path, weights: bool) -> dict[str, Any]:
    """The folder's `config.json`, once it is clear that a model is there. Raises PresetError."""
    if not folder.is_dir():
        raise PresetError(f"There is no folder {folder}.", expected=_HOLDS)
    config = _vocabulary.read_json(folder / "config.json")
    if not {"registered_name", "model_type", "architecture"} & set(config):
        found = sorted(path.name for path in folder.iterdir())[:10]
        raise PresetError(f"{folder} holds no model.", expected=_HOLDS, received=", ".join(found) or "an empty folder")
    if weights and not _weight_files(folder):
        raise PresetError(
            f"{folder} has no weights that can be read.",
            expected="*.safetensors or *.weights.h5 (pickled .bin files are never opened)",
            fix="save the model again with safe serialization, or load it with weights=False",
        )
    return config


def _build(folder: Path, weights: bool) -> keras.Model:
    import keras_hub

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return keras_hub.models.Backbone.from_preset(str(folder.absolute()), load_weights=weights)
    except Exception as error:  # KerasHub, Keras, h5py and safetensors raise all kinds over what may be any damage
        text = " ".join(str(error).split())
        raise PresetError(f"{folder} could not be loaded.", received=f"{type(error).__name__}: {text[:500]}") from error


def _text(
    hub: keras.Model, folder: Path, config: Mapping[str, Any], source: SourceInfo, options: dict[str, Any]
) -> Backbone:
    import keras

    for option in options:
        if option != "length":
            raise ConfigError(
                f"Text backbones have no option {option!r}.", expected="length", nearest=nearest(option, ["length"])
            )
    output = hub.output["sequence_output"] if isinstance(hub.output, Mapping) else hub.output
    model = keras.Model(hub.input, output, name="text")
    length = _length(hub, folder, options.get("length"), source.preset)
    preprocessor = _preprocessor(folder, config, length, tuple(hub.input))
    return Backbone(model, preprocessor, _blocks.text_blocks(model), source)


def _length(hub: keras.Model, folder: Path, asked: int | None, preset: str) -> int:
    """What was asked for; else what the preset was trained with, if it says so."""
    most = getattr(hub, "max_sequence_length", None)
    if asked is not None:
        if not 3 <= asked <= (most or asked):
            raise PresetError(
                f"{preset}: a length of {asked} tokens.", expected=f"3 to {most or 'any number of'} tokens"
            )
        return asked
    trained = _vocabulary.read_json(folder / "sentence_bert_config.json").get("max_seq_length")
    return min(LONGEST, most or LONGEST, trained or LONGEST)


def _preprocessor(folder: Path, config: Mapping[str, Any], length: int, names: tuple[str, ...]) -> TextPreprocessor:
    import keras_hub

    if config.get("model_type") in ("bert", "distilbert", "electra"):
        tokenizer_class = _vocabulary.read_json(folder / "tokenizer_config.json").get("tokenizer_class", "")
        if "XLMRoberta" not in tokenizer_class:  # multilingual models with the body of BERT and other pieces
            return WordPiecePreprocessor(*_vocabulary.of_folder(folder), length, names)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tokenizer = keras_hub.models.Tokenizer.from_preset(str(folder.absolute()))
    except Exception as error:
        text = " ".join(str(error).split())
        raise PresetError(
            f"{folder} has no tokenizer that can be read.", received=f"{type(error).__name__}: {text[:500]}"
        ) from error
    brackets = {"[CLS]", "[SEP]", "[PAD]", "[UNK]"}
    if isinstance(tokenizer, keras_hub.tokenizers.WordPieceTokenizer) and brackets <= set(tokenizer.get_vocabulary()):
        return WordPiecePreprocessor(*_vocabulary.of_tokenizer(tokenizer), length, names)
    from tfvertical.backbones._text_preprocessor_hub import HubTextPreprocessor

    return HubTextPreprocessor(tokenizer, length, names)


def _weight_files(folder: Path) -> list[Path]:
    return sorted([*folder.glob("*.safetensors"), *folder.glob("*.weights.h5")])


def weights_digest(folder: Path, model: keras.Model, weights: bool = True) -> str:
    """SHA-256 of the weights' file; of the list of files if there are several; of the arrays if they are random."""
    if not weights:
        total = hashlib.sha256()
        for variable in model.weights:
            total.update(variable.path.encode() + b"\0" + variable.numpy().tobytes())
        return total.hexdigest()
    digests = {path.name: files.sha256(path) for path in _weight_files(folder)}
    if len(digests) == 1:
        return next(iter(digests.values()))
    return hashlib.sha256(json.dumps(digests, sort_keys=True).encode()).hexdigest()


def versions() -> dict[str, str]:
    """What built the model: package -> version."""
    return installed.versions("tensorflow", "keras", "keras-hub")
