"""The command without TensorFlow: help, mistakes, refusals. Each must be quick and clear."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tfvertical.cli import main

Capture = pytest.CaptureFixture[str]
COMMANDS = ("train", "sweep", "evaluate", "predict", "export", "presets", "cache", "demo")


def test_help_is_quick_names_every_command_and_loads_no_tensorflow() -> None:
    code = """
import sys, time
from tfvertical.cli import main
code = main(['--help'])
print(code, 'tensorflow' in sys.modules, time.process_time())  # processor time: other tests share the machine
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    exit_code, tensorflow, seconds = done.stdout.split()[-3:]
    assert (exit_code, tensorflow) == ("0", "False")
    assert all(command in done.stdout for command in COMMANDS)
    assert float(seconds) < 1.0


def test_the_installed_command_returns_the_exit_code() -> None:
    command = Path(sys.executable).with_name("tfvertical")
    done = subprocess.run([command, "trian"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Did you mean 'train'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    assert main([command, "--help"]) == 0
    assert "Usage: tfvertical " + command in capsys.readouterr().out


def test_version(capsys: Capture) -> None:
    import tfvertical

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == f"tfvertical {tfvertical.__version__}"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "none.yaml", "--out", "out"], "There is no run file none.yaml"),
        (["predict", "bundle", "none.txt"], "no file or folder 'none.txt'"),
        (["predict", "bundle", "-", "--out", "out", "--overwrite"], "--out and --overwrite would do nothing"),
        (["predict", "bundle", "-", "--beam-option", "--runner=FlinkRunner"], "--beam-option would do nothing"),
        (["predict", "bundle", "-", "--runner", "flink"], "--runner beam; with --beam-option --runner=NAME"),
        (["predict", "bundle", "-", "--data-option", "policy=skip"], "policy: unknown key"),
        (["evaluate", "bundle", "test.csv", "--data-option", "delimter=;"], "Nearest: 'delimiter'"),
        (["evaluate", "bundle", "test.csv", "--data-option", "delimiter=;;"], "';;' cannot stand between cells"),
        (["export", "bundle", "--data", "a.csv", "--data-option", "policy"], "--data-option policy: this sets nothing"),
        (["predict", "bundle", "a text, no file " * 300], "no file or folder 'a text"),
        (["export", "bundle", "--format", "lite"], "Nearest: 'litert'"),
        (["train"], "Missing argument"),
        (["train", "x.yaml", "--out"], "requires an argument"),
    ],
)
def test_mistakes_are_one_clear_message(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: Capture,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert "Traceback" not in said.err and not said.out
    assert not list(tmp_path.iterdir())


def test_traceback_is_shown_when_asked_for(tmp_path: Path) -> None:
    from tfvertical.errors import ConfigError

    for arguments in (
        ["--traceback", "train", "none.yaml", "--out", "o"],
        ["train", "none.yaml", "--out", "o", "--traceback"],
    ):
        with pytest.raises(ConfigError):
            main(arguments)


def test_a_filled_output_folder_is_refused_before_anything_is_loaded(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tfvertical import _console

    monkeypatch.setattr(_console, "load_tensorflow", lambda: pytest.fail("TensorFlow was loaded"))
    (tmp_path / "train.csv").write_text("text,label\n")
    run = tmp_path / "run.yaml"
    run.write_text("task: {name: TextClassifier, preset: minilm_l6_v2}\ndata: {train: train.csv}\n")
    out = tmp_path / "out"
    out.mkdir()
    (out / "precious").write_text("mine")
    assert main(["train", str(run), "--out", str(out)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert [path.name for path in out.iterdir()] == ["precious"]


def test_ctrl_c_is_130(monkeypatch: pytest.MonkeyPatch, capsys: Capture, tmp_path: Path) -> None:
    from tfvertical import jobs

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(jobs, "predict", interrupted)
    (tmp_path / "in.txt").write_text("a\n")
    assert main(["predict", "bundle", str(tmp_path / "in.txt")]) == 130
    assert "Interrupted" in capsys.readouterr().err


def test_sigterm_lets_a_command_take_away_what_it_has_begun(monkeypatch, capsys: Capture, tmp_path: Path) -> None:
    from tfvertical import jobs

    before, begun = signal.getsignal(signal.SIGTERM), tmp_path / "begun"

    def interrupted(*_: object, **__: object) -> None:
        begun.touch()
        try:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(10)
        finally:
            begun.unlink()

    monkeypatch.setattr(jobs, "predict", interrupted)
    (tmp_path / "in.txt").write_text("a\n")
    assert main(["predict", "bundle", str(tmp_path / "in.txt")]) == 130
    assert "Interrupted" in capsys.readouterr().err
    assert not begun.exists() and signal.getsignal(signal.SIGTERM) == before


def test_warnings_are_lines_without_code(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("a\n")
    code = f"""
import warnings
from tfvertical import jobs
from tfvertical.cli import main
def predict(*arguments, **options):
    warnings.warn("An export is old.")
    return iter(())
jobs.predict = predict
main(["predict", "bundle", {str(tmp_path / "in.txt")!r}])
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stderr == "Warning: An export is old.\n"


def test_a_mistyped_path_names_the_nearest(tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "cards").mkdir()
    (tmp_path / "in.txt").write_text("a\n")
    assert main(["predict", str(tmp_path / "crads"), str(tmp_path / "in.txt")]) == 2
    assert f"Nearest: '{tmp_path / 'cards'}'" in capsys.readouterr().err
    assert main(["predict", str(tmp_path / "cards"), str(tmp_path / "im.txt")]) == 2
    assert f"Nearest: '{tmp_path / 'in.txt'}'" in capsys.readouterr().err


def test_presets_list_names_the_offline_ones(capsys: Capture) -> None:
    assert main(["presets", "list"]) == 0
    said = capsys.readouterr()
    assert [line.split()[0] for line in said.out.splitlines()] == ["minilm_l6_v2", "efficientnet_lite0"]
    assert all(line.endswith(("fetched", "not fetched yet")) for line in said.out.splitlines())
    assert "--hub" in said.err


def test_what_is_wrong_with_data_and_bundles_is_told_without_tensorflow(tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("text,label\na,b\nc,d\n")
    (tmp_path / "run.yaml").write_text(
        "task: {name: TextClassifier, preset: minilm_l6_v2}\ndata: {train: data.csv, text: text, label: lable}\n"
    )
    (tmp_path / "model" / "bundle").mkdir(parents=True)
    code = f"""
import sys
from tfvertical.cli import main
print(main(["train", {str(tmp_path / "run.yaml")!r}, "--out", {str(tmp_path / "made" / "out")!r}]))
print(main(["predict", {str(tmp_path / "model")!r}, {str(tmp_path / "data.csv")!r}]))
print(main(["export", {str(tmp_path / "model")!r}, "--precision", "int88"]))
print(main(["train", {str(tmp_path / "run.yaml")!r}, "--out", {str(tmp_path / "data.csv" / "out")!r}]))
print("tensorflow" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["2", "2", "2", "2", "False"]
    assert "data.csv is a file" in done.stderr
    assert "no precision 'int88'" in done.stderr
    assert "no column 'lable'" in done.stderr and "manifest.json is missing" in done.stderr
    assert not (tmp_path / "made").exists()


def test_noise_is_held_back_and_everything_else_is_shown(capfd: pytest.CaptureFixture[str]) -> None:
    import os

    from tfvertical._console import quiet

    with quiet():
        os.write(2, b"I0000 00:00:1.2 3 port.cc:153] oneDNN custom operations are on.\nsomething real\n")
    assert capfd.readouterr().err == "something real\n"
