"""Labelled rows from wherever they are: read, checked, accounted for, split. One file a kind of source."""

from __future__ import annotations

from tfvertical.data._folds import folds
from tfvertical.data._labels import class_weights, label_names, sample_weights
from tfvertical.data._load import load
from tfvertical.data._marks import mark
from tfvertical.data._overlap import overlap, with_overlap
from tfvertical.data._policy import describe
from tfvertical.data._split import split
from tfvertical.data._warnings import unknown_tokens, with_warning

__all__ = [
    "class_weights",
    "describe",
    "folds",
    "label_names",
    "load",
    "mark",
    "overlap",
    "sample_weights",
    "split",
    "unknown_tokens",
    "with_overlap",
    "with_warning",
]
