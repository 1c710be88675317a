"""What reading advises can be done where it is read: by a call of `load` for a task, by flags of the command."""

from __future__ import annotations

import re
import shlex

import pytest

from tfvertical import config, data
from tfvertical.data._advice import as_call, as_columns, as_flags, as_settings
from tfvertical.errors import DataError


def refused(value, **options) -> DataError:
    with pytest.raises(DataError) as error:
        data.load(value, labels=["a", "b"], **options)
    return error.value


def called(error: DataError, value, **task) -> str:
    """The arguments of the call that is advised, placeholders and all."""
    task = {"kind": "text", "target": "label", "count": 2} | task
    (call,) = re.findall(r"give tv\.data\.load\((.*)\) in the place of", str(as_call(error, value, **task)))
    return call


def test_flags_that_take_one_column_are_not_given_several():
    assert str(as_flags(DataError("x.", fix="name both: text=['a b', 'c']"))).endswith("--text 'a b,c'")
    assert str(as_flags(DataError("x.", fix="name them: label=['a', 'b']"))).endswith("label=['a', 'b']")


def test_the_call_has_what_the_fix_names_first_and_what_the_task_knows(write):
    path = write("a.csv", "message,topic\nx,a\n")
    assert called(refused(path), "a.csv") == "'a.csv', text='…', label='…', labels=task.labels"
    path = write("b.csv", "text,label\nx,a\n,b\n")
    assert called(refused(path), ("x", "y")) == "…, policy='skip', labels=task.labels"
    pairs = called(refused(path, kind="pair", text=["one", "two"]), "b.csv", kind="pair")
    assert pairs == "'b.csv', text=['…', '…'], label='…', kind='pair', labels=task.labels"
    numbers = {"target": "numbers", "label": ["a", "b"]}
    several = called(refused(path, **numbers), "b.csv", target="numbers")
    assert several == "'b.csv', text='…', label=['…', '…'], target='numbers', labels=task.labels"
    path = write("c.csv", "text,a,b\nx,1,2\n,1,2\n")
    one = called(refused(path, **numbers), "c.csv", target="numbers")
    assert one == "'c.csv', policy='skip', label=list(task.labels), target='numbers', labels=task.labels"


def test_reading_without_labels_is_advised_to_nobody_who_needs_them(write):
    error = refused(write("a.csv", "text,topic\nx,a\n"))
    assert "label=None" in str(error)
    for told in (as_flags(error), as_call(error, "a.csv", kind="text", target="label", count=2)):
        assert "None" not in str(told) and "without labels" not in str(told)
    alone = DataError("photos holds no class folders.", expected="one", fix="label=None reads pictures")
    assert str(as_flags(alone)) == "photos holds no class folders.\n  Expected: one."


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_what_is_advised_as_flags_is_taken(write, delimiter):
    path = write("a.csv", "text;label\nx;a\ny;b\n".replace(";", delimiter))
    told = str(as_flags(refused(path)))
    (flag,) = re.findall(r"--data-option ('delimiter=[^']*')", told)
    assert "--text '…'" in told and "--data-option header=false" in told
    options = config.reading(shlex.split(flag), labelled=True)
    assert data.load(path, labels=["a", "b"], **options).report.kept == 2


def test_flags_stand_in_fixes_only():
    error = DataError("a.csv:2: the label \"policy='skip'\" is unknown.", fix="encoding='latin-1' or quotes=False")
    assert str(as_flags(error)) == (
        "a.csv:2: the label \"policy='skip'\" is unknown. "
        "Fix: --data-option encoding=latin-1 or --data-option quotes=false"
    )
    assert str(as_flags(DataError("A folder.", fix="say kind='image'"))) == "A folder. Fix: say kind='image'"
    assert str(as_flags(DataError("It is not there."))) == "It is not there."


def test_run_files_have_keys_and_init_has_two_flags(write):
    assert '`data.delimiter: ";"` (--set \'data.delimiter=";"\')' in str(
        as_settings(DataError("x.", fix="delimiter=';'"))
    )
    assert str(as_settings(DataError("x.", fix="list them: labels=[…]"))).endswith("list them: `task.labels: […]`")
    assert str(as_settings(DataError("x.", fix="split(…, group=[…])"))).endswith("split(…, group=[…])")
    error = refused(write("a.csv", "post;topic\nx;a\n"))
    assert str(as_columns(error)).endswith("Fix: name it with --text '…'")
