"""Texts of any length, unknown words, labels and weights."""

from __future__ import annotations

import copy
import pickle
import re
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import tfvertical as tv
from tests.core import tiny
from tfvertical import backbones, data
from tfvertical.codecs.text import Normalizer
from tfvertical.errors import BundleError, ConfigError, DataError, PresetError

QUICK = {"epochs": 1, "batch_size": 8, "verbose": 0}
LONG = "the card never came " * 40


@pytest.fixture(scope="module")
def task():
    return tiny.text_task(layers=1)


@pytest.fixture(scope="module")
def windowed():
    return tiny.text_task(layers=1, windows=True)


# ---------------------------------------------------------------------------------------------------- any length
def test_long_texts_are_cut_and_counted(task):
    encoded = task.encode(tiny.labelled([LONG, "good", LONG], None))
    assert encoded.truncated == 2 and encoded.lengths.tolist() == [24, 3, 24]
    assert encoded.rows.tolist() == [0, 1, 2]


def test_windows_cover_a_long_text_and_nothing_is_cut(windowed):
    encoded = windowed.encode(tiny.labelled([LONG, "good"], ["negative", "positive"]))
    assert encoded.truncated == 0
    windows = [encoded.columns["token_ids"].take(np.array([at]), None)[0] for at in np.flatnonzero(encoded.rows == 0)]
    pieces = windowed.preprocessor.tokenize([LONG])[0]
    assert all(window[0] == 2 and window[-1] == 3 and len(window) <= 24 for window in windows)
    assert np.array_equal(windows[0][1:-1], pieces[:22]) and np.array_equal(windows[-1][1:-1], pieces[-22:])
    starts = [0]
    for window in windows[1:]:  # each begins before the one before it has ended
        inner = window[1:-1]
        found = [at for at in range(starts[-1] + 1, starts[-1] + 23) if np.array_equal(pieces[at : at + 22], inner)]
        assert found
        starts.append(found[0])
    assert encoded.weights[encoded.rows == 0].sum() == pytest.approx(1) and encoded.weights[-1] == 1
    assert encoded.labels.tolist() == [0] * len(windows) + [1]


def test_scores_of_a_long_text_are_the_mean_of_its_windows(windowed):
    encoded = windowed.encode(tiny.labelled([LONG], None))
    each = [
        np.asarray(
            keras.ops.softmax(windowed.model({n: c.take(np.array([at]), 24) for n, c in encoded.columns.items()}))
        )[0]
        for at in range(len(encoded))
    ]
    np.testing.assert_allclose(windowed.scores(tiny.labelled([LONG], None))[0], np.mean(each, axis=0), atol=1e-6)


def test_short_texts_have_one_window(windowed, task):
    texts = tiny.labelled(["good card", "bad"], None)
    assert len(windowed.encode(texts)) == 2
    windowed.model.set_weights(task.model.get_weights())
    np.testing.assert_array_equal(windowed.scores(texts), task.scores(texts))


def test_padding_has_no_say(task):
    """Alone, or in a batch with a longer one: the same scores."""
    alone = task.scores(tiny.labelled(["good"], None))[0]
    beside = task.scores(tiny.labelled(["good", LONG], None))[0]
    np.testing.assert_allclose(alone, beside, atol=1e-6)


@pytest.mark.parametrize("pooling", ["first", "mean", "max", "attention"])
def test_padding_has_no_say_in_any_pooling(pooling: str):
    task = tiny.text_task(layers=1, pooling=pooling)
    np.testing.assert_allclose(
        task.scores(tiny.labelled(["bad"], None))[0], task.scores(tiny.labelled(["bad", LONG], None))[0], atol=1e-6
    )


def test_nothing_to_predict(task):
    assert task.predict([]) == []


def test_one_text_a_list_or_a_generator(task):
    (one,) = task.predict("good card")
    (same,) = task.predict(["good card"])
    (again,) = task.predict(text for text in ["good card"])
    assert one == same == again and one.label in tiny.LABELS and 0.5 <= one.score <= 1


class Table(list):
    """What pandas, Polars and PyArrow have in common: columns, whose names an iteration gives."""

    columns = ("text", "label")


