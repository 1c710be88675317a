from __future__ import annotations

import re


def test_the_page_runs_and_prints_what_it_says(root, tmp_path, monkeypatch, capsys):
    (code,) = re.findall(r"```python\n(.*?)```", (root / "docs" / "data.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "docs/data.md", "exec"), {})
    printed = capsys.readouterr().out
    assert [line[2:] for line in code.splitlines() if line.startswith("# ")] == printed.splitlines()[:2]
    assert (tmp_path / "rejected.jsonl").read_text().count("\n") == 1
