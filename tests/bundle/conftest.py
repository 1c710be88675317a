"""A tiny saved task, made once."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.bundle import fakes
from tfvertical import bundle


@pytest.fixture
def fake_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry finds `FakeTask`."""
    monkeypatch.setattr(bundle, "task_class", lambda name: {"FakeTask": fakes.FakeTask}[name])


class SmallReport:
    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "report.json").write_text('{"accuracy": 0.5}')


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[fakes.FakeTask, Path]:
    """A text task and the folder it was saved to; copy the folder before touching it."""
    task, path = fakes.text_task(), tmp_path_factory.mktemp("made") / "cards"
    bundle.save(task, path, run={"adaptation": {"name": "Frozen"}}, report=SmallReport())
    return task, path


@pytest.fixture
def saved(made: tuple[fakes.FakeTask, Path], tmp_path: Path, fake_tasks: None) -> Path:
    """A copy of the saved folder, to be damaged."""
    return Path(shutil.copytree(made[1], tmp_path / "cards"))
