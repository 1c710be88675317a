"""What the documentation says runs: examples in docstrings and pages, links, commands and public names."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
import shlex
from pathlib import Path

import pytest

import tfvertical

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL


def modules() -> list[str]:
    """Every module whose file has an example; found without importing it."""
    return [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for path in sorted((ROOT / "tfvertical").rglob("*.py"))
        if ">>> " in path.read_text(encoding="utf-8")
    ]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = importlib.import_module(name)
    monkeypatch.chdir(tmp_path)
    assert not doctest.testmod(module, optionflags=FLAGS).failed


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_examples_in_pages(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert not doctest.testfile(str(page), module_relative=False, optionflags=FLAGS, encoding="utf-8").failed
    for block in blocks(page, "python"):
        if ">>> " not in block:
            ast.parse(block)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_names_in_pages_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"\btv\.([A-Za-z_]+)", text)):
        assert hasattr(tfvertical, name), f"tv.{name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_commands_in_pages_are_taken(page: Path) -> None:
    import typer.main

    from tfvertical.cli import app

    for block in blocks(page, "sh") + blocks(page, ""):
        for line in block.splitlines():
            if not line.startswith("tfvertical "):
                continue
            words = [word for word in shlex.split(line, comments=True)[1:] if word not in (">", "|")]
            command = typer.main.get_command(app)
            while words and words[0] in getattr(command, "commands", {}):
                command = command.commands[words.pop(0)]
            known = {option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)}
            assert not hasattr(command, "commands"), line
            assert {word for word in words if word.startswith("--")} <= known, line


def test_every_keyword_flag_ending_and_warning_stands_on_a_page() -> None:
    import typer.main

    from tfvertical import data, distribution, evaluation
    from tfvertical.cli import app
    from tfvertical.data import conll, table
    from tfvertical.data._load import keywords
    from tfvertical.settings import Settings
    from tfvertical.tasks._task import BackboneTask

    said = "\n".join(page.read_text(encoding="utf-8") for page in PAGES if page.name != "CHANGELOG.md")
    names = {*keywords(), *Settings.__dataclass_fields__}
    for target in (data.split, evaluation.evaluate, distribution.resolve, BackboneTask.fit, BackboneTask.save):
        names |= {p.name for p in inspect.signature(target).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for path in (ROOT / "tfvertical" / "data").glob("*.py"):
        names |= set(re.findall(r'[Ww]arning\("(\w+)"', path.read_text(encoding="utf-8")))
    assert sorted(name for name in names if not re.search(rf"(?<![\w-]){name}\b", said)) == []
    top = typer.main.get_command(app)
    inner = [one for each in top.commands.values() for one in (each, *getattr(each, "commands", {}).values())]
    flags = {flag for each in inner for one in each.params for flag in (one.secondary_opts or one.opts)}
    flags = {flag for flag in flags if flag.startswith("--")} - {"--help"}
    assert sorted(flag for flag in flags if not re.search(rf"{flag}(?![\w-])", said)) == []
    endings = [*table._SUFFIXES, *conll._OWN]
    assert [ending for ending in endings if f"{ending}`" not in said.replace('"', "")] == []


def test_run_files_in_pages_are_right(tmp_path: Path) -> None:
    from tfvertical import config
    from tfvertical.runfiles import runfile

    for name in ("train.csv", "test.csv"):
        (tmp_path / name).write_text("text,category\n")
    found = [block for page in PAGES for block in blocks(page, "yaml") if "task:" in block]
    assert found
    for block in found:
        config.build(runfile.parse(block), tmp_path)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
