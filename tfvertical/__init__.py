"""Adapt a pretrained KerasHub or KerasCV backbone to a domain's labelled data, and ship the result.

Public names are imported on first use: `import tfvertical` alone loads neither TensorFlow nor NumPy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from tfvertical.backend import check_backend, prefer_tensorflow
from tfvertical.kernels import prefer_onednn

if TYPE_CHECKING:
    from tfvertical import backbones, data, distribution, errors
    from tfvertical.adaptations.discriminative import Discriminative
    from tfvertical.adaptations.frozen import Frozen
    from tfvertical.adaptations.full_fine_tuning import FullFineTuning
    from tfvertical.adaptations.gradual_unfreezing import GradualUnfreezing
    from tfvertical.augment import Augment
    from tfvertical.bundle import load
    from tfvertical.contracts import Examples
    from tfvertical.export import export
    from tfvertical.frontier import split
    from tfvertical.report import Report
    from tfvertical.stages import Stage, apply_stage
    from tfvertical.tasks.extractive_qa import ExtractiveQA
    from tfvertical.tasks.image_classifier import ImageClassifier
    from tfvertical.tasks.image_multi_label_classifier import ImageMultiLabelClassifier
    from tfvertical.tasks.image_regressor import ImageRegressor
    from tfvertical.tasks.pair_classifier import PairClassifier
    from tfvertical.tasks.pair_regressor import PairRegressor
    from tfvertical.tasks.text_classifier import TextClassifier
    from tfvertical.tasks.text_multi_label_classifier import TextMultiLabelClassifier
    from tfvertical.tasks.text_regressor import TextRegressor
    from tfvertical.tasks.token_classifier import TokenClassifier

__version__ = "0.1.0"

prefer_onednn()  # TensorFlow reads the switch while it is imported
prefer_tensorflow()  # and Keras its backend

# public name -> where it lives, below tfvertical; no attribute: the module itself
_HOMES = {
    "Augment": "augment:Augment",
    "Discriminative": "adaptations.discriminative:Discriminative",
    "Examples": "contracts:Examples",
    "ExtractiveQA": "tasks.extractive_qa:ExtractiveQA",
    "Frozen": "adaptations.frozen:Frozen",
    "FullFineTuning": "adaptations.full_fine_tuning:FullFineTuning",
    "GradualUnfreezing": "adaptations.gradual_unfreezing:GradualUnfreezing",
    "ImageClassifier": "tasks.image_classifier:ImageClassifier",
    "ImageMultiLabelClassifier": "tasks.image_multi_label_classifier:ImageMultiLabelClassifier",
    "ImageRegressor": "tasks.image_regressor:ImageRegressor",
    "Report": "report:Report",
    "Stage": "stages:Stage",
    "PairClassifier": "tasks.pair_classifier:PairClassifier",
    "PairRegressor": "tasks.pair_regressor:PairRegressor",
    "TextClassifier": "tasks.text_classifier:TextClassifier",
    "TextMultiLabelClassifier": "tasks.text_multi_label_classifier:TextMultiLabelClassifier",
    "TextRegressor": "tasks.text_regressor:TextRegressor",
    "TokenClassifier": "tasks.token_classifier:TokenClassifier",
    "apply_stage": "stages:apply_stage",
    "backbones": "backbones",
    "data": "data",
    "distribution": "distribution",
    "errors": "errors",
    "export": "export",
    "load": "bundle:load",
    "split": "frontier:split",
}

_OF_KERAS = ("tasks.", "bundle", "export", "frontier")  # which import Keras

__all__ = [
    "Augment",
    "Discriminative",
    "Examples",
    "ExtractiveQA",
    "Frozen",
    "FullFineTuning",
    "GradualUnfreezing",
    "ImageClassifier",
    "ImageMultiLabelClassifier",
    "ImageRegressor",
    "PairClassifier",
    "PairRegressor",
    "Report",
    "Stage",
    "TextClassifier",
    "TextMultiLabelClassifier",
    "TextRegressor",
    "TokenClassifier",
    "apply_stage",
    "backbones",
    "data",
    "distribution",
    "errors",
    "export",
    "load",
    "split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        return _submodule(name)
    module, _, attribute = _HOMES[name].partition(":")
    if module.startswith(_OF_KERAS):
        check_backend()
    found = importlib.import_module(f"{__name__}.{module}")
    value = getattr(found, attribute) if attribute else found
    globals()[name] = value  # asked once
    return value


def _submodule(name: str) -> Any:
    """`tfvertical.settings` as the documents write it, without an import of its own."""
    full, unknown = f"{__name__}.{name}", AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name.startswith("_"):  # what Python and its tools ask every module for
        raise unknown
    try:
        return importlib.import_module(full)
    except ModuleNotFoundError as error:
        if error.name != full:
            raise
        raise unknown from None


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
