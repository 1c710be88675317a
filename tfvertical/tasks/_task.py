"""What all tasks on one backbone have in common: fit, evaluate, predict, save, export."""

from __future__ import annotations

import inspect
import warnings
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np

from tfvertical import batches, bundle, data, evaluation, nodes, planning, stages, training
from tfvertical.adaptations.stages import adaptation_of
from tfvertical.checkpoint import Checkpoint
from tfvertical.codecs.listing import listed
from tfvertical.codecs.pairs import Pair
from tfvertical.contracts import Adaptation, Backbone, Encoded, Examples, Task
from tfvertical.data._advice import as_call, refuse_reading
from tfvertical.data._load import kind_of_source
from tfvertical.errors import ConfigError, DataError, TrainingError, nearest
from tfvertical.evaluating.accounts import history_account
from tfvertical.events import Events
from tfvertical.export import export
from tfvertical.export._parity import versions
from tfvertical.history import History
from tfvertical.kept import Transform
from tfvertical.plain import plain
from tfvertical.registry import to_config
from tfvertical.report import Report
from tfvertical.reporting import exported
from tfvertical.settings import Settings
from tfvertical.tasks._known import check_known


class BackboneTask(Task):
    """A head on one backbone; a task says what it predicts and how a model's outputs tell it."""

    def __init__(self, backbone: Backbone, labels: Sequence[str], head: Mapping[str, Any]):
        self._set_labels(labels, head)
        if not isinstance(backbone, Backbone):
            raise ConfigError(
                f"{type(self).__name__} takes a backbone with its preprocessor.",
                received=type(backbone).__name__,
                fix="of a KerasHub backbone and its tokenizer, save_to_preset('./mine') and from_preset('./mine', …); "
                "for a functional model of your own, tv.backbones.around(model, preprocessor)",
            )
        if backbone.preprocessor.kind != self.kind:
            raise ConfigError(
                f"{type(self).__name__} takes a {self.kind} backbone.",
                received=f"{backbone.source.preset!r}, which takes a {backbone.preprocessor.kind}",
            )
        self.preprocessor, self.source, self.head_options = backbone.preprocessor, backbone.source, plain(head)
        self._set_model(self._build(backbone.model), backbone.blocks)
        self.run = {}
        self.report: Report | None = None
        self._train: Examples | None = None
        check_blocks(self.components, self.blocks)

    @classmethod
    @abstractmethod
    def codec_of(cls, labels: Sequence[str], head: Mapping[str, Any] | None = None) -> Any:
        """The codec of labels of these names and a head of these options. Raises ConfigError where they cannot be."""

    @abstractmethod
    def decode(self, scores: np.ndarray, items: Sequence[Any]) -> list[Any]:
        """What is told of each item, from its scores."""

    def _set_labels(self, labels: Sequence[str], head: Mapping[str, Any]) -> None:
        self.codec = self.codec_of(labels, head)
        self.labels, self.outputs = self.codec.names, self.codec.outputs

    def _set_model(self, model: keras.Model, blocks: Sequence[str]) -> None:
        self.model = model
        self.components = {name: model.get_layer(name) for name in (self.kind, "head")}
        self._block_patterns = tuple(blocks)
        self.blocks = [f"{self.kind}/(?:{pattern})" for pattern in blocks]

    def _build(self, body: keras.Model) -> keras.Model:
        """Body and head as nested models of one functional model, whose inputs are a dictionary by name."""
        inputs = {t.name: keras.Input(t.shape[1:], dtype=t.dtype, name=t.name) for t in body.inputs}
        body = self._named(body)
        features = body(batches.arrange(body, inputs))
        return keras.Model(inputs, self._head(features, inputs), name=type(self).__name__.lower())

    def _named(self, body: keras.Model) -> keras.Model:
        """The body under the name of its component; the caller's model keeps its own."""
        return body if body.name == self.kind else keras.Model(body.input, body.output, name=self.kind)

    @abstractmethod
    def _head(self, features: Any, inputs: Mapping[str, Any]) -> Any:
        """The head's symbolic output on the body's."""

    @property
    def _width(self) -> int:
        """How many numbers come out of the head's linear layer."""
        return len(self.outputs)

    def _answer(self, numbers: Any) -> Any:
        """What the head makes of the symbolic numbers of its linear layer."""
        return numbers

    @classmethod
    def _checked(
        cls,
        labels: Sequence[str],
        preset: str,
        options: Mapping[str, Any],
        head: Mapping[str, Any] | None = None,
    ) -> Backbone:
        """The backbone, once everything that can be wrong without it has been checked."""
        from tfvertical import backbones

        cls.codec_of(labels, head)
        return backbones.load(preset, **options)

    # ------------------------------------------------------------------------------------------------ what users call
    def fit(
        self,
        train: Any,
        validation: Any = None,
        *,
        adaptation: Adaptation | Sequence[stages.Stage] | Mapping[str, Any] | str | None = None,
        class_weight: str | Mapping[str, float] | None = None,
        augment: Any = None,
        callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] | None = (),
        verbose: int = 1,
        events: Events | None = None,
        checkpoint: str | Path | Checkpoint | None = None,
        checkpoint_every: float = 120.0,
        **settings: Any,
    ) -> History:
        """Adapt the model to labelled data.

        Args:
            train: `Examples`, or anything that `tfvertical.data.load` reads.
            validation: the same, to choose the best epoch by; None ends with the last epoch.
            adaptation: how; a list of stages, or a name or mapping as in run files, will do; `Frozen()` by default.
            class_weight: `"balanced"`, or label -> weight; it multiplies sample weights.
            augment: an `Augment` for pictures, new in every epoch.
            callbacks: Keras' own, or one alone.
            verbose: 0 silent, 1 progress bars, 2 a line an epoch.
            events: where to say what happens.
            checkpoint: a folder (or a `Checkpoint`, which may be held for longer) in which the run's position is kept,
                every so often and after each epoch. When the same call is made again, in another process too, it goes
                on from there and ends as if it had never been interrupted; of a run that had ended, it takes the
                result.
            checkpoint_every: seconds between two saves within an epoch.
            **settings: fields of `tfvertical.settings.Settings` (`epochs`, `learning_rate`, …).

        Raises:
            ConfigError: an unknown or impossible setting.
            CheckpointError: `checkpoint` holds another run's position, or another process writes there.
            DataError: rows that cannot be used, or labels that the task does not know.
            Interrupted: SIGTERM or SIGINT ended the run, and its position is saved.
            TrainingError: the loss is not finite, a frozen weight moved, or a learning one did not.
        """
        chosen, how = _settings(settings), adaptation_of(adaptation)
        described, class_weight = to_config(how), plain(class_weight)
        examples = self.examples(train, verbose)
        held_out = None if validation is None else self.examples(validation, verbose)
        self.report = None  # it was of the model that now changes
        self._prepare(examples)
        encoded = self._labelled(self._weighted(examples, class_weight))
        if verbose and encoded.truncated:
            print(f"{examples.report.name}: {encoded.truncated:,} of {len(examples):,} rows are cut to the length.")
        transform = None if augment is None else self._augmented(examples, augment, chosen.seed)
        try:
            history = training.run(
                self,
                encoded,
                None if held_out is None else self._labelled(held_out, held_out=True),
                how,
                chosen,
                augment=transform,
                callbacks=callbacks,
                verbose=verbose,
                events=events,
                checkpoint=checkpoint,
                checkpoint_every=checkpoint_every,
                described=self._described(augment),
                names=(examples.report.name, "" if held_out is None else held_out.report.name),
            )
        except TrainingError as error:
            if not error.rows:
                raise
            raise _named(error, encoded, examples) from error
        self._train = examples
        self.run = {
            "adaptation": described,
            "settings": asdict(chosen),
            "class_weight": class_weight,
            "augment": None if augment is None else plain(asdict(augment)),
            "history": history_account(history.history),  # JSON has no word for what is not finite
            "stages": history.stages,
            "epochs": history.epochs,
            "best_epoch": history.best_epoch,
            "seconds": history.seconds,
            "waited": history.waited,
            "steps": history.steps,
            "train": examples.report.name,
            "examples": len(examples),
            "versions": versions(),
        }
        if held_out is not None:
            self._settle(held_out)
        return history

    def plan(
        self,
        train: Any,
        validation: Any = None,
        *,
        adaptation: Adaptation | Sequence[stages.Stage] | Mapping[str, Any] | str | None = None,
        augment: Any = None,
        **settings: Any,
    ) -> planning.Plan:
        """What `fit` with the same data, adaptation, augmentation and settings would do; printed: per stage, what
        learns at which rate, where the frontier lies, what is kept, and what that costs against keeping nothing.
        Nothing is trained or computed. What else `fit` takes (`class_weight`, `callbacks`, …) changes nothing of that.

        Args:
            train, validation, adaptation, augment, **settings: as for `fit`.

        Raises:
            AddressError: a stage's pattern matches nothing.
            ConfigError: an unknown or impossible setting.
            DataError: rows that cannot be used.
        """
        of_fit = inspect.signature(self.fit).parameters
        chosen = _settings({name: value for name, value in settings.items() if name not in of_fit})
        how = adaptation_of(adaptation)
        encoded = [self.encode(self.examples(train))]
        if validation is not None:
            encoded.append(self._held_out(self.examples(validation)))
        resolved = [stages.resolve(self.components, stage) for stage in how.stages(self, chosen.epochs)]
        with nodes.forgotten():
            return planning.plan(self, resolved, encoded, chosen, augment is not None)

    def evaluate(self, test: Any, **options: Any) -> Report:
        """A report on labelled data that the model has not seen; options as for `tfvertical.evaluation.evaluate`.

        Rows whose item, group or context also stood in the training data of the last `fit` are counted, and the
        figures recomputed without them.
        """
        known = [name for name in inspect.signature(evaluation.evaluate).parameters if name not in ("task", "examples")]
        refuse_reading(options, known, "option of evaluate called")
        for name in options.keys() - set(known):
            raise ConfigError(
                f"There is no option of evaluate called {name!r}.",
                expected=", ".join(known),
                nearest=nearest(name, known),
                fix="leave it out: nothing is printed" if name == "verbose" else None,
            )
        examples = self.examples(test)
        if self._train is not None and "overlap" not in options:
            options["overlap"] = data.overlap(self._train, examples)
        if self.run:
            options.setdefault("history", self.run.get("history"))
        self.report = evaluation.evaluate(self, examples, **options)
        return self.report

    def probabilities(self, scores: np.ndarray, items: Sequence[Any]) -> np.ndarray:
        """`scores` of items, with what was learned beside the model's outputs taken in: of most tasks, as they are."""
        return scores

    def predict(self, items: Any) -> list[Any]:
        """What the model says of each item: texts; paths, bytes or arrays of pictures.

        Args:
            items: a list of them, or `Examples`; a single text, path or array of a picture counts as a list of one.

        Raises:
            DataError: an item is of another kind; or a table, a mapping or the path of a file is given for texts.
        """
        items = list(listed(items, self.items))
        unlabelled = Examples(items, None, [f"item:{at}" for at in range(len(items))])
        return self.decode(self.scores(unlabelled), items)

    def save(self, path: str | Path, *, overwrite: bool = False, thin: bool = False) -> Path:
        """Write a bundle: everything that `tfvertical.load` needs, sealed by a manifest.

        Args:
            path: its folder; `bundle/` is written inside.
            overwrite: replace a bundle that stands there.
            thin: store only weights that differ from the preset's.

        Raises:
            BundleError: a bundle is there already, no space; or the task's class or that of its preprocessor is none of
                this package's, so that loading would not find it.
        """
        check_known(self)
        return bundle.save(self, path, run=self.run, report=self.report, overwrite=overwrite, thin=thin)

    def export(self, path: str | Path, format: str = "litert", **options: Any) -> Path:
        """Write an artefact under `path/exports/` and check it against this model; see `tfvertical.export`.

        `examples` and `calibration` may also be anything that `tfvertical.data.load` reads, such as a CSV file's path
        or a tuple `(x, y)`; lists, arrays and other tuples are raw items.
        If the bundle at `path` has a report, `path/exports/report.html` shows it with what all exports measured.
        """
        for name in ("examples", "calibration"):
            if options.get(name) is not None and not _are_items(options[name]):
                options[name] = self.examples(options[name])
        options.setdefault("bundle_hash", bundle.hash_for(self, path))
        written = export(self, path, format=format, **options)
        exported.renew(Path(path).expanduser(), options["bundle_hash"])
        return written

    def examples(self, value: Any, verbose: int = 0) -> Examples:
        """`value` as checked rows: an `Examples` as it is, anything else through `tfvertical.data.load`.

        With `verbose`, the account of what was read here is printed.
        """
        if isinstance(value, Examples):
            return value
        columns: dict[str, Any] = {"label": list(self.labels)} if self.target == "numbers" else {}
        try:
            read = data.load(value, kind=self.items, target=self.target, labels=self.labels, **columns)
        except DataError as error:
            raise as_call(error, value, kind=self.items, target=self.target, count=len(self.labels)) from error
        if verbose:
            print(data.describe(read.report))
        return read

    # ------------------------------------------------------------------------------------------------- Task's contract
    def config(self) -> dict[str, Any]:
        """Everything but weights and files."""
        return {
            "labels": list(self.labels),
            "head": self.head_options,
            "blocks": list(self._block_patterns),
            "preprocessor": {"class": type(self.preprocessor).__name__, **self.preprocessor.config()},
            "source": asdict(self.source),
        }

    @classmethod
    def restore(cls, model: keras.Model, config: Mapping[str, Any], assets: Mapping[str, bytes]) -> Self:
        """The task that `config()`, the preprocessor's assets and `model` came from."""
        from tfvertical.backbones import preprocessor
        from tfvertical.contracts import SourceInfo

        task = cls.__new__(cls)
        task._set_labels(config["labels"], config["head"])
        task.preprocessor = preprocessor(config["preprocessor"], assets)
        task.source, task.head_options = SourceInfo(**config["source"]), dict(config["head"])
        task._set_model(model, config["blocks"])
        task.run, task.report, task._train = {}, None, None
        return task

    def __reduce_ex__(self, protocol: Any) -> Any:
        """No copy by `copy` or `pickle`: its parts would no longer be layers of its model."""
        raise ConfigError(
            f"{type(self).__name__} is not copied by copy.deepcopy or pickle: its parts are layers of its model.",
            fix="task.save(folder), and tv.load(folder) where another one is wanted",
        )

    # --------------------------------------------------------------------------------------------------------- private
    def _prepare(self, examples: Examples) -> None:
        """What a task learns from its training data before the model does."""

    def _settle(self, held_out: Examples, scores: np.ndarray | None = None) -> None:
        """What a task chooses by its validation data, and their scores, once the model is trained."""

    def _weighted(self, examples: Examples, class_weight: Any) -> Examples:
        """The examples with what `class_weight` makes them count."""
        if class_weight is None:
            return examples
        return replace(examples, weights=data.sample_weights(examples, class_weight, self.labels))

    def _described(self, augment: Any) -> dict[str, Any] | None:
        """What a run depends on beside its settings and examples, as JSON values."""
        return None if augment is None else plain(asdict(augment))

    def _held_out(self, examples: Examples) -> Encoded:
        """Validation data as the model takes them: as they will be read where no label is known."""
        return self.encode(examples)

    def _labelled(self, examples: Examples, *, held_out: bool = False) -> Encoded:
        """The examples as the model takes them; a warning where it knows few of their words."""
        encoded = self._held_out(examples) if held_out else self.encode(examples)
        if (warning := data.unknown_tokens(examples, encoded)) is not None:
            some = ", ".join(warning.ids[:3])
            warnings.warn(
                f"{examples.report.name}: {warning.message} ({some}{', …' * (warning.count > 3)})", stacklevel=3
            )
        return encoded

    def _augmented(self, examples: Examples, augment: Any, seed: int) -> Transform:
        raise ConfigError(f"{type(self).__name__} has no augmentation.", fix="leave out augment")


