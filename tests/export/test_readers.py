"""What the readers of an export take, and how they say what they do not."""

from __future__ import annotations

import io
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bundle import fakes
from tests.core import tiny
from tfvertical import manifest
from tfvertical.codecs.pairs import Pair
from tfvertical.errors import BundleError, DataError
from tfvertical.runtime import Answerer, Embedder, Predictor, Tagger

CONTEXT = "the good card never came"


def exported(task: Any, folder: Path, **options: Any) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the converter's own
        return task.export(folder, "litert", **options)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {}
    for kind in ("text", "image", "token", "pair", "answers"):
        options = {"threshold": None} if kind == "answers" else {}
        task = tiny.make_task(kind, **({} if kind == "image" else {"layers": 1}))
        for name, value in options.items():
            setattr(task, name, value)
        made[kind] = exported(task, tmp_path_factory.mktemp(kind))
    made["embedding"] = exported(tiny.text_task(layers=1), tmp_path_factory.mktemp("embedding"), output="embedding")
    return made


def test_a_single_item_counts_as_a_list_of_one(folders: dict[str, Path], tmp_path: Path):
    content = io.BytesIO()
    Image.fromarray(fakes.pictures(1)[0]).save(content, "PNG")
    (tmp_path / "card.png").write_bytes(content.getvalue())
    pair = Pair("the card", CONTEXT)
    for reader, singles in (
        (Predictor(folders["text"]), ["very good!"]),
        (Predictor(folders["image"]), [str(tmp_path / "card.png"), tmp_path / "card.png", content.getvalue()]),
        (Predictor(folders["image"]), [fakes.pictures(1)[0], bytearray(content.getvalue())]),
        (Predictor(folders["pair"]), [pair]),
        (Tagger(folders["token"]), ["good card, never."]),
        (Answerer(folders["answers"]), [pair]),
    ):
        for single in singles:
            found = reader.predict(single)
            assert len(found) == 1 and found == reader.predict([single])
    embedder = Embedder(folders["embedding"])
    np.testing.assert_array_equal(embedder.embed("very good!"), embedder.embed(["very good!"]))


@pytest.mark.parametrize("item", [{"question": "the", "context": CONTEXT}, "ab", None, (None, "x y"), ("a", "b", "c")])
def test_an_answerer_takes_pairs_of_texts_and_nothing_else(folders: dict[str, Path], item: Any):
    answerer = Answerer(folders["answers"])
    with pytest.raises(DataError, match=r"reads pairs of texts(.|\n)*Received: (dict|str|NoneType|tuple)"):
        answerer.predict([item])
    with pytest.raises(DataError, match="reads pairs of texts"):
        answerer.predict("the card")
    assert answerer.predict([["the", CONTEXT]]) == answerer.predict([("the", CONTEXT)])


def told(folder: Path, to: Path, **changes: Any) -> Path:
    """A copy whose `preprocessing.json` says something else; of `config`, its class."""
    shutil.copytree(folder, to)
    description = json.loads((to / "preprocessing.json").read_text())
    if "kind_of" in changes:
        description["config"]["class"] = changes.pop("kind_of")
    (to / "preprocessing.json").write_text(json.dumps(description | changes))
    return to


READERS = {"text": Predictor, "token": Tagger, "answers": Answerer, "embedding": Embedder}


@pytest.mark.parametrize("kind", READERS)
def test_rules_of_another_version_are_refused(folders: dict[str, Path], tmp_path: Path, kind: str):
    later = told(folders[kind], tmp_path / "later", schema_version=99)
    with pytest.raises(BundleError, match=r"another version(.|\n)*schema_version 1(.|\n)*schema_version 99"):
        READERS[kind](later, verify=False)


@pytest.mark.parametrize("kind", READERS)
@pytest.mark.parametrize("vocabulary", [True, False])
def test_a_tokenizer_that_needs_tensorflow_is_told_by_each_reader(
    folders: dict[str, Path], tmp_path: Path, kind: str, vocabulary: bool
):
    other = told(folders[kind], tmp_path / "other", kind_of="HubTextPreprocessor")
    if not vocabulary:
        (other / "vocab.txt").unlink()
    with pytest.raises(BundleError, match=r"HubTextPreprocessor has no form(.|\n)*runtime\.LiteRT"):
        READERS[kind](other, verify=False)


def test_a_wrong_reader_names_the_right_one(folders: dict[str, Path], tmp_path: Path):
    for reader, kind, right in (
        (Tagger, "text", "Predictor"),
        (Answerer, "token", "Tagger"),
        (Predictor, "answers", "Answerer"),
    ):
        with pytest.raises(BundleError, match=rf"runtime\.{right}"):
            reader(folders[kind])
    bare = told(folders["token"], tmp_path / "bare")
    (bare / "vocab.txt").unlink()
    with pytest.raises(BundleError, match=r"vocab\.txt is missing"):
        Tagger(bare, verify=False)


