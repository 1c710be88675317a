"""The pictures of a report, as SVG: its colours come from the page, and the letters of any script from the reader."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from tfvertical.reporting.terminal import printable

_PAD = 44  # pixels left of and below a square plot, for its axis
_SIDE = 260  # pixels of a square plot
_CHARACTERS = 32  # of a label before it is cut


def _svg(width: float, height: float, title: str, *content: Markup) -> Markup:
    body = Markup("").join(content)
    return Markup('<svg viewBox="0 0 {:g} {:g}" width="{:g}" role="img" aria-label="{}">{}</svg>').format(
        width, height, width, title, body
    )


def _text(x: float, y: float, text: Any, anchor: str = "start", kind: str = "", turn: int = 0) -> Markup:
    turned = Markup(' transform="rotate({} {:g} {:g})"').format(turn, x, y) if turn else Markup("")
    return Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" class="{}"{}>{}</text>').format(
        x, y, anchor, kind, turned, printable(str(text))
    )


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}" class="{}"/>').format(x1, y1, x2, y2, kind)


def _rect(x: float, y: float, width: float, height: float, kind: str, tip: str = "", opacity: float = 1) -> Markup:
    shape = Markup(
        '<rect x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" class="{}" fill-opacity="{:.2f}">'
    ).format(x, y, max(width, 0), max(height, 0), kind, opacity)
    return shape + Markup("<title>{}</title></rect>").format(tip)


def _path(points: Sequence[tuple[float, float]], kind: str) -> Markup:
    return Markup('<polyline points="{}" class="{}"/>').format(" ".join(f"{x:.1f},{y:.1f}" for x, y in points), kind)


def _cut(label: str) -> str:
    return label if len(label) <= _CHARACTERS else label[: _CHARACTERS - 1] + "…"


def _width(label: str) -> float:
    """About how many pixels a label takes; East Asian letters are twice as wide."""
    return 6.6 * sum(2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in _cut(label))


def _square(x_name: str, y_name: str) -> Markup:
    """Axes from 0 to 1 with a grid, 10 pixels below the top."""
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x, y = _at(tick, tick)
        parts += [_line(_PAD, y, _PAD + _SIDE, y, "grid"), _line(x, 10, x, 10 + _SIDE, "grid")]
        parts += [
            _text(_PAD - 6, y + 4, f"{tick:g}", "end", "tick"),
            _text(x, _SIDE + 25, f"{tick:g}", "middle", "tick"),
        ]
    parts.append(_text(_PAD + _SIDE / 2, _SIDE + 43, x_name, "middle", "axis"))
    parts.append(_text(11, 10 + _SIDE / 2, y_name, "middle", "axis", turn=-90))
    return Markup("").join(parts)


def _at(x: float, y: float) -> tuple[float, float]:
    return _PAD + x * _SIDE, 10 + (1 - y) * _SIDE


def reliability(bins: Sequence[Mapping[str, float]]) -> Markup:
    """How often rows of a score are right, against that score; below, how many rows have it."""
    parts = [_square("score of the predicted label", "share that is right")]
    most = max(b["count"] for b in bins)
    base = _SIDE + 112
    for b in bins:
        x, top = _at(b["low"], b["accuracy"])
        wide = (b["high"] - b["low"]) * _SIDE - 1.5
        tip = f"{b['count']:,} rows with scores {b['low']:.2f}–{b['high']:.2f}: {b['accuracy']:.1%} right"
        parts.append(_rect(x, top, wide, b["accuracy"] * _SIDE, "bar", tip))
        tall = 50 * b["count"] / most
        parts.append(_rect(x, base - tall, wide, tall, "bar quiet", tip))
    parts.append(_line(*_at(0, 0), *_at(1, 1), "ideal"))
    parts += [_line(_PAD, base, _PAD + _SIDE, base, "grid"), _text(_PAD - 6, base - 20, "rows", "end", "tick")]
    return _svg(_PAD + _SIDE + 12, base + 4, "Reliability diagram", *parts)


def lines(curves: Sequence[tuple[str, Sequence[float], Sequence[float], float]], x_name: str, y_name: str) -> Markup:
    """Curves in the unit square with their areas in a legend; the first is drawn strongest."""
    parts = [_square(x_name, y_name)]
    legend = _SIDE + 66
    for i, (label, xs, ys, area) in reversed(list(enumerate(curves))):
        kind = f"curve c{i % 7}"
        parts.append(_path([_at(x, y) for x, y in zip(xs, ys, strict=True)], kind))
        y = legend + 17 * i
        parts += [
            _line(_PAD, y - 4, _PAD + 18, y - 4, kind),
            _text(_PAD + 25, y, f"{area:.3f}  {_cut(label)}", kind="tick"),
        ]
    return _svg(_PAD + _SIDE + 12, legend + 17 * len(curves), f"{y_name} against {x_name}", *parts)


def bars(rows: Sequence[tuple[str, float, float, float]]) -> Markup:
    """A bar per label from 0 to 1, with its interval: `(label, value, low, high)`."""
    left = 14 + max(_width(label) for label, *_ in rows)
    wide, step = 360.0, 22
    height = step * len(rows)
    parts = []
    for tick in (0, 0.25, 0.5, 0.75, 1):
        x = left + tick * wide
        parts += [_line(x, 4, x, height + 4, "grid"), _text(x, height + 20, f"{tick:g}", "middle", "tick")]
    for i, (label, value, low, high) in enumerate(rows):
        y = 4 + step * i
        parts.append(_text(left - 8, y + 15, _cut(label), "end", "label"))
        parts.append(_rect(left, y + 4, value * wide, step - 8, "bar", f"{label}: {value:.3f} [{low:.3f}, {high:.3f}]"))
        parts.append(_line(left + low * wide, y + step / 2, left + high * wide, y + step / 2, "whisker"))
        parts.append(_text(left + wide + 10, y + 15, f"{value:.3f}", kind="tick"))
    return _svg(left + wide + 56, height + 26, "F1 of each label", *parts)


def scatter(true: Sequence[float], found: Sequence[float], label: str) -> Markup:
    """A dot a row: the true number to the right, the told one upwards; on the dashed line both are the same."""
    low, high = min(*true, *found), max(*true, *found)
    spread = (high - low) or 1.0
    parts = []
    for share in (0, 0.25, 0.5, 0.75, 1):
        x, y = _at(share, share)
        tick = f"{low + share * spread:.3g}"
        parts += [_line(_PAD, y, _PAD + _SIDE, y, "grid"), _line(x, 10, x, 10 + _SIDE, "grid")]
        parts += [_text(_PAD - 6, y + 4, tick, "end", "tick"), _text(x, _SIDE + 25, tick, "middle", "tick")]
    parts += [_line(*_at(0, 0), *_at(1, 1), "ideal")]
    for a, b in zip(true, found, strict=True):
        x, y = _at((a - low) / spread, (b - low) / spread)
        dot = '<circle cx="{:.1f}" cy="{:.1f}" r="2.5" class="dot quiet"><title>{}</title></circle>'
        parts.append(Markup(dot).format(x, y, f"true {a:.5g}, told {b:.5g}"))
    parts.append(_text(_PAD + _SIDE / 2, _SIDE + 43, f"true {_cut(label)}", "middle", "axis"))
    parts.append(_text(8, 6, "told", "start", "axis"))
    return _svg(_PAD + _SIDE + 12, _SIDE + 50, f"{label}: told against true", *parts)


def differences(rows: Sequence[tuple[str, float, float, float]], title: str) -> Markup:
    """A dot with its interval per comparison, beside the line of no difference."""
    left = 14 + max(_width(label) for label, *_ in rows)
    wide, step = 360.0, 30
    low, high = min(0.0, *(row[2] for row in rows)), max(0.0, *(row[3] for row in rows))
    margin = 0.06 * ((high - low) or 1)
    low, high = low - margin, high + margin

    def at(value: float) -> float:
        return left + wide * (value - low) / (high - low)

    height = step * len(rows)
    parts = [_line(at(0), 0, at(0), height, "ideal"), _text(at(0), height + 14, "0", "middle", "tick")]
    for i, (label, value, lower, upper) in enumerate(rows):
        y = step * (i + 0.5)
        parts += [
            _text(left - 8, y + 4, _cut(label), "end", "label"),
            _line(at(lower), y, at(upper), y, "whisker strong"),
        ]
        parts.append(Markup('<circle cx="{:.1f}" cy="{:.1f}" r="5" class="dot"/>').format(at(value), y))
        parts.append(_text(left + wide + 10, y + 4, f"{value:+.3f}", kind="tick"))
    return _svg(left + wide + 60, height + 22, title, *parts)


def confusion(counts: Sequence[Sequence[int]], labels: Sequence[str], totals: Sequence[int]) -> Markup:
    """Each cell's shade is its share of the true label's rows, `totals`; hits and errors differ in colour."""
    size = 58 if len(labels) <= 8 else 34 if len(labels) <= 16 else 27
    left = 30 + max(_width(label) for label in labels)
    top = 12 + max(_width(label) for label in labels) * 0.72
    side = size * len(labels)
    parts = []
    for i, row in enumerate(counts):
        parts.append(_text(left - 8, top + size * (i + 0.5) + 4, _cut(labels[i]), "end", "label"))
        parts.append(_text(left + size * (i + 0.5), top - 8, _cut(labels[i]), "start", "label", turn=-45))
        for j, count in enumerate(row):
            share = count / totals[i] if totals[i] else 0.0
            x, y = left + size * j, top + size * i
            tip = f"{labels[i]} predicted as {labels[j]}: {count:,} rows, {share:.1%}"
            parts.append(_rect(x, y, size - 1, size - 1, "empty", tip))
            if count:
                kind = "hit" if i == j else "miss"
                parts.append(_rect(x, y, size - 1, size - 1, kind, tip, 0.12 + 0.88 * math.sqrt(share)))
                bright = "cell bright" if share > 0.35 else "cell"
                parts.append(
                    _text(
                        x + size / 2, y + size / 2 + 4, f"{count:,}" if size > 50 else _short(count), "middle", bright
                    )
                )
    parts.append(_text(11, top + side / 2, "true", "middle", "axis", turn=-90))
    parts.append(_text(left + side / 2, top + side + 20, "predicted", "middle", "axis"))
    return _svg(left + side + 0.72 * _width(labels[-1]) + 6, top + side + 28, "Confusion matrix", *parts)


def _short(count: int) -> str:
    return str(count) if count < 1000 else f"{count / 1000:.1f}k" if count < 10_000 else f"{count // 1000}k"


def history(curves: Mapping[str, Sequence[float | None]], quantity: str) -> Markup:
    """One quantity over the epochs, training and validation."""
    wide, tall, left = 300.0, 170.0, 56
    values = [value for curve in curves.values() for value in curve if value is not None]
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    spread = (high - low) or 1.0
    epochs = max(map(len, curves.values()))

    def at(epoch: int, value: float) -> tuple[float, float]:
        return left + wide * epoch / (epochs - 1), 10 + tall * (1 - (value - low) / spread)

    parts = []
    for share in (0, 0.5, 1):
        y = 10 + tall * (1 - share)
        parts += [
            _line(left, y, left + wide, y, "grid"),
            _text(left - 6, y + 4, f"{low + share * spread:.3g}", "end", "tick"),
        ]
    parts += [_text(left, tall + 26, 1, "middle", "tick"), _text(left + wide, tall + 26, epochs, "middle", "tick")]
    parts.append(_text(left + wide / 2, tall + 26, "epoch", "middle", "axis"))
    for i, (who, curve) in enumerate(curves.items()):
        parts.append(_path([at(e, value) for e, value in enumerate(curve) if value is not None], f"curve c{i}"))
        x = left + 110 * i
        parts += [_line(x, tall + 44, x + 18, tall + 44, f"curve c{i}"), _text(x + 25, tall + 48, who, kind="tick")]
    return _svg(left + wide + 14, tall + 54, f"{quantity} by epoch", *parts)
