"""A TFLite file taken apart into objects, and put together again."""

from __future__ import annotations

from typing import Any


def unpacked(model: bytes) -> Any:
    """The file as the schema's own objects (`ModelT`), to be changed in place."""
    from ai_edge_litert import schema_py_generated as schema

    return schema.ModelT.InitFromPackedBuf(model, 0)


def packed(root: Any) -> bytes:
    """A `ModelT` as a file."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    class Aligned(schema.BufferT):  # type: ignore[misc, name-defined, unused-ignore]
        """A buffer at a multiple of 16, as the schema demands and the generated Python code does not do."""

        def Pack(self, builder: Any) -> Any:
            offset = None
            if self.data is not None:
                builder.StartVector(1, len(self.data), 16)
                builder.head -= len(self.data)
                builder.Bytes[builder.head : builder.head + len(self.data)] = self.data.tobytes()
                offset = builder.EndVector()
            schema.BufferStart(builder)
            if offset is not None:
                schema.BufferAddData(builder, offset)
            return schema.BufferEnd(builder)

    for buffer in root.buffers:
        buffer.__class__ = Aligned
    builder = flatbuffers.Builder(2**20 + sum(len(each.data) for each in root.buffers if each.data is not None))
    builder.Finish(root.Pack(builder), b"TFL3")
    return bytes(builder.Output())
