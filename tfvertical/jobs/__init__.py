"""What the command line does, as functions: train a run, evaluate, predict from and export a bundle."""

from __future__ import annotations

from tfvertical.jobs.declared import kind_of, measure_of, target_of
from tfvertical.jobs.exporting import export
from tfvertical.jobs.measuring import evaluate
from tfvertical.jobs.predicting import predict, rows_of, written
from tfvertical.jobs.reading import names_of, read, refuse_unknown_tokens
from tfvertical.jobs.training import Say, begin_anew, train

__all__ = [
    "Say",
    "begin_anew",
    "evaluate",
    "export",
    "kind_of",
    "measure_of",
    "names_of",
    "predict",
    "read",
    "refuse_unknown_tokens",
    "rows_of",
    "target_of",
    "train",
    "written",
]
