"""What a Hugging Face folder or a KerasHub tokenizer says about WordPiece: the pieces, and what precedes them."""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tfvertical.codecs.text import Normalizer
from tfvertical.errors import PresetError


def read_json(path: Path) -> dict[str, Any]:
    """The file's JSON object; empty where there is no such file.

    Raises:
        PresetError: the file is damaged.
    """
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise PresetError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(content, dict):
        raise PresetError(f"{path} holds no JSON object.", received=type(content).__name__)
    return content


def of_folder(folder: Path) -> tuple[list[str], Normalizer]:
    """Pieces and normalizer of a Hugging Face folder with `vocab.txt` or a WordPiece `tokenizer.json`.

    Raises:
        PresetError: the folder has neither.
    """
    options = read_json(folder / "tokenizer_config.json")
    fast = read_json(folder / "tokenizer.json")
    if (folder / "vocab.txt").is_file():
        with open(folder / "vocab.txt", encoding="utf-8") as file:
            pieces = [line.rstrip() for line in file]
    elif fast.get("model", {}).get("type") == "WordPiece":
        pieces = _ordered(fast["model"]["vocab"], folder)
    else:
        raise PresetError(
            f"{folder} has no WordPiece vocabulary.", expected="vocab.txt, or tokenizer.json of WordPiece"
        )
    rules = fast.get("normalizer") or {}
    lowercase = options.get("do_lower_case", rules.get("lowercase", True))
    strip = options.get("strip_accents", rules.get("strip_accents"))
    cjk = options.get("tokenize_chinese_chars", rules.get("handle_chinese_chars", True))
    return pieces, Normalizer(bool(lowercase), bool(lowercase if strip is None else strip), words=True, cjk=bool(cjk))


def of_tokenizer(tokenizer: Any) -> tuple[list[str], Normalizer]:
    """Pieces and normalizer of a KerasHub WordPiece tokenizer.

    KerasHub does not say whether an uncased vocabulary was made from texts without accents. Where no piece has an
    accent, it was: otherwise every word with one would be unknown.
    """
    pieces = list(tokenizer.get_vocabulary())
    strip = tokenizer.strip_accents or (tokenizer.lowercase and not _has_accents(pieces))
    return pieces, Normalizer(tokenizer.lowercase, bool(strip), words=True, cjk=tokenizer.split_on_cjk)


def _has_accents(pieces: Sequence[str]) -> bool:
    words = (unicodedata.normalize("NFD", piece) for piece in pieces if len(piece) > 1)
    return any(unicodedata.category(character) == "Mn" for word in words for character in word)


def _ordered(ids: Mapping[str, int], folder: Path) -> list[str]:
    pieces = sorted(ids, key=lambda piece: ids[piece])
    if [ids[piece] for piece in pieces] != list(range(len(pieces))):
        raise PresetError(f"{folder / 'tokenizer.json'}: the ids of the vocabulary are not 0 to {len(pieces) - 1}.")
    return pieces
