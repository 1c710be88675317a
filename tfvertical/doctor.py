"""What this machine and its installation can do for a training, what stands in the way, and what to do about it.

Nothing here trains or needs a network. TensorFlow is imported by another process: an installation so broken that it
crashes is told as any other finding.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from tfvertical import cluster
from tfvertical.errors import ClusterError

PATIENCE = 180  # seconds that importing TensorFlow may take; a cold Colab disk takes one minute
SHOWN = ("tensorflow", "tensorflow-tpu", "keras", "keras-hub", "keras-nlp", "keras-cv", "tensorflow-text", "numpy")
# Wheels that all write into the folder `tensorflow`: of two, files of both are mixed.
RIVALS = (
    *("tensorflow", "tensorflow-cpu", "tensorflow-gpu", "tensorflow-tpu", "tensorflow-intel", "tensorflow-rocm"),
    *("tensorflow-macos", "tf-nightly", "tf-nightly-cpu"),
)
MODULES = ("tensorflow", "keras", "keras_hub", "keras_cv")
GOOGLE = "0x1ae0"
# PCI device -> chip
TPUS = {"0x0027": "v2 or v3", "0x005e": "v4", "0x0062": "v5p", "0x0063": "v5e", "0x006f": "v6e", "0x0076": "7x"}


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Args:
        what: its name.
        found: what there is.
        state: `ok`, `note` (works, and could be better) or `problem`.
        fix: what to do, where something is to be done.
    """

    what: str
    found: str
    state: str = "ok"
    fix: str = ""


@dataclass(frozen=True)
class Facts:
    """What was read off the machine, before anything is judged.

    Args:
        packages: distribution -> version, names as in `importlib.metadata`, canonical.
        requires: requirements of this package, as in its metadata.
        environment: the process' variables.
        chips: TPU chips on the machine's bus, by name.
        nvidia: whether a driver for NVIDIA's devices is loaded.
        probed: what another process found when it imported TensorFlow and Keras; see `probe`.
        home: where fetched and kept files go.
        free: bytes free there; None where that cannot be said.
        writable: whether this process may write there.
    """

    packages: Mapping[str, str]
    requires: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    chips: Sequence[str] = ()
    nvidia: bool = False
    probed: Mapping[str, Any] = field(default_factory=dict)
    home: str = ""
    free: int | None = None
    writable: bool = True


def look() -> Facts:
    """Read the facts off this machine; imports TensorFlow in another process, for at most three minutes."""
    from tfvertical import packages

    home = packages.home()
    # by `os.path`: `Path.is_dir` raises where a folder above may not be looked into
    standing = next((folder for folder in (home, *home.parents) if os.path.isdir(folder)), Path.cwd())
    found = {
        str(canonicalize_name(each.metadata["Name"])): each.version
        for each in importlib.metadata.distributions()
        if each.metadata["Name"]
    }
    try:
        free: int | None = shutil.disk_usage(standing).free
    except OSError:
        free = None
    return Facts(
        packages=found,
        requires=_requirements(),
        environment=dict(os.environ),
        chips=tuple(_chips(Path("/sys/bus/pci/devices"))),
        nvidia=Path("/proc/driver/nvidia/version").is_file(),
        probed=_probed(),
        home=str(home),
        free=free,
        writable=os.access(standing, os.W_OK | os.X_OK),
    )


def examine(facts: Facts) -> list[Finding]:
    """Judge the facts.

    Example:
        >>> found = examine(Facts({"tensorflow": "2.21.0", "tensorflow-cpu": "2.21.0"}))
        >>> [finding.what for finding in found if finding.state == "problem"]
        ['TensorFlow wheels']
    """
    return [
        *_of_packages(facts),
        *_of_settings(facts),
        *_of_imports(facts),
        *_of_devices(facts),
        *_of_cluster(facts.environment.get("TF_CONFIG")),
        *_of_room(facts),
    ]


