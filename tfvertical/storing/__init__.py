"""How the store keeps arrays on disk: what an entry looks like, how one is written and read, and the folder of all."""

from __future__ import annotations
