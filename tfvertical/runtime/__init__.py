"""What runs where TensorFlow is not: NumPy, Pillow and ai-edge-litert, and this package's codecs.

Example:
    >>> from tfvertical.runtime import Predictor  # doctest: +SKIP
    >>> Predictor("saved_models/cards/exports/litert-float32").predict(["The card never arrived."])  # doctest: +SKIP
"""

from __future__ import annotations

from tfvertical.runtime.answerer import Answerer
from tfvertical.runtime.litert import LiteRT
from tfvertical.runtime.predictor import Embedder, Predictor
from tfvertical.runtime.tagger import Tagger

__all__ = ["Answerer", "Embedder", "LiteRT", "Predictor", "Tagger"]
