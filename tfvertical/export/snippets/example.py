"""Run this export without TensorFlow: `pip install numpy pillow ai-edge-litert && pip install --no-deps tfvertical`.

python snippets/example.py "The card never arrived."     # or, for a model of pictures, the path of one
"""

from __future__ import annotations

import sys
from pathlib import Path

from tfvertical.runtime import Predictor

predictor = Predictor(Path(__file__).resolve().parent.parent)
for prediction in predictor.predict(sys.argv[1:]):
    print(f"{prediction.label}\t{prediction.score:.4f}")