@pytest.mark.parametrize("items", [{"text": ["good"]}, Table(["text", "label"])])
def test_names_are_not_predicted(task, items):
    with pytest.raises(DataError, match=r'names would be predicted[\s\S]*list\(df\["text"\]\)'):
        task.predict(items)


def test_a_file_is_no_text_and_examples_are_what_they_hold(task, tmp_path: Path):
    file = tmp_path / "rows.csv"
    file.write_text("text\ngood card\n")
    for path in (file, str(file)):
        with pytest.raises(DataError, match=r"is a file[\s\S]*tv\.data\.load\('.*rows\.csv', label=None\)"):
            task.predict(path)
    assert task.predict(data.load(file, label=None)) == task.predict(["good card"])
    assert len(task.predict([str(file)])) == 1


@pytest.mark.parametrize("item", [None, 3, 2.5, b"good", ["good"]])
def test_what_is_no_text_is_refused(task, item):
    with pytest.raises(DataError, match=r"item:1[\s\S]*text"):
        task.predict(["good", item])


@pytest.mark.parametrize("text", ["", "   ", "\x00", "🙂" * 5, "word" * 5000])
def test_strange_texts_have_scores(task, text: str):
    (found,) = task.predict([text])
    assert np.isfinite(found.scores).all()


# ------------------------------------------------------------------------------------------------ unknown words, labels
def test_a_vocabulary_that_lacks_the_words_is_said(task):
    foreign = tiny.labelled(["карта не пришла", "спасибо большое", "да", "нет"], ["negative", "positive"] * 2)
    assert task.encode(foreign).unknown == 1.0
    found = data.unknown_tokens(foreign, task.encode(foreign))
    assert (found.kind, found.count, found.ids) == ("unknown_tokens", 4, tuple(foreign.ids))
    assert data.unknown_tokens(tiny.texts(8), task.encode(tiny.texts(8))) is None
    assert task.evaluate(foreign).data["warnings"][-1]["kind"] == "unknown_tokens"
    with pytest.warns(UserWarning, match="vocabulary lacks 100% of the tokens, most of those of 4 rows"):
        task.fit(foreign, **QUICK)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task.fit(tiny.texts(8), **QUICK)


def test_unknown_labels_are_named_with_their_rows(task):
    wrong = tiny.labelled(["good", "bad"], ["positive", "negativ"])
    with pytest.raises(DataError, match=r"'negativ' \(row:1\)[\s\S]*'negative'"):
        task.fit(wrong, **QUICK)
    with pytest.raises(DataError, match="negativ"):
        task.fit((["good", "bad"], ["positive", "negativ"]), **QUICK)


def test_unlabelled_rows_cannot_train(task):
    with pytest.raises(DataError, match="no labels"):
        task.fit(tiny.labelled(["good", "bad"], None), **QUICK)


# ------------------------------------------------------------------------------------------------------------ weights
def first_loss(examples, **options) -> float:
    task = tiny.text_task(layers=1, body_dropout=0.0, dropout=0.0)
    options = QUICK | {"learning_rate": 1e-6} | options
    return task.fit(examples, **options).history["loss"][0]


def test_class_weights_equal_scikit_learn_s(task):
    from sklearn.utils.class_weight import compute_sample_weight

    texts = tiny.texts(8)
    labels = ["negative"] * 6 + ["positive"] * 2
    examples = tiny.labelled(texts.inputs, labels)
    found = task._labelled(task._weighted(examples, "balanced")).weights
    np.testing.assert_allclose(found, compute_sample_weight("balanced", labels), rtol=1e-6)
    own = np.linspace(0.5, 2, 8, dtype=np.float32)
    weighted = tiny.labelled(texts.inputs, labels, weights=own)
    np.testing.assert_allclose(
        task._labelled(task._weighted(weighted, {"positive": 3.0})).weights, own * np.where(np.arange(8) < 6, 1, 3)
    )


