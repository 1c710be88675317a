"""What a TFLite file holds, in lines for a person."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tfvertical.runtime.contents import Contents, Tensor


def lines(found: Contents, *, tensors: bool = False) -> Iterator[str]:
    """The lines of `tfvertical inspect`.

    Args:
        found: `contents(path)`.
        tensors: list every tensor too.
    """
    yield from _named("inputs", found.inputs)
    yield from _named("outputs", found.outputs)
    for key, (inputs, outputs) in found.signatures.items():
        yield f"signature {key}: {', '.join(inputs)} -> {', '.join(outputs)}"
    yield "operators: " + ", ".join(f"{name} x{count}" for name, count in found.operators.items())
    yield (
        f"custom operators: {', '.join(found.custom)}: a phone needs them built in"
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
    yield f"metadata: {metadata.name or 'no name'}, parser {metadata.parser or 'not given'} or newer"
    yield f"  inputs {', '.join(metadata.inputs)}; outputs {', '.join(metadata.outputs)}"
    for name, (mean, std) in metadata.normalization.items():
        yield f"  {name}: (pixel - {mean}) / {std}"
    for (number, locale), names in metadata.labels.items():
        of = f" of {metadata.outputs[number] or f'output {number}'}" if len(metadata.outputs) > 1 else ""
        yield f"  {len(names)} labels{of}{f' ({locale})' if locale else ''}: {_few(names)}"
    for name, size in metadata.files.items():
        yield f"  file {name}: {size:,} bytes"
    for name in metadata.missing:
        yield f"  file {name}: named, but not there"


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")


def _named(title: str, tensors: Sequence[Tensor]) -> Iterator[str]:
    yield f"{title}:"
    yield from (_tensor(tensor) for tensor in tensors)


def _tensor(tensor: Tensor) -> str:
    shape = " x ".join("?" if size < 0 else str(size) for size in tensor.shape) or "scalar"
    data = f", {tensor.bytes:,} bytes" if tensor.bytes else ""
    scales = f", {tensor.scales} scale{'s' * (tensor.scales > 1)}" if tensor.scales else ""
    return f"  {tensor.name}: {tensor.dtype.lower()} {shape}{data}{scales}"
