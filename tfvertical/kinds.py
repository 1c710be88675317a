"""Kinds of option values. A signature that uses them says all there is to check: run files are checked against it."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Ge(1)]
Layers = Annotated[int, Ge(0), Le(10)]  # the tenth reaches 512 positions to each side
Seed = Annotated[int, Ge(0)]
Share = Annotated[float, Ge(0), Lt(1)]  # of what is dropped, held out, …
Drop = Annotated[float, Ge(0), Le(1)]  # of accuracy
Weight = Annotated[float, Ge(0)]  # of a class
Seconds = Annotated[float, Ge(0)]
Length = Annotated[int, Ge(3)]  # tokens, of which two are special
Covered = Annotated[float, Gt(0), Lt(1)]  # of true numbers, between two bounds

NumberLoss = Literal["mse", "huber", "quantile", "ordinal"]
Encoder = Literal["cross", "bi"]
TextPooling = Literal["mean", "first", "max", "attention"]
ImagePooling = Literal["mean", "max"]
