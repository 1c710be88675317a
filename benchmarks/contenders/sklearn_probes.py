"""Frozen features and scikit-learn's logistic regression: sentence-transformers for texts, timm for pictures."""

from __future__ import annotations

import warnings
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression

from benchmarks.contenders.clock import Clock, figures

THREADS = 2
SIDE, CROP = 256, 224

torch.set_num_threads(THREADS)


def sentences(work: dict[str, Any], **options: Any) -> dict[str, Any]:
    """`encode`, which sorts by length and pads per batch, then LogisticRegression(C=10)."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(work["minilm"], device="cpu", model_kwargs=options)
    model.max_seq_length = work["length"]
    clock = Clock()
    train, test = (
        model.encode(work[part]["items"], batch_size=64, normalize_embeddings=True, show_progress_bar=False)
        for part in ("train", "test")
    )
    return _regression(clock, work, train, test, 10.0)


def sentences_bfloat16(work: dict[str, Any]) -> dict[str, Any]:
    """The same with the network in bfloat16."""
    return sentences(work, dtype=torch.bfloat16)


def pictures(work: dict[str, Any]) -> dict[str, Any]:
    """timm's network over decoded pictures, the next batches decoded by a thread meanwhile, then C=0.1."""
    model = network(work["lite0"])
    clock = Clock()
    train, test = (features(model, work[part]["items"]) for part in ("train", "test"))
    return _regression(clock, work, train, test, 0.1)


def _regression(clock: Clock, work: dict[str, Any], train: Any, test: Any, strength: float) -> dict[str, Any]:
    embedded = clock.seconds
    regression = LogisticRegression(C=strength, max_iter=1000).fit(train, work["train"]["labels"])
    quality = float(np.mean(regression.predict(test) == np.asarray(work["test"]["labels"])))
    return figures(clock.seconds, quality, embedding=embedded)


def network(checkpoint: str) -> torch.nn.Module:
    """timm's `tf_efficientnet_lite0` with the checkpoint's weights, whose tensors come in the same order.

    As an expert would for speed: channels last, and frozen, which folds each BatchNormalization into its convolution.
    """
    from benchmarks.contenders import torchvision_stand_in

    torchvision_stand_in.install()
    import timm

    model = timm.create_model("tf_efficientnet_lite0", num_classes=0)
    stored = {
        name: value
        for name, value in torch.load(checkpoint, weights_only=True, map_location="cpu").items()
        if not name.startswith("_fc.")
    }
    wanted = model.state_dict()
    pairs = list(zip(wanted, stored.values(), strict=True))
    unlike = [name for name, value in pairs if wanted[name].shape != value.shape]
    if unlike:
        raise ValueError(f"the checkpoint's tensors are of other shapes than timm's: {unlike[:3]}")
    model.load_state_dict(dict(pairs))
    model.eval().to(memory_format=torch.channels_last)
    some = torch.zeros(2, 3, CROP, CROP).to(memory_format=torch.channels_last)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.freeze(torch.jit.trace(model, some))


@torch.inference_mode()
def features(model: torch.nn.Module, paths: list[str], batch: int = 32) -> np.ndarray:
    """Pooled features `(pictures, 1280)`."""
    found, parts = [], [paths[at : at + batch] for at in range(0, len(paths), batch)]
    with ThreadPoolExecutor(THREADS) as pool:
        coming = [pool.submit(_batch, part) for part in parts]
        for pixels in coming:
            images = torch.from_numpy(pixels.result()).permute(0, 3, 1, 2)
            found.append(model(images.to(torch.float32).sub_(127).div_(128)).numpy())
    return np.concatenate(found)


def _batch(paths: list[str]) -> np.ndarray:
    return np.stack([picture(path) for path in paths])


def picture(path: str) -> np.ndarray:
    """uint8 `(224, 224, 3)`: shorter side to 256, bicubic, and the centre."""
    with Image.open(path) as image:
        image = image.convert("RGB")
        width, height = image.size
        scale = SIDE / min(width, height)
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
        left, top = (image.width - CROP) // 2, (image.height - CROP) // 2
        return np.asarray(image.crop((left, top, left + CROP, top + CROP)))