def test_sample_weights_weigh_the_loss():
    """One batch of eight: the loss of the first epoch is the weighted mean, to the digit."""
    texts = tiny.texts(8)
    each = []
    for at in range(8):
        weights = np.zeros(8, np.float32)
        weights[at] = 8.0
        each.append(first_loss(tiny.labelled(texts.inputs, texts.labels, weights=weights)) if at < 2 else None)
    even = np.zeros(8, np.float32)
    even[:2] = [2.0, 6.0]
    both = first_loss(tiny.labelled(texts.inputs, texts.labels, weights=even))
    assert both == pytest.approx(0.25 * each[0] + 0.75 * each[1], abs=1e-5)
    assert abs(each[0] - each[1]) > 1e-3


def test_label_smoothing():
    from tfvertical.objectives.cross_entropy import CrossEntropy

    logits, labels = np.random.default_rng(0).normal(size=(5, 3)).astype("float32"), np.array([0, 1, 2, 1, 0])
    expected = keras.losses.categorical_crossentropy(np.eye(3)[labels], logits, from_logits=True, label_smoothing=0.2)
    np.testing.assert_allclose(CrossEntropy(0.2).loss(logits, labels), expected, rtol=1e-5)
    plain = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
    np.testing.assert_allclose(CrossEntropy().loss(logits, labels), plain, rtol=1e-5)


# ------------------------------------------------------------------------------------------------------ what cannot be
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "meen"}, r"no pooling 'meen'[\s\S]*'mean'"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"hidden": [0]}, "hidden"),
    ],
)
def test_impossible_heads(options, message):
    with pytest.raises(ConfigError, match=message):
        tiny.text_task(layers=1, **options)


def test_unknown_settings_and_adaptations(task):
    with pytest.raises(ConfigError, match=r"'epoch'[\s\S]*'epochs'"):
        task.fit(tiny.texts(4), epoch=3)
    with pytest.raises(ConfigError, match="dataclass"):
        task.fit(tiny.texts(4), adaptation=tv.Frozen)
    with pytest.raises(ConfigError, match="no augmentation"):
        task.fit(tiny.texts(4), augment=tv.Augment())


@pytest.mark.parametrize(
    "content",
    [
        "message,topic\ngood,positive\nbad,negative\n",
        "message;topic\ngood;positive\nbad;negative\n",
        "text,label\ngood,positive\nbad,negative\n,positive\n",
        'text,label\ngood,positive\nbad,negative\n"open,positive\n',
    ],
    ids=["columns", "delimiter", "policy", "quotes"],
)
def test_what_is_wrong_with_a_file_is_told_with_a_call_that_reads_it(task, tmp_path: Path, content: str):
    path = tmp_path / "rows.csv"
    path.write_text(content)
    for use in (lambda: task.fit(path, **QUICK), lambda: task.plan(path), lambda: task.evaluate(path)):
        with pytest.raises(DataError) as error:
            use()
        (call,) = re.findall(r"give (tv\.data\.load\(.*\)) in the place of", str(error.value))
        call = call.replace("text='…'", "text='message'").replace("label='…'", "label='topic'")
        examples = eval(call, {"tv": tv, "task": task})
        assert list(examples.labels)[:2] == ["positive", "negative"]
    task.fit(examples, **QUICK)


@pytest.mark.parametrize("name", ["text", "label", "policy", "delimiter", "word_column"])
def test_options_of_reading_are_told_as_such(task, name: str):
    for use in (task.fit, task.plan, task.evaluate):
        with pytest.raises(ConfigError, match=rf"{name!r}\. Fix: .*tv\.data\.load\(…, {name}=…\)") as error:
            use("rows.csv", **{name: "x"})
        assert "Nearest" not in str(error.value)


def test_a_picture_backbone_for_texts():
    with pytest.raises(ConfigError, match="takes a text backbone"):
        tv.TextClassifier(tiny.image_backbone(), tiny.LABELS)


# -------------------------------------------------------------------------------------------------- a model of your own
def own_text_model(dtype: str = "int32") -> keras.Model:
    ids = keras.Input((None,), dtype=dtype, name="token_ids")
    mask = keras.Input((None,), dtype="int32", name="padding_mask")
    x = keras.layers.Embedding(len(tiny.VOCABULARY), 8, name="words")(ids)
    x = keras.layers.Conv1D(8, 3, padding="same", activation="relu", name="conv")(x)
    x = x * keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
    return keras.Model([ids, mask], x)


