"""Files of the model hubs: the hub's client fetches them; here is what happens when it cannot."""

from __future__ import annotations

import contextlib
import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from tfvertical.backbones.package_index import PRESETS as OFFLINE
from tfvertical.errors import MissingPackageError, PresetError

T = TypeVar("T")

PATIENCE = 45.0  # seconds until the first, small file must be there; then the hub is there, and the rest may take long
_WANTED = ["*.json", "*.txt", "*.model", "*.safetensors", "*.weights.h5", "assets/**", "1_Pooling/*"]
_UNREACHABLE = ("Connect", "Timeout", "LocalEntryNotFound", "Offline", "MaxRetry", "NameResolution", "Proxy", "SSL")


def fetch(handle: str, name: str) -> Path:
    """The folder with all files of `kaggle://…` or `hf://…`.

    Args:
        handle: the address.
        name: what the user called it, for messages.

    Raises:
        PresetError: the hub cannot be reached, or has no such preset; within `PATIENCE` seconds.
    """
    found = place(handle)
    if found is not None:
        return found
    scheme, _, address = handle.partition("://")
    probe, whole = _kaggle(address) if scheme == "kaggle" else _hugging_face(address)
    with _quiet():
        try:
            _within(PATIENCE, probe)
            return Path(whole())
        except PresetError:
            raise
        except Exception as error:  # two clients, each with its own dozens of errors
            raise _explain(error, name) from error


def place(handle: str) -> Path | None:
    """Where a complete copy stands in the hub's cache, or None; asks no hub."""
    scheme, _, address = handle.partition("://")
    try:
        if scheme == "kaggle":
            return _kaggle_place(address)
        import huggingface_hub

        folder = Path(huggingface_hub.snapshot_download(address, local_files_only=True, allow_patterns=_WANTED))
        weights = [*folder.glob("*.safetensors"), *folder.glob("*.weights.h5")]
        return folder if weights and (folder / "config.json").exists() else None
    except Exception:  # not there, in one of many words
        return None


def cached(handle: str) -> bool:
    """Whether the preset works without network."""
    return place(handle) is not None


def _kaggle_place(address: str) -> Path | None:
    """The client marks complete downloads; only an address with its version can be looked up without asking."""
    from kagglehub.config import get_cache_folder

    parts = address.split("/")
    if len(parts) != 5:
        return None
    folder = Path(get_cache_folder()) / "models" / Path(*parts)
    return folder if folder.with_name(f"{parts[-1]}.complete").exists() and folder.is_dir() else None


def _kaggle(address: str) -> tuple[Callable[[], str], Callable[[], str]]:
    try:
        import kagglehub
    except ImportError as error:
        raise MissingPackageError(
            "Kaggle's presets need the package kagglehub.", fix="pip install kagglehub"
        ) from error
    return lambda: kagglehub.model_download(address, "config.json"), lambda: kagglehub.model_download(address)


def _hugging_face(address: str) -> tuple[Callable[[], str], Callable[[], str]]:
    try:
        import huggingface_hub as hub
    except ImportError as error:
        raise MissingPackageError(
            "Hugging Face's presets need the package huggingface_hub.", fix="pip install huggingface_hub"
        ) from error
    return (
        lambda: hub.hf_hub_download(address, "config.json"),
        lambda: hub.snapshot_download(address, allow_patterns=_WANTED),
    )


def _within(seconds: float, work: Callable[[], T]) -> T:
    """`work()`, given up after so many seconds: the clients retry for minutes. A daemon, so that Python can end."""
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise TimeoutError(f"no answer within {seconds:g} s")
    if failed:
        raise failed[0]
    return done[0]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the clients' retry messages, which say less than our error does."""
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "kagglehub", "urllib3")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _explain(error: BaseException, name: str) -> PresetError:
    chain, link = [], error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__  # type: ignore[assignment]
    words = " ".join(type(link).__name__ for link in chain)
    text = " ".join(str(error).split())[:300]
    if any(sign in words for sign in _UNREACHABLE):
        return PresetError(
            f"Preset {name!r} is not in the cache, and no model hub can be reached.",
            received=f"{type(error).__name__}: {text}",
            fix=f"use a preset that needs no hub ({', '.join(OFFLINE)}), or give the path of a folder with the files: "
            "a KerasHub preset or a Hugging Face model, copied from a machine that has network",
        )
    return PresetError(
        f"The hub did not serve preset {name!r}: there is none, or it needs a login.",
        received=f"{type(error).__name__}: {text}",
        fix="check the name; for gated presets, accept the terms and log in with the hub's own tool",
    )