# ----------------------------------------------------------------------------------------------------------- judging
def _of_packages(facts: Facts) -> Iterator[Finding]:
    versions = ", ".join(f"{name} {facts.packages[name]}" for name in SHOWN if name in facts.packages)
    yield Finding("Versions", f"Python {platform.python_version()}, {versions or 'no TensorFlow'}")
    rivals = [name for name in RIVALS if name in facts.packages]
    wheel = "tensorflow-tpu" if facts.chips and "tensorflow-tpu" in rivals else next(iter(rivals), "")
    if len(rivals) > 1:
        fix = f"pip uninstall -y {' '.join(rivals)}, then pip install {wheel}=={facts.packages[wheel]}"
        told = f"{' and '.join(rivals)} write into the same folder; what is imported is a mixture"
        yield Finding("TensorFlow wheels", told, "problem", fix)
    for line in facts.requires:
        with_extra = Requirement(line)
        if with_extra.marker and not with_extra.marker.evaluate({"extra": ""}):
            continue
        name = canonicalize_name(with_extra.name)
        version = facts.packages.get(wheel if name == "tensorflow" else name)
        fix = f"pip install '{with_extra.name}{with_extra.specifier}'"
        if version is None:
            yield Finding(with_extra.name, "not installed", "problem", fix)
        elif not with_extra.specifier.contains(version, prereleases=True):
            yield Finding(with_extra.name, f"{version}, where {with_extra.specifier} is needed", "problem", fix)
    text = facts.packages.get("tensorflow-text")
    if text and wheel and Version(text).release[:2] != Version(facts.packages[wheel]).release[:2]:
        minor = ".".join(map(str, Version(facts.packages[wheel]).release[:2]))
        told = f"{text} beside {wheel} {facts.packages[wheel]}: its operators are compiled for one minor version"
        alone = "" if wheel == "tensorflow" else "--no-deps "  # it requires `tensorflow`, which would come beside it
        yield Finding("tensorflow-text", told, "problem", f"pip install {alone}'tensorflow-text=={minor}.*'")
    hub, nlp = (facts.packages.get(name) for name in ("keras-hub", "keras-nlp"))
    if hub and nlp and hub != nlp:
        told = f"keras-nlp {nlp} is a name for keras-hub, which is {hub}"
        yield Finding("keras-hub", told, "note", f"pip install keras-hub=={nlp} keras-nlp=={nlp}")


def _of_settings(facts: Facts) -> Iterator[Finding]:
    backend = facts.environment.get("KERAS_BACKEND")
    if backend and backend != "tensorflow":
        told = f"KERAS_BACKEND is {backend!r}; this package trains with TensorFlow"
        yield Finding("Keras backend", told, "problem", "KERAS_BACKEND=tensorflow, set before Keras is imported")
    if facts.environment.get("TF_USE_LEGACY_KERAS", "").lower() in ("1", "true"):
        told = "TF_USE_LEGACY_KERAS makes tf.keras Keras 2, whose models and layers do not mix with Keras 3"
        yield Finding("Keras 2", told, "problem", "unset TF_USE_LEGACY_KERAS, and restart the process")


def _of_imports(facts: Facts) -> Iterator[Finding]:
    if told := facts.probed.get("failed"):
        wheel = next((name for name in RIVALS if name in facts.packages), "tensorflow")
        yield Finding("Importing TensorFlow", str(told), "problem", f"pip install --force-reinstall {wheel}")
    for module, told in facts.probed.get("errors", {}).items():
        yield Finding(f"import {module}", told, "problem", "mend what stands above, then restart the process")
    backend = facts.probed.get("backend")
    if backend and backend != "tensorflow" and "KERAS_BACKEND" not in facts.environment:
        told = f"Keras' own configuration file says {backend!r}; this package trains with TensorFlow"
        yield Finding("Keras backend", told, "problem", "KERAS_BACKEND=tensorflow, set before Keras is imported")


def _of_devices(facts: Facts) -> Iterator[Finding]:
    probed = facts.probed
    if "cores" in probed:
        ratio = probed["bfloat16"]
        told = f"{probed['cores']} cores, oneDNN {'on' if probed['onednn'] else 'off'}, "
        told += f"bfloat16 products {ratio:.1f} times as fast as float32" if ratio else "no bfloat16 instructions"
        yield Finding("Processor", told)
    gpus = probed.get("gpus", [])
    if gpus:
        yield Finding("GPU", ", ".join(gpus))
    elif facts.nvidia and "cores" in probed:
        fix = "pip install 'tensorflow[and-cuda]'" if probed.get("cuda") else "install a TensorFlow wheel with CUDA"
        yield Finding("GPU", "an NVIDIA driver is loaded, and TensorFlow sees no device", "note", fix)
    else:
        yield Finding("GPU", "none")
    if not facts.chips:
        asked = [name for name in ("TPU_NAME", "COLAB_TPU_ADDR") if facts.environment.get(name)]
        if asked:
            told = f"{' and '.join(asked)} set, and no chip on this machine's bus: a TPU over the network"
            yield Finding("TPU", told, "note", "current Colab runtimes have the chip on the machine itself")
        else:
            yield Finding("TPU", "none (looked for chips on the PCI bus, TPU_NAME and COLAB_TPU_ADDR)")
    elif "tensorflow-tpu" not in facts.packages:
        told = f"{_counted(facts.chips)}, and this TensorFlow cannot use it"
        fix = "pip uninstall -y tensorflow, then pip install tensorflow-tpu (2.20 is its newest), and restart"
        yield Finding("TPU", told, "problem", fix)
    elif not probed.get("tpus"):
        told = f"{_counted(facts.chips)}, and TensorFlow sees none"
        fix = "end other processes that hold it (a notebook that imported JAX), and restart this one"
        yield Finding("TPU", told, "problem", fix)
    else:
        yield Finding("TPU", f"{_counted(facts.chips)}; TensorFlow sees {len(probed['tpus'])}")


