"""What every test stands on: quiet, seeded, two cores shared by two workers, and real data where it is."""

from __future__ import annotations

import atexit
import gc
import os
import random
import shutil
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("MPLBACKEND", "Agg")
# as `import tfvertical` does where TensorFlow is not there yet: processes that tests start must compute equal bits,
# whichever module was imported first in this one
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
# compiling takes longer than what is compiled, in a test
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
if "PYTEST_XDIST_WORKER" in os.environ:  # each worker its share of the cores, or they slow each other down
    _threads = str(max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))))
    for _name in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
        os.environ.setdefault(_name, _threads)


def _own_home() -> None:
    """What tests keep of frozen parts goes with them; the fetched packages are those of the person."""
    packages = Path(os.environ.get("TFVERTICAL_HOME") or "~/.cache/tfvertical").expanduser().absolute() / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    home = Path(tempfile.mkdtemp(prefix="tfvertical-tests-"))
    (home / "packages").symlink_to(packages.resolve(), target_is_directory=True)
    os.environ["TFVERTICAL_HOME"] = str(home)
    atexit.register(shutil.rmtree, home, ignore_errors=True)


_own_home()

ROOT = Path(__file__).resolve().parents[1]
SHARED_DATA = ROOT.parent / "shared" / "data"


# the files that take longest, the longest first: begun last, one of them would keep one worker busy and the other idle
LONG = (
    "core/test_resume.py",
    "distribution/test_distribution.py",
    "test_benchmarks.py",
    "distribution/test_static.py",
    "tasks/test_contract.py",
    "test_notebook.py",
    "distribution/test_workers.py",
    "tasks/test_token_classifier.py",
    "core/test_remat.py",
    "cli/test_sweep.py",
    "core/test_features.py",
    "cli/test_interrupted.py",
    "cli/test_workers.py",
    "export/test_contract.py",
    "test_examples.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest; skip what needs the shared data sets where they are not."""
    places = {ROOT / "tests" / name: at for at, name in enumerate(LONG)}
    items.sort(key=lambda item: places.get(item.path, len(LONG)))
    if SHARED_DATA.is_dir():
        return
    skip = pytest.mark.skip(reason=f"no labelled data sets at {SHARED_DATA}")
    for item in items:
        if "shared" in item.keywords:
            item.add_marker(skip)


def pytest_collection_finish() -> None:
    """What imports made stays: collecting garbage need not look at millions of objects again, nor so often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of labelled data sets (`banking77/`, `clothing/`, …); skips where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"no labelled data sets at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository's top folder."""
    return ROOT


@pytest.fixture(autouse=True)
def _seeded() -> None:
    """The same numbers in every run; Keras and TensorFlow only where the test module imported them."""
    import sys

    import numpy as np

    random.seed(0)
    np.random.seed(0)
    if "keras" in sys.modules:
        sys.modules["keras"].utils.set_random_seed(0)