def rewritten(folder: Path, to: Path, name: str, change: Any) -> Path:
    """A copy in which one file holds what `change` makes of its text, sealed anew."""
    shutil.copytree(folder, to)
    (to / name).write_text(change((to / name).read_text()))
    (to / "manifest.json").unlink()
    manifest.seal(to, kind="export", schema_version=1)
    return to


def said(**changes: Any) -> Any:
    """Changes of `preprocessing.json`; of `config` single keys."""

    def change(content: str) -> str:
        description = json.loads(content)
        description["config"] |= changes.pop("config", {})
        return json.dumps({key: value for key, value in (description | changes).items() if value != "gone"})

    return change


@pytest.mark.parametrize(
    ("kind", "name", "change", "message"),
    [
        (
            "text",
            "labels.txt",
            lambda text: text + "neutral\n",
            r"labels and model(.|\n)*: 2, (.|\n)*: 3: ",
        ),
        ("text", "labels.txt", lambda text: "negative\n", r"labels cannot be used(.|\n)*1 names"),
        ("token", "labels.txt", lambda text: text + "B-place\nI-place\n", r"Expected: 5(.|\n)*Received: 7"),
        ("token", "labels.txt", lambda text: text + "O\n", "other lines than the tags"),
        ("text", "vocab.txt", lambda text: text + "zebra\n", r"vocab\.txt and model(.|\n)*at most 41(.|\n)*42 pieces"),
        ("answers", "vocab.txt", lambda text: text + "zebra\n", r"vocab\.txt and model"),
        ("text", "vocab.txt", lambda text: text.replace("[CLS]", "[cls]"), r"lacks the special piece '\[CLS\]'"),
        ("text", "vocab.txt", lambda text: text.replace("[UNK]", "[unk]"), r"lacks the special piece '\[UNK\]'"),
        ("text", "preprocessing.json", lambda text: "[]", r"a JSON object(.|\n)*list"),
        ("text", "preprocessing.json", lambda text: "[" * 100_000, "no readable JSON"),
        ("text", "preprocessing.json", lambda text: '{"length": 1, "length": 2}', "'length' stands twice"),
        ("text", "preprocessing.json", said(length=100_000_000), "3 to 65,536"),
        ("text", "preprocessing.json", said(length=16), r"do not belong together(.|\n)*\(1, 24\)(.|\n)*\(1, 16\)"),
        ("text", "preprocessing.json", said(lengths=[24, 16]), "ascending"),
        ("text", "preprocessing.json", said(lengths=["24"]), "numbers of tokens"),
        ("text", "preprocessing.json", said(length="gone"), "'length' is missing"),
        ("text", "preprocessing.json", said(config={"inputs": ["token_ids"]}), "do not belong together"),
        ("text", "preprocessing.json", said(config={"inputs": ["ids"]}), "inputs that texts do not become"),
        ("text", "preprocessing.json", lambda text: '{"schema_version": 1, "length": 24}', "'config' is missing"),
        ("text", "preprocessing.json", said(codec={"names": ["a", "b"]}), "'target' is missing"),
        ("text", "preprocessing.json", said(codec={"nam": []}, target="labels"), "cannot be used(.|\n)*TypeError"),
        ("text", "preprocessing.json", said(target=["labels"], codec={}), "cannot be used(.|\n)*TypeError"),
        ("token", "preprocessing.json", said(pieces="gone"), "'pieces' is missing"),
        ("answers", "preprocessing.json", said(max_question="gone"), "'max_question' is missing"),
        ("answers", "preprocessing.json", said(max_question=24), "no room for a context"),
        ("image", "preprocessing.json", said(config={"size": [100_000, 100_000]}), "each from 1 to 8192 pixels"),
        ("image", "preprocessing.json", said(config={"size": [16, 24]}), r"do not belong together(.|\n)*16, 24, 3"),
        ("image", "preprocessing.json", said(config={"crop": "round"}), "no crop 'round'"),
        ("image", "preprocessing.json", said(config={"max_pixels": None}), "cannot be used"),
        ("embedding", "preprocessing.json", said(length=16), "do not belong together"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(
    folders: dict[str, Path], tmp_path: Path, kind: str, name: str, change: Any, message: str
):
    reader = READERS.get(kind, Predictor)
    with pytest.raises(BundleError, match=message):
        reader(rewritten(folders[kind], tmp_path / "other", name, change))


def test_an_export_of_embeddings_has_no_scores(folders: dict[str, Path], tmp_path: Path):
    other = shutil.copytree(folders["embedding"], tmp_path / "other")
    (other / "labels.txt").write_text("negative\npositive\n")
    with pytest.raises(BundleError, match=r"no LiteRT export of scores(.|\n)*runtime\.Embedder"):
        Predictor(other, verify=False)