def own_preprocessor(*names: str):
    from tfvertical.backbones._text_preprocessor import WordPiecePreprocessor
    from tfvertical.codecs.text import Normalizer

    return WordPiecePreprocessor(tiny.VOCABULARY, Normalizer(True, True), 16, names or ("token_ids", "padding_mask"))


def test_a_task_around_a_model_of_your_own(tmp_path):
    backbone = backbones.around(own_text_model(), own_preprocessor())
    assert backbone.blocks == ("words/", "conv/")
    task = tv.TextClassifier(backbone, tiny.LABELS)
    history = task.fit(tiny.texts(8), adaptation=tv.GradualUnfreezing(blocks=1), **QUICK)
    assert {address.split("/")[1] for proof in history.proofs for address in proof.moved} == {"conv", "logits"}
    task.save(tmp_path)
    test = tiny.texts(4, 1)
    np.testing.assert_array_equal(tv.load(tmp_path).scores(test), task.scores(test))


class Mine(tv.TextClassifier):
    """Of somebody's own."""


def test_what_loading_would_not_find_is_not_saved(tmp_path: Path):
    with pytest.raises(BundleError, match=r"Mine is a class of your own[\s\S]*TextClassifier"):
        Mine(tiny.text_backbone(layers=1), tiny.LABELS).save(tmp_path / "mine")
    task = tiny.text_task(layers=1)
    task.preprocessor = type("Own", (type(task.preprocessor),), {})(
        tiny.VOCABULARY, Normalizer(True, True), 24, ("token_ids", "padding_mask", "segment_ids")
    )
    with pytest.raises(BundleError, match=r"Own is a preprocessor of your own[\s\S]*WordPiecePreprocessor"):
        task.save(tmp_path / "own")
    assert not list(tmp_path.iterdir())


def test_numbers_of_numpy_train_and_are_saved(tmp_path: Path):
    task = tiny.text_task(layers=1, dropout=np.float32(0.25))
    task.fit(
        tiny.texts(8),
        adaptation=tv.Discriminative(decay=np.float32(2.5), backbone_rate=np.float32(0.5)),
        class_weight={"positive": np.float32(2)},
        epochs=np.int64(1),
        learning_rate=np.float32(1e-3),
        checkpoint=tmp_path / "position",
        verbose=0,
    )
    task.save(tmp_path / "saved")
    run = tv.load(tmp_path / "saved").run
    assert run["class_weight"] == {"positive": 2.0} and run["adaptation"]["decay"] == 2.5
    assert run["settings"]["epochs"] == 1 and run["settings"]["learning_rate"] == pytest.approx(1e-3)


@pytest.mark.parametrize("copied", [copy.copy, copy.deepcopy, pickle.dumps])
def test_a_task_is_copied_by_saving_it(task, copied):
    with pytest.raises(ConfigError, match=r"task\.save[\s\S]*tv\.load"):
        copied(task)


def test_ids_may_be_floats_as_keras_takes_inputs_that_say_nothing():
    task = tv.TextClassifier(backbones.around(own_text_model("float32"), own_preprocessor()), tiny.LABELS)
    history = task.fit(tiny.texts(8), adaptation=tv.FullFineTuning(), **QUICK)
    assert "text/words/embeddings" in history.proofs[0].moved


def test_models_that_do_not_fit():
    ids = keras.Input((None,), dtype="int32", name="token_ids")
    without = keras.Model(ids, keras.layers.Embedding(9, 4)(ids))
    with pytest.raises(PresetError, match="padding_mask"):
        backbones.around(without, own_preprocessor("token_ids"))
    with pytest.raises(PresetError, match="another output"):
        flat = own_text_model()
        backbones.around(keras.Model(flat.inputs, flat.output[:, 0]), own_preprocessor())
    with pytest.raises(PresetError, match="belongs to 2 blocks"):
        backbones.around(own_text_model(), own_preprocessor(), ["words/", "(conv|words)/"])
    with pytest.raises(PresetError, match="preprocessor"):
        backbones.around(own_text_model(), own_preprocessor("token_ids"))
