"""Keras' own failures under strategies, around which `replicas` is built: when one of these passes, look again."""

from __future__ import annotations

import json

import pytest

from tests.distribution import upstream
from tests.distribution.starting import addresses
from tests.forking import Forked


@pytest.mark.parametrize("case", upstream.CASES)
def test_keras_still_fails(root, case):
    where = addresses(2 if case.startswith("keras#20585") else 1)
    arguments = ["-m", "tests.distribution.upstream", case]
    running = [Forked([*arguments, str(at), json.dumps(where)], root) for at in range(len(where))]
    said = [process.communicate(timeout=120)[0].split()[-1] for process in running]
    assert "works" not in said, f"{upstream.CASES[case]}: {case} is mended, replicas.py may lean on fit"
    assert any(case.split()[1] in raised.split(",") for raised in said), f"{case} fails in another place now: {said}"
