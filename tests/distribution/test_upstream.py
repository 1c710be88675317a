"""Keras' own failures under strategies, around which `replicas` is built: when one of these passes, look again."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.distribution import upstream
from tests.distribution.starting import addresses


@pytest.mark.parametrize("case", upstream.CASES)
def test_keras_still_fails(root, case):
    where = addresses(2 if case == "keras#20585" else 1)
    running = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.distribution.upstream", case, str(at), json.dumps(where)],
            cwd=root,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for at in range(len(where))
    ]
    said = [process.communicate(timeout=120)[0].split()[-1] for process in running]
    assert "works" not in said, f"{upstream.CASES[case]} works now: {case} is mended, replicas.py may lean on fit"
