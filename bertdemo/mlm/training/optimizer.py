"""The optimisers and the learning-rate schedule of every run. Knows parameters and step numbers, nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel

from ..settings import TrainingConfig

TABLES_SHARE = 0.5  # of Muon's learning rate, for the embeddings and vectors that AdamW keeps


def learning_rate_at(step: int, *, peak: float, steps: int, warmup_share: float, decay_share: float = 1.0) -> float:
    """Linear warm-up to the peak, the peak, then linear decay that would reach 0 one step after the last.

    ``step`` counts from 0; ``decay_share`` is the share of the steps after the warm-up that decay.
    Example, 10 steps, a warm-up share of 0.2, peak 1: 0.5, 1.0, 1.0, 0.875, ..., 0.125.
    """
    warmup = max(1, round(steps * warmup_share))
    decay = max(1, round((steps - warmup) * decay_share))
    return peak * min((step + 1) / warmup, 1.0, (steps - step) / decay)


class Optimizers:
    """One or two optimisers driven as one; a group's share of the peak learning rate stays what it was built with."""

    def __init__(self, model: PreTrainedModel, config: TrainingConfig) -> None:
        self._optimizers = _build(model, config)
        self._parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self._clip_norm = config.clip_norm

    def step(self, learning_rate: float) -> None:
        """One update from the gradients that are there; they are cleared afterwards."""
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate * group["share"]
            optimizer.step()
        self.clear()

    def clip(self) -> torch.Tensor:
        """Clip the gradients to the configured norm; returns the norm that they had."""
        return nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)

    def clear(self) -> None:
        for optimizer in self._optimizers:
            optimizer.zero_grad(set_to_none=True)

    def state_dict(self) -> dict[str, Any]:
        return {str(index): optimizer.state_dict() for index, optimizer in enumerate(self._optimizers)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        for index, optimizer in enumerate(self._optimizers):
            optimizer.load_state_dict(state[str(index)])


def _build(model: PreTrainedModel, config: TrainingConfig) -> list[torch.optim.Optimizer]:
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    vectors = [parameter for parameter in model.parameters() if parameter.ndim < 2]
    if config.optimizer == "muon":
        hidden, matrices = _hidden_matrices(model)
        # "match_rms_adamw" scales Muon's orthogonal updates to the size of AdamW's, so one schedule drives both.
        muon = torch.optim.Muon(
            [{"params": hidden, "share": 1.0}], weight_decay=config.weight_decay, adjust_lr_fn="match_rms_adamw"
        )
        return [muon, _adamw(matrices, vectors, config, share=TABLES_SHARE)]
    return [_adamw(matrices, vectors, config, share=1.0)]


def _hidden_matrices(model: PreTrainedModel) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the matrices into those inside layers, which Muon is made for, and embeddings with the decoder."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    output = model.get_output_embeddings()
    tables |= {id(output.weight)} if output is not None else set()
    matrices = [parameter for parameter in model.parameters() if parameter.ndim >= 2]
    hidden = [parameter for parameter in matrices if parameter.ndim == 2 and id(parameter) not in tables]
    chosen = {id(parameter) for parameter in hidden}
    return hidden, [parameter for parameter in matrices if id(parameter) not in chosen]


def _adamw(
    matrices: list[nn.Parameter], vectors: list[nn.Parameter], config: TrainingConfig, *, share: float
) -> torch.optim.AdamW:
    """AdamW with decay on matrices only: biases and norms are not pulled towards zero."""
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay, "share": share},
        {"params": vectors, "weight_decay": 0.0, "share": share},
    ]
    # 0.98 as RoBERTa (Liu et al. 2019, section 3.1): it remembers some 50 steps, and 0.999 would 1,000, more than most
    # runs here have
    device = next((parameter.device.type for parameter in [*matrices, *vectors]), "cpu")
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), fused=device in ("cpu", "cuda"))