def _are_items(value: Any) -> bool:
    """Whether `value` is raw items, or `Examples`, as `tfvertical.export` takes them; `(x, y)` is for `data.load`."""
    raw_tuple = isinstance(value, tuple) and not isinstance(value, Pair) and kind_of_source(value) is None
    return raw_tuple or isinstance(value, Examples | list | np.ndarray)


def _settings(options: Mapping[str, Any]) -> Settings:
    """Settings from keywords; what belongs to reading is told as that."""
    refuse_reading(options, Settings.__dataclass_fields__, "training setting")
    return Settings.of(options)


def _named(error: TrainingError, encoded: Encoded, examples: Examples) -> TrainingError:
    """The error with the names of the rows that it numbers."""
    rows = list(dict.fromkeys(examples.ids[encoded.rows[row]] for row in error.rows))
    return TrainingError(f"{error}\n  Rows: {', '.join(rows[:5])}{', …' * (len(rows) > 5)}.", rows=error.rows)


def label_ids(codec: Any, examples: Examples) -> np.ndarray | None:
    """Label ids of the rows, or None where there are no labels."""
    return None if examples.labels is None else codec.encode(examples.labels, examples.ids)


def row_weights(examples: Examples) -> np.ndarray:
    """float32 `(rows,)`."""
    return np.ones(len(examples), np.float32) if examples.weights is None else examples.weights


def check_blocks(components: Mapping[str, keras.Model], blocks: Sequence[str]) -> None:
    """Every block must match some variable; said when a task is built rather than when it trains."""
    for at, pattern in enumerate(blocks):
        stages.resolve(components, stages.Stage(f"block {at}", {pattern: 1.0}, 1, batch_norm=True))
