"""`tfvertical cache`: what is kept, and what is removed of it; without TensorFlow."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tfvertical import store as stores
from tfvertical.cli import main
from tfvertical.store import Spec, Store

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Three entries, used in 1970, in 1970 and now."""
    monkeypatch.setenv("TFVERTICAL_HOME", str(tmp_path))
    store = Store()
    for name, used in (("old", 1000.0), ("\x1b[31mred", 2000.0), ("new", None)):
        parts = {"preset": "minilm_l6_v2", "data": "0" * 64, "data_name": name}
        with store.write(stores.key(parts), parts, [Spec("x", "float32", (300,), False)], 1000, None) as writer:
            writer.put("x", np.arange(1000), np.zeros((1000, 300), np.float32))
        if used is not None:
            os.utime(store.folder / stores.key(parts) / "used", (used, used))
    return store


def test_list(store: Store, capsys: Capture) -> None:
    bad = store.entries()[2].key
    (store.folder / bad / "entry.json").write_text("{}")
    assert main(["cache", "list"]) == 0
    said = capsys.readouterr()
    heading, new, red, old = said.out.splitlines()
    assert heading.split() == ["KEY", "SIZE", "ROWS", "LAST", "USED", "WHAT"]
    assert new.split()[:4] == [store.entries()[0].key[:12], "1.2", "MB", "1,000"]
    assert new.endswith("minilm_l6_v2, new") and red.endswith("minilm_l6_v2, ?[31mred")
    assert old.startswith(bad[:12]) and "never" in old and "damaged: entry.json was changed" in old
    assert f"3 kept in {store.folder}, 3.6 MB of at most 10.0 GB." in said.err


def test_clear_by_key_and_by_age(store: Store, capsys: Capture) -> None:
    new, red, old = (entry.key for entry in store.entries())
    assert main(["cache", "clear", red[:8], red.upper()[:9], "--yes"]) == 0
    assert capsys.readouterr().out == "Removed 1; 1.2 MB freed.\n"
    assert [entry.key for entry in store.entries()] == [new, old]
    assert main(["cache", "clear", new[:8], "--unused-for", "0.5", "--yes"]) == 0
    assert capsys.readouterr().out == "Nothing to remove.\n"
    assert main(["cache", "clear", "--unused-for", "0.5", "--yes"]) == 0
    assert [entry.key for entry in store.entries()] == [new]
    assert main(["cache", "clear", "-y"]) == 0 and main(["cache", "clear"]) == 0
    assert capsys.readouterr().out.endswith("Nothing to remove.\n")
    assert main(["cache", "list"]) == 0
    said = capsys.readouterr()
    assert not said.out and "0 kept in" in said.err


def test_mistakes_remove_nothing(store: Store, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    keys = [entry.key for entry in store.entries()]
    typo = keys[0][:10] + ("0" if keys[0][10] != "0" else "1")
    for arguments, message in (
        ([typo], f"Nearest: '{keys[0][:12]}'"),
        ([keys[0][:8], "zz"], "No key begins with 'zz'"),
        ([""], "No key begins with ''"),
        (["--unused-for", "-1"], "greater than or equal to 0"),
    ):
        assert main(["cache", "clear", "--yes", *arguments]) == 2, arguments
        assert message in capsys.readouterr().err
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["cache", "clear"]) == 2
    assert "Remove 3 of 3 entries, 3.6 MB? Nobody is there to answer" in capsys.readouterr().err
    assert len(store.entries()) == 3


@pytest.mark.parametrize(("answer", "left"), [("y\n", 0), ("n\n", 3), ("\n", 3), ("", 3)])
def test_the_question(store: Store, answer: str, left: int, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    assert main(["cache", "clear"]) == 0
    assert len(store.entries()) == left
    said = capsys.readouterr()
    assert "Remove 3 of 3 entries, 3.6 MB? [y/N]" in said.err
    assert ("Nothing was removed." in said.err) == bool(left) == (not said.out)


def test_a_prefix_of_several_is_refused() -> None:
    from tfvertical.errors import StoreError
    from tfvertical.storing.folder import Entry
    from tfvertical.storing.listing import chosen

    entries = [Entry("ab" + digit * 62, 1, 0, 0) for digit in "12"]
    assert chosen(entries, ["ab1", "AB11"]) == entries[:1]
    with pytest.raises(StoreError, match=r"2 keys begin with 'ab'[\s\S]*'ab1111111111', 'ab2222222222'"):
        chosen(entries, ["ab"])


def test_tensorflow_is_not_loaded(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "from tfvertical.cli import main\n"
        "print(main(['cache', 'list']), main(['cache', 'clear']), 'tensorflow' in sys.modules, 'keras' in sys.modules)"
    )
    environment = {**os.environ, "TFVERTICAL_HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True, env=environment)
    assert done.stdout.splitlines()[-1] == "0 0 False False"
