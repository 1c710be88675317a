"""tfvertical finding entities, through its public calls only."""

from __future__ import annotations

from typing import Any

import tfvertical as tv  # before whatever imports TensorFlow, as its users do: it turns oneDNN on

# isort: split
from benchmarks.contenders import strict
from benchmarks.contenders.clock import Clock, figures
from benchmarks.contenders.ours import Epochs
from tfvertical import data
from tfvertical.codecs.alignment import Sentence
from tfvertical.contracts import Adaptation, Examples

# chosen on the development part; where blocks learn too, a narrower head costs less and finds nearly as much
DEEP = {"last_blocks": 7, "hidden": [256], "convolutions": 3, "crf": True}
NARROW = DEEP | {"last_blocks": 4, "hidden": [128]}


def full(work: dict[str, Any]) -> dict[str, Any]:
    """Every weight, the backbone's at the rate of all contenders; tags trained together, at a rate of their own."""
    rate = work["head_rate"]
    return _fitted(work | {"rate": rate}, tv.FullFineTuning(backbone_rate=work["rate"] / rate), {"crf": True})


def top(work: dict[str, Any]) -> dict[str, Any]:
    """A head that reads four blocks and a word's neighbours, and the top two, behind a frozen part that runs once."""
    how = tv.GradualUnfreezing(2, step=2, head_epochs=0, backbone_rate=0.4)
    return _fitted(work | work["top"], how, NARROW)


def head(work: dict[str, Any]) -> dict[str, Any]:
    """A wider head alone that reads all blocks, whose outputs are computed once."""
    return _fitted(work | work["head"], tv.Frozen(), DEEP)


def float32(work: dict[str, Any]) -> dict[str, Any]:
    """The same in float32."""
    return full(work | {"precision": "float32"})


def _fitted(work: dict[str, Any], how: Adaptation, options: dict[str, Any] | None = None) -> dict[str, Any]:
    """From lists of words and tags to strict F1 on the test part; `training` is what passes until the weights stand."""
    options = {"dropout": work["dropout"], "seed": work["seed"]} | (options or {})
    task = tv.TokenClassifier.from_preset("minilm_l6_v2", labels=work["names"], length=work["length"], **options)
    seen, clock = Epochs(), Clock()
    settings = {
        "epochs": work["epochs"],
        "batch_size": work["batch"],
        "learning_rate": work["rate"],
        "weight_decay": work["decay"],
        "clip_norm": work["clip"],
        "seed": work["seed"],
        "precision": work["precision"],
    }
    task.fit(_examples(work, "train"), adaptation=how, verbose=0, callbacks=[seen], **settings)
    trained = clock.seconds
    words = work["test"]["items"]
    found = []
    for sentence, entities in zip(words, task.predict(words), strict=True):
        tags = ["O"] * len(sentence)
        starts = {int(start): at for at, (start, _) in enumerate(Sentence.of(sentence).places)}
        ends = {int(end): at for at, (_, end) in enumerate(Sentence.of(sentence).places)}
        for each in entities:
            first, last = starts[each.start], ends[each.end]
            tags[first : last + 1] = [f"B-{each.label}"] + [f"I-{each.label}"] * (last - first)
        found.append(tags)
    return figures(clock.seconds, strict.f1(work["test"]["labels"], found), training=trained)


def _examples(work: dict[str, Any], part: str) -> Examples:
    """A part of the work, read and checked as a user's lists would be."""
    return data.load((work[part]["items"], work[part]["labels"]), target="entities", labels=work["names"])
