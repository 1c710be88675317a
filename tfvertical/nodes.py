"""Symbolic calls that leave no trace; the one place that touches Keras' lists of calls.

Whenever an operation is called on symbolic tensors, Keras appends a node to its `_inbound_nodes` and to the
`_outbound_nodes` of those before it (`keras/src/ops/node.py`), and never removes one. A model of those calls holds its
own nodes; it finds them in the lists only while it is built, saved or rewired. But a backbone outlives many plans and
runs, each of which calls all of its layers several times, and would grow with each.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

_noted: ContextVar[list[tuple[Any, Any]] | None] = ContextVar("_noted", default=None)


def called(operation: Any, *args: Any, **kwargs: Any) -> Any:
    """What an operation gives; inside `forgotten`, the call is one of those that are."""
    before, noted = len(operation._inbound_nodes), _noted.get()
    output = operation(*args, **kwargs)
    if noted is not None and len(operation._inbound_nodes) > before:
        noted.append((operation, operation._inbound_nodes[-1]))
    return output


@contextlib.contextmanager
def forgotten() -> Iterator[None]:
    """Take the nodes of all that is `called` in this block from the operations' lists when it ends.

    Models made of them go on computing, and can be trained and called, but not saved, cloned or built upon by their
    tensors. A node that somebody else's call has followed stays: nodes are found by their place.
    """
    noted: list[tuple[Any, Any]] = []
    token = _noted.set(noted)
    try:
        yield
    finally:
        _noted.reset(token)
        gone = {id(tensor) for _, node in noted for tensor in node.outputs}
        for operation, node in reversed(noted):
            if operation._inbound_nodes[-1] is node:
                operation._inbound_nodes.pop()
        for operation in {id(operation): operation for operation, _ in noted}.values():
            operation._outbound_nodes[:] = [
                node
                for node in operation._outbound_nodes
                if not any(id(tensor) in gone for tensor in node.arguments.keras_tensors)
            ]
