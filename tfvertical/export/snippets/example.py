"""Run this export without TensorFlow: `pip install numpy pillow ai-edge-litert && pip install --no-deps tfvertical`.

python snippets/example.py "The card never arrived."     # a text; or two, a question and its text; or a picture's path
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tfvertical.runtime import Answerer, Predictor, Tagger

folder = Path(__file__).resolve().parent.parent
described = json.loads((folder / "preprocessing.json").read_text(encoding="utf-8"))
target = described.get("target")
reader: Any = {"entities": Tagger, "answers": Answerer}.get(target, Predictor)(folder)
in_twos = target == "answers" or described.get("items") == "pair"
(found,) = reader.predict([tuple(sys.argv[1:3]) if in_twos else sys.argv[1]])
print(f"{found.label}\t{found.score:.4f}" if target is None else found)