def _of_cluster(written: str | None) -> Iterator[Finding]:
    """TF_CONFIG, by which workers find each other."""
    if not written:
        return
    try:
        found = cluster.parse(written)
    except ClusterError as error:
        told, _, fix = str(error).partition("Fix: ")
        yield Finding("Cluster", told.strip(), "problem", fix)
        return
    count = len(found.workers) + sum(map(len, found.others.values()))
    told = f"{found.kind} {found.index} of {len(found.workers)} at {found.here}; {count} processes in all"
    yield Finding("Cluster", told)


def _of_room(facts: Facts) -> Iterator[Finding]:
    if not facts.writable:
        told = f"{facts.home} may not be written: nothing is fetched or kept there"
        yield Finding("Room", told, "note", "set TFVERTICAL_HOME to a folder of your own")
        return
    if facts.free is None:
        return
    told = f"{facts.free / 1e9:.1f} GB free at {facts.home}"
    if facts.free < 2e9:
        fix = "set TFVERTICAL_HOME to a folder with room, or tfvertical cache clear"
        yield Finding("Room", f"{told}: kept features of a large data set may not fit", "note", fix)
    else:
        yield Finding("Room", told)


def _counted(chips: Sequence[str]) -> str:
    return f"{len(chips)} chip{'s' * (len(chips) > 1)} ({', '.join(sorted(set(chips)))})"


# ----------------------------------------------------------------------------------------------------------- looking
def _requirements() -> list[str]:
    """This package's own, of its metadata; none where it runs uninstalled."""
    try:
        lines = importlib.metadata.requires("tfvertical") or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [line for line in lines if _is_requirement(line)]


def _is_requirement(line: str) -> bool:
    try:
        Requirement(line)
    except InvalidRequirement:
        return False
    return True


def _chips(bus: Path) -> Iterator[str]:
    """Names of the TPU chips on the PCI bus."""
    for device in sorted(bus.glob("*")) if bus.is_dir() else ():
        try:
            vendor, number = ((device / name).read_text().strip() for name in ("vendor", "device"))
        except OSError:
            continue
        if vendor == GOOGLE and number in TPUS:
            yield f"TPU {TPUS[number]}"


def _probed() -> dict[str, Any]:
    """What `probe` prints in a process of its own."""
    program = "from tfvertical import doctor; doctor.probe()"
    # Kept as this process has them: the child imports the same packages from the same places.
    environment = {"TF_CPP_MIN_LOG_LEVEL": "3", **os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    try:
        done = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE, env=environment
        )
    except subprocess.TimeoutExpired:
        return {"failed": f"not done after {PATIENCE} s"}
    except OSError as error:
        return {"failed": f"no process could be started: {error}"}
    if done.returncode < 0:
        return {"failed": f"the process was killed by {signal.Signals(-done.returncode).name}"}
    try:
        found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        last = (done.stderr.strip().splitlines() or ["nothing was said"])[-1]
        return {"failed": f"exit code {done.returncode}: {last[:300]}"}
    return found


def probe() -> None:
    """Import what a training imports, and print what it gives as a line of JSON."""
    found: dict[str, Any] = {"errors": {}}
    for module in MODULES:
        try:
            importlib.import_module(module)
        except Exception as error:  # whatever a broken installation raises is what is asked for
            found["errors"][module] = f"{type(error).__name__}: {error}".splitlines()[0][:300]
    if "tensorflow" not in found["errors"]:
        import tensorflow as tf

        found |= {
            "gpus": [device.name for device in tf.config.list_physical_devices("GPU")],
            "tpus": [device.name for device in tf.config.list_physical_devices("TPU")],
            "cuda": bool(tf.test.is_built_with_cuda()),
        }
    if not found["errors"]:
        import keras

        from tfvertical import kernels, precision

        found |= {
            "backend": keras.backend.backend(),
            "cores": os.cpu_count(),
            "onednn": kernels.onednn(),
            "bfloat16": precision.speed(),
        }
    print(json.dumps(found), flush=True)
