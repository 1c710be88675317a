"""Run this export without TensorFlow: `pip install numpy pillow ai-edge-litert && pip install --no-deps tfvertical`.

python snippets/example.py "The card never arrived."     # texts, or paths of pictures; of pairs and of a question with
                                                         # its text, the one behind the other
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
given = sys.argv[1:]
if not given or (in_twos and len(given) % 2):
    sys.exit(__doc__)
items = list(zip(given[::2], given[1::2], strict=True)) if in_twos else given
for found in reader.predict(items):
    print(f"{found.label}\t{found.score:.4f}" if target is None else found)
