"""Proof, after each stage, of which weights moved and which did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tfvertical.errors import TrainingError
from tfvertical.identity import of_variables
from tfvertical.stages import Resolved


@dataclass(frozen=True)
class Proof:
    """What a stage did to the weights.

    Args:
        stage: its name.
        moved: addresses of the variables that changed.
        frozen: how many others were compared and found equal to the bit.
        unmoved: learning variables that did not change, each beside one of its layer that did (a bias whose gradient is
            zero by construction, as that of an attention key).
    """

    stage: str
    moved: tuple[str, ...]
    frozen: int
    unmoved: tuple[str, ...] = ()


def fingerprint(resolved: Resolved) -> dict[str, bytes]:
    """Address -> hash of the variable."""
    return dict(zip(resolved.variables, of_variables(list(resolved.variables.values())), strict=True))


def check(resolved: Resolved, before: Mapping[str, bytes], allowed: frozenset[str] = frozenset()) -> Proof:
    """Compare with the fingerprint from before the stage.

    Args:
        resolved: the stage, worked out.
        before: `fingerprint` from before it.
        allowed: addresses that may move though they do not learn (statistics of BatchNormalization).

    Raises:
        TrainingError: a frozen variable moved, or a layer that should learn did not.
    """
    now = fingerprint(resolved)
    moved = [address for address, value in now.items() if value != before[address]]
    strayed = [address for address in moved if address not in resolved.rates and address not in allowed]
    if strayed:
        raise TrainingError(
            f"Stage {resolved.stage.name!r}: {len(strayed)} frozen variables moved, the first is {strayed[0]!r}.",
            fix="a callback or a layer of yours assigns to it; let a pattern of the stage match it, or leave it alone",
        )
    alive = {address.rpartition("/")[0] for address in moved}
    unmoved = [address for address in resolved.rates if address not in set(moved)]
    stuck = [address for address in unmoved if address.rpartition("/")[0] not in alive]
    if stuck:
        raise TrainingError(
            f"Stage {resolved.stage.name!r}: {len(stuck)} variables should learn and did not move, first {stuck[0]!r}.",
            fix="does the loss depend on it? is the learning rate 0?",
        )
    return Proof(resolved.stage.name, tuple(moved), len(now) - len(moved) - len(unmoved), tuple(unmoved))
