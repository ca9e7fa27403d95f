"""A prediction layer by layer: the model's own head reads every layer at the mask.

Early layers were never trained to be read this way. Knows no chart and no second model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ..errors import ModelError
from ..inference.fill_mask import Candidate, answer_ids, best_candidates, check_count, piece_rows, token_id_of
from ..inference.log_probs import ranks_of
from ..models.architectures import final_norm, weight_sharing_twin
from ..models.masked_lm import MaskedLM
from ..text.prompt import PreparedText, locate_mask, prepare_ids
from ..text.tokens import readable_pieces


@dataclass(frozen=True)
class LensLayer:
    """What the model's own head reads from one layer at the mask."""

    name: str  # "embeddings", "layer 1", ...
    candidates: tuple[Candidate, ...]
    answer_probability: float
    answer_rank: int


@dataclass(frozen=True)
class LayerLens:
    """One mask layer by layer; the last layer is the model's real output."""

    prepared: PreparedText
    position: int
    answer: str
    answer_id: int
    layers: tuple[LensLayer, ...]


@torch.inference_mode()
def layer_lens(
    masked_lm: MaskedLM, text: str | PreparedText, *, mask_index: int = 0, top_k: int = 5, word: str | int | None = None
) -> LayerLens:
    """Read every layer at the mask with the model's own MLM head, the embeddings' output first (nostalgebraist 2020).

    The answer that is followed is ``word`` (or its token id) where given, else the last layer's first guess.

    "Paris is the [MASK] of France." -> embeddings: the ...; layer 1: city ...; ...; layer 12: capital 0.97.

    Raises:
        TextError: no such mask, or a word that is not one token (see ``lens_by_piece``).
        ModelError: the head of this architecture is not known.
    """
    check_count("The number of words shown", top_k)
    prepared, position = locate_mask(masked_lm, text, mask_index)
    if not masked_lm.has_readable_layers:
        raise ModelError(
            f"The layers of {masked_lm.model.config.model_type} models cannot be read one by one; "
            "choose a BERT, DistilBERT, RoBERTa or ModernBERT model."
        )
    states = hidden_states_by_layer(masked_lm, prepared.token_ids, position=position)  # (L + 1, H)
    assert masked_lm.head is not None  # which every architecture with readable layers has
    scores = masked_lm.head(states).float().log_softmax(dim=-1).cpu()  # (L + 1, V)
    after_space = prepared.after_space[mask_index]
    answer_id = int(scores[-1].argmax()) if word is None else token_id_of(masked_lm, word, after_space=after_space)
    ranks = ranks_of(scores, torch.full((len(scores),), answer_id)).tolist()
    layers = tuple(
        LensLayer(
            name=f"layer {number}" if number else "embeddings",
            candidates=best_candidates(masked_lm, layer, top_k=top_k),
            answer_probability=math.exp(float(layer[answer_id])),
            answer_rank=ranks[number],
        )
        for number, layer in enumerate(scores)
    )
    (answer,) = readable_pieces(masked_lm, [answer_id])
    return LayerLens(prepared, position, answer, answer_id, layers)


def lens_by_piece(
    masked_lm: MaskedLM, text: str | PreparedText, word: str, *, mask_index: int = 0, top_k: int = 5
) -> tuple[LayerLens, ...]:
    """One lens for each piece of a word, the mask widened to all of them and those before the piece filled.

    "The dog [MASK] ." and barked -> a lens that follows "bark" in ``the dog [MASK] [MASK] .``, and one that follows
    "##ed" in ``the dog bark [MASK] .``; a word of one piece is an ordinary lens.

    Raises:
        TextError: no such mask, or a word that the model cannot give.
        ModelError: the head of this architecture is not known.
    """
    prepared, _ = locate_mask(masked_lm, text, mask_index)
    ids = answer_ids(masked_lm, prepared, word, mask=mask_index)
    rows = piece_rows(masked_lm, prepared, ids, mask=mask_index)
    texts = [prepared] if len(ids) == 1 else [prepare_ids(masked_lm, row) for row in rows]
    return tuple(
        layer_lens(masked_lm, one, mask_index=mask_index, top_k=top_k, word=piece)
        for one, piece in zip(texts, ids, strict=True)
    )


@torch.inference_mode()
def hidden_states_by_layer(masked_lm: MaskedLM, token_ids: tuple[int, ...], *, position: int) -> Tensor:
    """The states at one position that the MLM head could read: (layers + 1, H), the embeddings' output first.

    The last row is what the head really reads. ModernBERT normalises only after its last layer; the same norm is
    applied to the layers before, which were never trained for it.
    """
    twin = weight_sharing_twin(masked_lm.model).eval()  # other threads use the model: it is not hooked or switched
    outputs = twin.base_model(torch.tensor([token_ids], device=masked_lm.device), output_hidden_states=True)
    earlier = torch.stack([states[0, position] for states in outputs.hidden_states[:-1]])
    norm = final_norm(masked_lm.model)
    earlier = earlier if norm is None else norm(earlier)
    return torch.cat([earlier, outputs[0][0, position][None]])
