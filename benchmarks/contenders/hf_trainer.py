"""Hugging Face's Trainer as an expert sets it up: grouped by length, padded per batch, frozen part in `eval()`."""

from __future__ import annotations

import tempfile
from typing import Any

from transformers import AutoTokenizer, DataCollatorWithPadding, Trainer, TrainerCallback, TrainingArguments, set_seed

from benchmarks.contenders.clock import Clock, figures, part_of, planned, rest_seconds
from benchmarks.contenders.torch_parts import Classifier, adamw


class Marks(TrainerCallback):
    """Passes epochs and steps to a clock, and stops after some epochs of a longer plan."""

    def __init__(self, clock: Clock, epochs: int) -> None:
        self.clock, self.epochs = clock, epochs

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock.epoch()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.clock.step()

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> Any:
        control.should_training_stop = len(self.clock.epochs) >= self.epochs
        return control


def full(work: dict[str, Any]) -> dict[str, Any]:
    """Every weight."""
    return _stages(work, [(None, work["rate"])])


def full_bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """Every weight under bfloat16 autocast."""
    return _stages(work, [(None, work["rate"])], bf16=True)


def gradual(work: dict[str, Any], bf16: bool = False) -> dict[str, Any]:
    """Head, top block, top two blocks: a Trainer for each."""
    stages = [(0, work["rate"]), *((k, work["deep_rate"]) for k in range(1, work["stages"]))]
    return _stages(work, stages, bf16)


def gradual_bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """The same under bfloat16 autocast."""
    return gradual(work, bf16=True)


def _stages(work: dict[str, Any], stages: list[tuple[int | None, float]], bf16: bool = False) -> dict[str, Any]:
    set_seed(work["seed"])
    model = Classifier(work["minilm"], len(work["names"]), work["dropout"])
    tokenizer = AutoTokenizer.from_pretrained(work["minilm"])
    epochs, rest, clock = planned(work, work["epochs"], work["short"]), 0.0, Clock()
    train, test = (_rows(tokenizer, work, part) for part in ("train", "test"))
    with tempfile.TemporaryDirectory() as folder:
        for blocks, rate in stages:
            model.unfreeze(blocks)
            clock.epochs = []
            trainer = _trainer(model, tokenizer, train, work, folder, Marks(clock, epochs), rate, bf16)
            trainer.train()
            rest += rest_seconds(clock.epochs, work["epochs"])
        found = trainer.predict(test)  # grouped by length too, so its labels come in its own order
    right = found.predictions.argmax(1) == found.label_ids
    part = part_of(epochs, work["epochs"])
    if part and len(stages) > 1:
        part += " of each stage"
    return figures(clock.seconds + rest, float(right.mean()), part)


def _rows(tokenizer: Any, work: dict[str, Any], part: str) -> list[dict[str, Any]]:
    """Token ids and label of each text, unpadded."""
    items, labels = work[part]["items"], work[part]["labels"]
    ids = tokenizer(items, truncation=True, max_length=work["length"], return_token_type_ids=False)
    return [
        {"input_ids": tokens, "attention_mask": mask, "labels": label}
        for tokens, mask, label in zip(ids["input_ids"], ids["attention_mask"], labels, strict=True)
    ]


def arguments_of(work: dict[str, Any], folder: str, bf16: bool) -> TrainingArguments:
    """What every Trainer here is told: batches of like lengths, and nothing logged or saved."""
    return TrainingArguments(
        folder,
        per_device_train_batch_size=work["batch"],
        per_device_eval_batch_size=64,
        num_train_epochs=work["epochs"],
        max_grad_norm=work["clip"] or 0.0,
        train_sampling_strategy="group_by_length",
        use_cpu=True,
        bf16=bf16,
        seed=work["seed"],
        save_strategy="no",
        logging_strategy="no",
        report_to="none",
        disable_tqdm=True,
    )


def _trainer(
    model: Classifier,
    tokenizer: Any,
    train: list[dict[str, Any]],
    work: dict[str, Any],
    folder: str,
    marks: Marks,
    rate: float,
    bf16: bool,
) -> Trainer:
    arguments = arguments_of(work, folder, bf16)
    steps = -(-len(train) // work["batch"]) * work["epochs"]
    return Trainer(
        model,
        arguments,
        train_dataset=train,
        data_collator=DataCollatorWithPadding(tokenizer, pad_to_multiple_of=8),
        callbacks=[marks],
        optimizers=adamw(model, work, rate, steps),
    )
