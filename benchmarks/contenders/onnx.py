"""onnxruntime's dynamic int8 of the same weights, fused first as its guide says. Runs in the peers' environment."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.contenders.clock import figures
from benchmarks.contenders.torch_parts import Classifier

REPEATS = 1_000


class _Scores(torch.nn.Module):
    """Probabilities from ids and mask."""

    def __init__(self, model: Classifier) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: Any, mask: Any) -> Any:
        return torch.softmax(self.model(ids, mask)["logits"], dim=-1)


def dynamic(work: dict[str, Any]) -> dict[str, Any]:
    """`seconds` for a thousand texts at the median, one thread, batch 1, the inputs of tfvertical's own file."""
    import onnx
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic
    from onnxruntime.transformers import optimizer

    folder = Path(work["folder"])
    model = Classifier(work["minilm"], len(work["names"]), 0.0).eval()
    with np.load(folder / "head.npz") as head:
        model.linear.weight.data = torch.tensor(head["kernel"].T)
        model.linear.bias.data = torch.tensor(head["bias"])
    with np.load(folder / "inputs.npz") as file:
        ids, mask = (file[name].astype(np.int64) for name in ("token_ids", "padding_mask"))
    whole, small = folder / "model.onnx", folder / "model.int8.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sample = (torch.tensor(ids[:1]), torch.tensor(mask[:1]))
        names = {"input_names": ["ids", "mask"], "output_names": ["scores"], "opset_version": 17, "dynamo": False}
        torch.onnx.export(_Scores(model), sample, str(whole), **names)
    fused = folder / "model.fused.onnx"
    optimizer.optimize_model(str(whole), model_type="bert", num_heads=12, hidden_size=384).save_model_to_file(
        str(fused)
    )
    # Fusing leaves tensors without a type, which quantizing then asks for.
    untyped = {"DefaultTensorType": onnx.TensorProto.FLOAT}
    quantize_dynamic(fused, small, weight_type=QuantType.QInt8, extra_options=untyped)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(small), options, providers=["CPUExecutionProvider"])
    taken, right = [], 0
    for at, label in enumerate(work["test"]["labels"]):
        one = {"ids": ids[at : at + 1], "mask": mask[at : at + 1]}
        began = time.perf_counter()
        scores = session.run(None, one)[0][0]
        taken.append(time.perf_counter() - began)
        right += int(scores.argmax()) == label
    seconds = float(np.median(taken)) * REPEATS
    return figures(seconds, right / len(taken), bytes=float(small.stat().st_size))
