"""Hugging Face's Trainer on token classification, as its guide sets it up, and grouped by length."""

from __future__ import annotations

import tempfile
from typing import Any

from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    set_seed,
)

from benchmarks.contenders import strict
from benchmarks.contenders.clock import Clock, figures
from benchmarks.contenders.hf_trainer import arguments_of
from benchmarks.contenders.torch_parts import adamw


def full(work: dict[str, Any], bf16: bool = False) -> dict[str, Any]:
    """Every weight; the label on each word's first piece."""
    set_seed(work["seed"])
    tags = ["O", *(f"{letter}-{name}" for name in work["names"] for letter in "BI")]
    model = AutoModelForTokenClassification.from_pretrained(
        work["minilm"], num_labels=len(tags), classifier_dropout=work["dropout"]
    )
    tokenizer = AutoTokenizer.from_pretrained(work["minilm"])
    clock = Clock()
    train, test = (_rows(tokenizer, work, tags, part) for part in ("train", "test"))
    with tempfile.TemporaryDirectory() as folder:
        arguments = arguments_of(work, folder, bf16)
        steps = -(-len(train) // work["batch"]) * work["epochs"]
        trainer = Trainer(
            model,
            arguments,
            train_dataset=train,
            data_collator=DataCollatorForTokenClassification(tokenizer, pad_to_multiple_of=8),
            optimizers=adamw(model, work, work["rate"], steps),
        )
        trainer.train()
        trained = clock.seconds
        found = trainer.predict(test)  # grouped by length too, so its labels come in its own order
    ids, labels = found.predictions.argmax(-1), found.label_ids
    pairs = [(row[true >= 0], true[true >= 0]) for row, true in zip(ids, labels, strict=True)]
    said, right = ([[tags[at] for at in pair[side]] for pair in pairs] for side in (0, 1))
    return figures(clock.seconds, strict.f1(right, said), training=trained)


def bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """The same under bfloat16 autocast."""
    return full(work, bf16=True)


def _rows(tokenizer: Any, work: dict[str, Any], tags: list[str], part: str) -> list[dict[str, Any]]:
    """Token ids of each sentence and the tag of each word at its first piece, -100 elsewhere."""
    made = tokenizer(
        work[part]["items"],
        is_split_into_words=True,
        truncation=True,
        max_length=work["length"],
        return_token_type_ids=False,
    )
    rows = []
    for at, names in enumerate(work[part]["labels"]):
        words = made.word_ids(at)
        first = [word is not None and (not place or words[place - 1] != word) for place, word in enumerate(words)]
        labels = [tags.index(names[word]) if new else -100 for word, new in zip(words, first, strict=True)]
        rows.append(
            {"input_ids": made["input_ids"][at], "attention_mask": made["attention_mask"][at], "labels": labels}
        )
    return rows
