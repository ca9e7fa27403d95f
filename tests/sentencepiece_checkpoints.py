"""Small local checkpoints whose tokenizers are SentencePiece's: unigram pieces, a space written as "▁"."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import AddedToken
from transformers import (
    AutoModelForMaskedLM,
    AutoTokenizer,
    CamembertConfig,
    CamembertForMaskedLM,
    CamembertTokenizer,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
    XLMRobertaTokenizer,
)

from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef

LENGTH = 64
WORDS = "the The dog dogs bark can not love loves you this old house walked home and was good bad show John Paris is of"
PIECES = [
    *(f"▁{word}" for word in WORDS.split()),
    *("▁", "ed", "s", "ing", "un", "able", "love", "bark", "house", "▁un"),
    *(".", ",", "!", "?", "'", "▁.", "▁,", "▁(", ")"),
    *("▁我", "我", "你", "爱", "。", "▁אני", "שלום", "▁é", "é", "🙂"),
    *(chr(letter) for letter in range(ord("a"), ord("z") + 1)),
]
SPECIAL = {
    "xlm-roberta": ("<s>", "<pad>", "</s>", "<unk>"),
    "camembert": ("<s>NOTUSED", "<pad>", "</s>NOTUSED", "<unk>", "<s>", "</s>", "<unk>NOTUSED"),
}
KINDS = {
    "xlm-roberta": (XLMRobertaConfig, XLMRobertaForMaskedLM, XLMRobertaTokenizer),
    "camembert": (CamembertConfig, CamembertForMaskedLM, CamembertTokenizer),
}


def sentencepiece_checkpoint(folder: Path, kind: str) -> MaskedLM:
    """XLM-RoBERTa or CamemBERT, saved and loaded again; random weights, fixed by a seed."""
    configuration, architecture, tokenizer_class = KINDS[kind]
    whole = {piece: -1.0 - 0.001 * place for place, piece in enumerate(dict.fromkeys(PIECES))}
    scored = [(piece, score if len(piece) > 1 else score - 8.0) for piece, score in whole.items()]  # letters last
    vocabulary = [*((token, 0.0) for token in SPECIAL[kind]), *scored, ("<mask>", 0.0)]
    mask = AddedToken("<mask>", lstrip=True, special=True)
    tokenizer = tokenizer_class(vocab=vocabulary, mask_token=mask, model_max_length=LENGTH)
    torch.manual_seed(0)
    config = configuration(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=LENGTH + tokenizer.pad_token_id + 1,
        initializer_range=0.2,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
        type_vocab_size=1,
    )
    architecture(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    loaded = AutoModelForMaskedLM.from_pretrained(folder, dtype=torch.float32).eval().requires_grad_(False)
    return MaskedLM(ModelRef(kind, str(folder)), loaded, AutoTokenizer.from_pretrained(folder))
