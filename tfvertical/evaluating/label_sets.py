"""How right sets of labels are, and from which scores on labels should apply."""

from __future__ import annotations

import numpy as np

from tfvertical.evaluating.metrics import Array, ratio


def counts(true: Array, applies: Array) -> Array:
    """Right, predicted and true labels of each row: float64 `(3, rows, labels)`."""
    true, applies = np.asarray(true, bool), np.asarray(applies, bool)
    return np.stack([true & applies, applies, true]).astype(np.float64)


def scores(counted: Array) -> dict[str, Array]:
    """Metrics of sums `(3, …, labels)`: float64 `(…)`.

    Returns:
        `micro_f1`, `micro_precision`, `micro_recall`, all labels taken together; `macro_f1`, the mean over the labels
        that occur or are predicted; `weighted_f1`, each weighted by how often it occurs.
    """
    _, predicted, support = counted
    of_label = f1(counted)
    together = [each.sum(axis=-1) for each in counted]
    return {
        "micro_f1": ratio(2 * together[0], together[1] + together[2]),
        "micro_precision": ratio(together[0], together[1]),
        "micro_recall": ratio(together[0], together[2]),
        "macro_f1": ratio(of_label.sum(axis=-1), (support + predicted > 0).sum(axis=-1)),
        "weighted_f1": ratio((of_label * support).sum(axis=-1), support.sum(axis=-1)),
    }


def f1(counted: Array) -> Array:
    """By label, of sums `(3, …, labels)`."""
    return ratio(2 * counted[0], counted[1] + counted[2])


def of_rows(true: Array, applies: Array, probabilities: Array) -> dict[str, float]:
    """`subset_accuracy`, the share of rows whose set is right as a whole; `hamming_loss`, the share of wrong answers;
    `log_loss`, in nats an answer."""
    eps = np.finfo(np.float32).eps
    sure = np.clip(np.where(true > 0, probabilities, 1 - probabilities).astype(np.float64), eps, 1)
    wrong = (true > 0) != applies
    return {
        "subset_accuracy": float((~wrong.any(axis=1)).mean()),
        "hamming_loss": float(wrong.mean()),
        "log_loss": float(-np.log(sure).mean()),
    }


def thresholds(true: Array, probabilities: Array, least: int = 5) -> Array:
    """For each label the score from which on its F1 is highest on these rows: float32 `(labels,)`.

    Halfway between two scores, so that rows close to one of these are not told apart by chance. A label that occurs
    less than `least` times keeps 0.5: there the best threshold is an accident.

    Args:
        true: zeros and ones, `(rows, labels)`, of rows that the model was not trained on.
        probabilities: 0…1, `(rows, labels)`.
        least: rows that a label must have.
    """
    found = np.full(true.shape[1], 0.5, np.float32)
    for at in range(true.shape[1]):
        applies = true[:, at] > 0
        if applies.sum() < least or applies.all():
            continue
        order = np.argsort(-probabilities[:, at], kind="stable")
        score = probabilities[order, at].astype(np.float64)
        right = np.cumsum(applies[order])
        taken = np.arange(1, len(order) + 1)
        last = np.append(score[:-1] > score[1:], True)  # equal scores are taken together
        value = np.where(last, 2 * right / (taken + applies.sum()), -1)
        best = int(value.argmax())
        below = score[best + 1] if best + 1 < len(score) else 0.0
        found[at] = (score[best] + below) / 2
        if found[at] <= below:  # float32 has nothing between the two
            found[at] = score[best]
    return found
