from __future__ import annotations

import os
import shutil

import pytest

from tests.data.conftest import png_header
from tfvertical import data
from tfvertical.errors import DataError


def test_labels_are_folders_in_sorted_order(pictures):
    examples = data.load(pictures, kind="image")
    assert list(examples.ids) == [f"{label}/{at}.jpg" for label in ("hat", "shoe") for at in range(3)]
    assert list(examples.labels) == ["hat"] * 3 + ["shoe"] * 3
    assert examples.inputs[0] == pictures / "hat/0.jpg"
    assert examples.report.warnings == ()


def spoil(kind, pictures, tmp_path):
    bad = pictures / "hat" / "9.jpg"
    whole = (pictures / "hat/0.jpg").read_bytes()
    if kind == "text":
        bad.write_text("this is no picture")
    elif kind == "truncated":
        bad.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        bad.write_bytes(b"")
    elif kind == "huge":
        bad.write_bytes(png_header(50_000, 50_000))
    elif kind == "link out":
        (tmp_path / "out.jpg").write_bytes(whole)
        bad.symlink_to(tmp_path / "out.jpg")
    elif kind == "broken link":
        bad.symlink_to(pictures / "hat" / "none.jpg")
    elif kind == "folder link":
        bad.symlink_to(pictures / "shoe")


REASONS = {
    "text": "",
    "truncated": "",
    "empty": "",
    "huge": "pixels",
    "link out": "leads out",
    "broken link": "broken link",
}


@pytest.mark.parametrize("kind", [*REASONS, "folder link"])
def test_a_bad_file_is_named_and_costs_no_other(pictures, tmp_path, kind):
    spoil(kind, pictures, tmp_path)
    with pytest.raises(DataError, match=rf"1 of 7 rows cannot be used:\n  hat/9\.jpg: .*{REASONS.get(kind, 'link')}"):
        data.load(pictures, kind="image")
    report = data.load(pictures, kind="image", policy="skip").report
    assert (report.read, report.kept, [one.id for one in report.rejected]) == (7, 6, ["hat/9.jpg"])
    assert str(tmp_path) not in report.rejected[0].reason


def test_names_that_are_not_utf8(pictures, tmp_path):
    os.rename(pictures / "hat" / "0.jpg", os.fsencode(pictures / "hat") + b"/caf\xe9.jpg")
    os.mkdir(os.fsencode(pictures) + b"/f\xeate")
    shutil.copy(pictures / "hat" / "1.jpg", os.fsencode(pictures) + b"/f\xeate/1.jpg")
    report = data.load(pictures, kind="image", policy="quarantine", quarantine=tmp_path / "bad.jsonl").report
    assert [(one.id, one.reason) for one in report.rejected] == [("f\\xeate/1.jpg", "the label is not utf-8")]
    assert report.kept == 6


def test_pipes_are_not_opened(pictures):
    os.mkfifo(pictures / "hat" / "9.jpg")
    with pytest.raises(DataError, match=r"hat/9\.jpg: not a regular file"):
        data.load(pictures, kind="image")


def test_a_link_inside_is_followed(pictures):
    (pictures / "hat" / "9.jpg").symlink_to(pictures / "shoe" / "0.jpg")
    report = data.load(pictures, kind="image").report
    assert {w.kind: w.ids for w in report.warnings} == {
        "duplicate": ("shoe/0.jpg",),
        "conflicting_label": ("hat/9.jpg", "shoe/0.jpg"),
    }


def test_hidden_files_are_ignored_and_counted_also_strictly(pictures):
    (pictures / ".DS_Store").write_text("x")
    (pictures / "hat" / "Thumbs.db").write_text("x")
    report = data.load(pictures, kind="image", strict=True).report
    (warning,) = report.warnings
    assert (warning.kind, warning.count, report.read) == ("ignored_files", 2, 6)
    assert warning.ids == (".DS_Store", "hat/Thumbs.db")


def test_files_beside_the_class_folders_are_faults(pictures):
    (pictures / "readme.txt").write_text("x")
    with pytest.raises(DataError, match=r"readme\.txt: the file stands beside the class folders"):
        data.load(pictures, kind="image")


def test_without_labels_every_picture_counts(pictures):
    shutil.copy(pictures / "hat/0.jpg", pictures / "top.jpg")
    (pictures / "hat/0.jpg").unlink()
    examples = data.load(pictures, kind="image", label=None)
    assert examples.labels is None and len(examples) == 6


def test_folders_of_another_shape_are_refused(pictures, tmp_path):
    with pytest.raises(DataError, match="kind='image'"):
        data.load(pictures)
    with pytest.raises(DataError, match="no class folders"):
        data.load(pictures / "hat", kind="image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="is empty"):
        data.load(tmp_path / "empty", kind="image")
    for part in ("train", "test"):
        shutil.copytree(pictures, tmp_path / "splits" / part)
    with pytest.raises(DataError, match=r"holds splits \(test, train\), not classes"):
        data.load(tmp_path / "splits", kind="image")


def test_a_folder_that_may_not_be_read_is_named(pictures, monkeypatch):
    real = os.listdir

    def refused(folder):
        if os.path.basename(folder) == "shoe":
            raise PermissionError(13, "Permission denied", str(folder))
        return real(folder)

    monkeypatch.setattr(os, "listdir", refused)
    with pytest.raises(DataError, match="shoe cannot be read: Permission denied"):
        data.load(pictures, kind="image")


def test_folders_nested_deeper_than_calls(pictures, monkeypatch):
    picture = (pictures / "hat" / "1.jpg").read_bytes()
    monkeypatch.chdir(pictures / "hat")
    for _ in range(1100):
        os.mkdir("a")
        os.chdir("a")
    with open("deep.jpg", "wb") as file:
        file.write(picture)
    try:
        assert data.load(pictures, kind="image").ids[3] == "hat/" + "a/" * 1100 + "deep.jpg"
    finally:  # what removes folders for pytest calls itself
        os.remove("deep.jpg")
        for _ in range(1100):
            os.chdir("..")
            os.rmdir("a")


def test_an_empty_class_folder_is_worth_a_look(pictures):
    (pictures / "cap").mkdir()
    report = data.load(pictures, kind="image").report
    assert [(w.kind, w.ids) for w in report.warnings] == [("empty_class", ("cap",))]
    with pytest.raises(DataError, match="empty_class"):
        data.load(pictures, kind="image", strict=True)
