"""What the PyTorch contenders share. Runs in the peers' environment: tfvertical is not there.

PyTorch's first optimizer imports `torch._dynamo`, for seconds; here that passes before the clock starts.
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch._dynamo
from torch import nn
from transformers import AutoModel

THREADS = 2
BETAS, EPSILON = (0.9, 0.999), 1e-7  # Keras' values

torch.set_num_threads(THREADS)


class Classifier(nn.Module):
    """MiniLM, the mean of its token states, brought to one length, dropout, one linear layer.

    Args:
        folder: Hugging Face's.
        labels: how many.
        dropout: before the linear layer.
    """

    def __init__(self, folder: str, labels: int, dropout: float) -> None:
        super().__init__()
        self.bert = AutoModel.from_pretrained(folder, add_pooling_layer=False)
        self.dropout, self.linear = nn.Dropout(dropout), head(self.bert.config.hidden_size, labels)

    def forward(self, input_ids: Any, attention_mask: Any, labels: Any = None) -> dict[str, Any]:
        """Logits, and the loss if there are labels."""
        states = self.bert(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        weight = attention_mask[..., None].to(states.dtype)
        pooled = (states * weight).sum(1) / weight.sum(1)
        pooled = nn.functional.normalize(pooled, dim=1) * math.sqrt(pooled.shape[1])
        logits = self.linear(self.dropout(pooled)).float()
        found = {"logits": logits}
        if labels is not None:
            found["loss"] = nn.functional.cross_entropy(logits, labels)
        return found

    def unfreeze(self, blocks: int | None) -> None:
        """Let the top `blocks` learn, or everything with None; what is frozen stays in `eval()` through `train()`."""
        layers = list(self.bert.encoder.layer)
        learning = [self.bert] if blocks is None else layers[len(layers) - blocks :]
        self.bert.requires_grad_(False)
        for module in learning:
            module.requires_grad_(True)
        self.still = [] if blocks is None else [self.bert.embeddings, *layers[: len(layers) - blocks]]

    def train(self, mode: bool = True) -> Classifier:
        """As in PyTorch, but for what is frozen."""
        super().train(mode)
        for module in getattr(self, "still", []):
            module.eval()
        return self


def head(width: int, labels: int) -> nn.Linear:
    """A linear layer that begins as Keras' do."""
    linear = nn.Linear(width, labels)
    nn.init.xavier_uniform_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear


def groups(model: nn.Module, decay: float) -> list[dict[str, Any]]:
    """Parameters that learn, with decay on matrices only."""
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return [
        {"params": [each for each in learning if each.ndim > 1], "weight_decay": decay},
        {"params": [each for each in learning if each.ndim <= 1], "weight_decay": 0.0},
    ]


def adamw(model: nn.Module, work: dict[str, Any], rate: float, steps: int) -> tuple[Any, Any]:
    """Fused AdamW, and the schedule that all contenders have: 10 % warm-up, then cosine to 0."""
    optimizer = torch.optim.AdamW(groups(model, work["decay"]), lr=rate, betas=BETAS, eps=EPSILON, fused=True)
    warm = max(1, steps // 10)

    def share(step: int) -> float:
        if step < warm:
            return (step + 1) / warm
        return 0.5 * (1 + math.cos(math.pi * min(1.0, (step - warm) / max(1, steps - warm))))

    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, share)
