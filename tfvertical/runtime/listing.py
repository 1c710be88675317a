"""What a TFLite file holds, in lines for a person. Its strings are anybody's: none of them can move the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tfvertical.runtime.contents import Contents, Quantization, Tensor

_MOST = 200  # characters of a string
_NAME = re.compile(r"[\w.:/-]+")


def lines(found: Contents, *, tensors: bool = False) -> Iterator[str]:
    """The lines of `tfvertical inspect`.

    Args:
        found: `contents(path)`.
        tensors: list every tensor too.
    """
    yield from _named("inputs", found.inputs)
    yield from _named("outputs", found.outputs)
    for key, (inputs, outputs) in found.signatures.items():
        yield f"signature {_shown(key)}: {_list(inputs)} -> {_list(outputs)}"
    yield "operators: " + ", ".join(f"{_operator(name)} x{count}" for name, count in found.operators.items())
    yield (
        f"custom operators: {', '.join(map(_operator, found.custom))}: a phone needs them built in"
        if found.custom
        else ("custom operators: none, the file runs on LiteRT as it is")
    )
    quantized = [tensor for tensor in found.tensors if tensor.scales]
    by_channel = sum(tensor.scales > 1 for tensor in quantized)
    yield f"quantized tensors: {len(quantized)} of {len(found.tensors)}, {by_channel} of them by channel"
    total = sum(found.sizes.values())
    yield f"bytes: {total:,}"
    for part, size in sorted(found.sizes.items(), key=lambda item: -item[1]):
        yield f"  {part}: {size:,} ({size / total:.1%})"
    yield from _metadata(found)
    if tensors:
        yield "tensors:"
        yield from (_tensor(tensor) for tensor in found.tensors)


def _metadata(found: Contents) -> Iterator[str]:
    metadata = found.metadata
    if metadata is None:
        yield "metadata: none, MediaPipe Tasks cannot use the file"
        return
    parser = f"parser {_shown(metadata.parser) or 'not given'} or newer"
    yield f"metadata: {_shown(metadata.name) or 'no name'}, {parser}"
    for name in ("description", "version", "author", "license"):
        if told := getattr(metadata, name):
            yield f"  {name}: {_shown(told)}"
    yield f"  inputs {_list(metadata.inputs)}; outputs {_list(metadata.outputs)}"
    for name, (height, width) in metadata.images.items():
        yield f"  {_shown(name)}: a picture, {height} x {width} pixels"
    for name, (mean, std) in metadata.normalization.items():
        yield f"  {_shown(name)}: (pixel - [{_few(mean)}]) / [{_few(std)}]"
    for kind, files in metadata.tokenizers.items():
        yield f"  tokenizer {kind}: {_few(files) or 'no files'}"
    several = len(metadata.outputs) > 1
    for (number, locale), names in metadata.labels.items():
        of = f" of {_shown(metadata.outputs[number]) or f'output {number}'}" if several else ""
        yield f"  {len(names)} labels{of}{f' ({_shown(locale)})' if locale else ''}: {_few(names)}"
    for number, least in metadata.thresholds.items():
        yield f"  {_shown(metadata.outputs[number]) or f'output {number}'}: scores below {least:.9g} are left out"
    for name, size in metadata.files.items():
        yield f"  file {_shown(name)}: {size:,} bytes"
    for name in metadata.missing:
        yield f"  file {_shown(name)}: named, but not there"


def _shown(text: str) -> str:
    """A string of the file without what a terminal would obey, and not longer than a person reads."""
    cut = text[:_MOST] + ("…" if len(text) > _MOST else "")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in cut)


def _operator(name: str) -> str:
    """An operator's name, in quotes where it could pass for a sentence."""
    return _shown(name) if _NAME.fullmatch(name) else repr(_shown(name))


def _list(names: Iterable[str]) -> str:
    return ", ".join(map(_shown, names))


def _few(values: Sequence[str] | Sequence[float]) -> str:
    shown = [_shown(each) if isinstance(each, str) else f"{each:.9g}" for each in values[:5]]
    return ", ".join(shown) + (", …" if len(values) > 5 else "")


def _named(title: str, tensors: Sequence[Tensor]) -> Iterator[str]:
    yield f"{title}:"
    yield from (_tensor(tensor) for tensor in tensors)


def _tensor(tensor: Tensor) -> str:
    shape = " x ".join("?" if size < 0 else str(size) for size in tensor.shape) or "scalar"
    data = f", {tensor.bytes:,} bytes" if tensor.bytes else ""
    found = f", {_quantization(tensor.quantization)}" if tensor.quantization is not None else ""
    return f"  {_shown(tensor.name)}: {tensor.dtype.lower()} {shape}{data}{found}"


def _quantization(found: Quantization) -> str:
    """A scale in as many digits as bring it back; of many channels the first."""
    zeros = found.zero_points[:3].tolist()
    if found.scales.size == 1:
        return f"scale {found.scales[0]!s}, zero point {zeros[0]}"
    more = ", …" if found.scales.size > 3 else ""
    shown = ", ".join(str(scale) for scale in found.scales[:3])
    same = "0" if not found.zero_points.any() else ", ".join(map(str, zeros)) + more
    return f"{found.scales.size} scales on axis {found.axis}: {shown}{more}, zero points {same}"
