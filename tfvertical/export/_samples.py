"""Inputs that every export is tried on: texts of many scripts and kinds, and drawn pictures of many shapes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np

from tfvertical.codecs.pairs import Pair

TEXTS = (
    "",
    "a",
    "The card never arrived.",
    "THE CARD NEVER ARRIVED!!!",
    "Why was I charged £3.50 (twice) on 2024-02-29? https://example.org/?a=b&c=%20d #card @bank",
    "tabs\tand\nlines\r\nand   spaces\u00a0here",
    "Caf\u00e9, na\u00efve, Stra\u00dfe, \u0130stanbul, e\u0301 as two characters",
    "Карта так и не пришла.",
    "البطاقة لم تصل بعد",
    "カードがまだ届きません。卡还没到",
    "कार्ड अभी तक नहीं आया",
    "𝒜 \uff26\uff55\uff4c\uff4c\uff57\uff49\uff44\uff54\uff48 \U0001f469\u200d\U0001f467 \U0001f6a8\u2764\ufe0f",
    "ΟΔΥΣΣΕΥΣ, Οδυσσεύς; literal [SEP] and [MASK] and ##s",
    "zero\u200bwidth\ufeff and control\x07 characters\u0000 here",
    "unbelievablylongwordthatnovocabularyhas" * 8,
    "A long complaint about a card that was stolen. " * 60,
)

_MORE = (
    " ",
    "\u3000\u2003\u2028",
    "\u0000",
    "...",
    "!?!?",
    "##",
    "[CLS]",
    "[PAD] [UNK]",
    "12345678901234567890",
    "3.14159 and 1,000,000.00",
    "e-mail: someone.else@example.org",
    "C++ & C# are < languages >",
    "don't can't won't",
    "“quotes” ‘single’ — dash … dots",
    "x" * 99,
    "x" * 100,
    "x" * 101,
    "é" * 50,
    "é" * 51,
    "Ⅷ ① ½ ² ™ © ®",
    "\u01c4 \u01c5 \u01c6 \ufb01 \ufb03",
    "Å Å Å",
    "a\u0301\u0302\u0303\u0304 stacked",
    "한국어 문장입니다",
    "ภาษาไทยไม่มีช่องว่าง",
    "שלום עולם",
    "\u202eright to left override\u202c",
    "Ελληνικά σίγμα τελικό ς",
    "İIıi Turkish dots",
    "ẞ ß SS ss",
    "中文字符没有空格",
    "𠀀𠀁 rare Han",
    "\U0001f1e9\U0001f1ea \U0001f3f4\U000e0067\U000e0062\U000e007f flags",
    "\ue000 private \uffff not a character",
    "soft\u00adhyphen and non\u2011breaking",
    "a\u200cb\u200dc joiners",
    "new\u0085line \u2029 paragraph",
    "MiXeD CaSe WoRdS",
    "   leading and trailing   ",
    "one",
)

_SHAPES = ((224, 224), (480, 640), (333, 97), (32, 32), (601, 700))


def texts() -> list[str]:
    """More than fifty, edge cases of Unicode among them."""
    return [*TEXTS, *_MORE]


def pairs(items: Sequence[str]) -> list[Pair]:
    """Each text beside another, so that long stand beside short ones."""
    return [Pair(*each) for each in zip(items, reversed(items), strict=True)]


def many(items: str) -> list[Any]:
    """More than fifty: texts, pictures or pairs."""
    return pictures() if items == "image" else pairs(texts()) if items == "pair" else list(texts())


def pictures() -> list[bytes]:
    """Fifty small PNG files: gradients, noise and edges, of many shapes."""
    draw = np.random.default_rng(0)
    return [picture(*(int(size) for size in draw.integers(1, 72, 2))) for _ in range(50)]


def large_pictures() -> list[bytes]:
    """Five PNG files of ordinary sizes."""
    return [picture(*shape) for shape in _SHAPES]


def transparent_pictures() -> list[bytes]:
    """What decoders differ on: a WebP and a GIF with transparency."""
    from PIL import Image

    drawn, webp, gif = Image.open(io.BytesIO(picture(97, 120))), io.BytesIO(), io.BytesIO()
    faded = drawn.copy()
    faded.putalpha(drawn.convert("L"))
    faded.save(webp, "WEBP", lossless=True)
    drawn.quantize(16).save(gif, "GIF", transparency=1)
    return [webp.getvalue(), gif.getvalue()]


def picture(height: int, width: int) -> bytes:
    """A PNG with edges, a gradient and noise, always the same for its size."""
    from PIL import Image

    draw = np.random.default_rng([height, width])
    rows, columns = np.mgrid[0:height, 0:width]
    smooth = np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1)
    noise = draw.integers(0, 256, (height, width, 3))
    edges = ((rows // 16 + columns // 16) % 2 * 255)[..., None]
    drawn = np.where(columns[..., None] < width // 3, smooth, np.where(columns[..., None] < width // 2, noise, edges))
    content = io.BytesIO()
    Image.fromarray(drawn.astype(np.uint8)).save(content, "PNG")
    return content.getvalue()
