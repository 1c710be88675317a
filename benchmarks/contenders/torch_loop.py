"""A hand-written PyTorch loop over features in memory."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.contenders.clock import Clock, figures
from benchmarks.contenders.torch_parts import adamw, head


def warm_head(work: dict[str, Any]) -> dict[str, Any]:
    """Tensors loaded, each epoch a new permutation that is indexed; fused AdamW."""
    torch.manual_seed(work["seed"])
    with np.load(work["features"]) as arrays:
        x, test = torch.from_numpy(arrays["train"]), torch.from_numpy(arrays["test"])
    y = torch.tensor(work["train"]["labels"])
    batch, seconds, clock = work["batch"], [], Clock()
    model = nn.Sequential(nn.Dropout(work["dropout"]), head(x.shape[1], len(work["names"])))
    steps = -(-len(x) // batch) * work["epochs"]
    optimizer, schedule = adamw(model, work, work["rate"], steps)
    for _ in range(work["epochs"]):
        began = time.perf_counter()
        for rows in torch.randperm(len(x)).split(batch):
            optimizer.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimizer.step()
            schedule.step()
        seconds.append(time.perf_counter() - began)
    total = clock.seconds
    model.eval()
    with torch.inference_mode():
        quality = float((model(test).argmax(1) == torch.tensor(work["test"]["labels"])).float().mean())
    return figures(total, quality, steady=float(np.median(seconds[1:] or seconds)) * work["epochs"])
