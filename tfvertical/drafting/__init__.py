"""A run file to begin with, drafted from the data alone: what a person would look up in four pages."""

from __future__ import annotations

from tfvertical.drafting.draft import command, draft

__all__ = ["command", "draft"]
