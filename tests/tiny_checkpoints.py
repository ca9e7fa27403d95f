"""Tiny seeded checkpoints of many architectures, and of the ways in which files on the hub differ from the usual.

Each is written to a folder as the library saves it, then bent where its name says so. The weights are random but wide,
so that no two ways to compute agree by chance.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from torch import Tensor
from transformers import PreTrainedModel, PreTrainedTokenizerFast

WORDS = [
    "the",
    "dog",
    "bark",
    "can",
    "not",
    "love",
    "loves",
    "this",
    "old",
    "house",
    "walk",
    "home",
    "and",
    "was",
    "good",
    "bad",
    "show",
    "john",
    "paris",
    "is",
    "of",
    "film",
    "great",
    "story",
    "actor",
    "i",
    "a",
    "very",
    "we",
    "in",
    "to",
    "with",
    "best",
    "worst",
    "scene",
    "movie",
    "music",
    "start",
    "happy",
    "sad",
    "boring",
    "fun",
    "cat",
    "man",
    "woman",
    "city",
]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
LENGTH = 40  # tokens that fit
SIZES = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
NO_NOISE = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
FRAME = "[CLS] $A [SEP]"
Weights = dict[str, Tensor]


def vocabulary(*, padding_first: bool = True, unknown: bool = True, cased: bool = False) -> list[str]:
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"] if padding_first else ["[CLS]", "[PAD]", "[SEP]", "[UNK]"]
    special = [token for token in special if unknown or token != "[UNK]"]
    words = [*WORDS, *map(str.capitalize, WORDS)] if cased else WORDS
    pieces = [*words, *(f"##{letter}" for letter in LETTERS), *LETTERS, *".,!?'"]
    return list(dict.fromkeys([*special, *pieces, "[MASK]"]))


def wordpiece(
    pieces: list[str], *, limit: int | None = LENGTH, frame: str | None = FRAME, lowercase: bool = True
) -> PreTrainedTokenizerFast:
    """A WordPiece tokenizer with these pieces; ``frame`` says what it puts around a text."""
    tokenizer = Tokenizer(models.WordPiece({piece: number for number, piece in enumerate(pieces)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    if frame is not None:
        around = [token for token in frame.split() if token != "$A"]
        tokenizer.post_processor = processors.TemplateProcessing(
            single=frame, special_tokens=[(token, pieces.index(token)) for token in around]
        )
    names = {"mask_token": "[MASK]", "pad_token": "[PAD]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    unknown = {"unk_token": "[UNK]"} if "[UNK]" in pieces else {}
    length = {} if limit is None else {"model_max_length": limit}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **unknown, **length)


def save(folder: Path, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> Path:
    """With noise on the norms and biases, which begin as ones and zeros."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() == 1:
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.2)
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build(
    folder: Path,
    kind: str,
    *,
    offset: bool = False,
    limit: int | None = LENGTH,
    suffix: str = "ForMaskedLM",
    **options: Any,
) -> Path:
    """``kind`` is the beginning of the library's class names: "Bert" for BertForMaskedLM and BertConfig.

    ``offset``: the padding's id is 1 and positions begin behind it, with a table that leaves room for that.
    """
    tokenizer = wordpiece(vocabulary(padding_first=not offset), limit=limit)
    ids = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("pad", "cls", "sep", "mask")}
    ids |= {"bos_token_id": ids["cls_token_id"], "eos_token_id": ids["sep_token_id"]}
    values = {"vocab_size": len(tokenizer), "max_position_embeddings": LENGTH + 2 * offset, "initializer_range": 0.3}
    values |= {**SIZES, **NO_NOISE, **ids, **options}
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(
        **{name: value for name, value in values.items() if value is not None}
    )
    return save(folder, getattr(transformers, f"{kind}{suffix}")(config), tokenizer)


def _deep(folder: Path, kind: str, **options: Any) -> Path:
    """Architectures whose configurations go by other names."""
    names = {"d_model": 32, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 2, "init_std": 0.3}
    names |= {"decoder_attention_heads": 2, "encoder_ffn_dim": 48, "decoder_ffn_dim": 48, "dropout": 0.0}
    return build(folder, kind, suffix="ForConditionalGeneration", decoder_start_token_id=3, **names, **options)


def _xlm(folder: Path, kind: str, **options: Any) -> Path:
    names = {"emb_dim": 32, "n_layers": 2, "n_heads": 2, "dropout": 0.0, "attention_dropout": 0.0}
    names |= {"embed_init_std": 0.3, "init_std": 0.3, "pad_index": 0, "unk_index": 1, "bos_index": 2, "eos_index": 3}
    return build(folder, kind, suffix="WithLMHeadModel", mask_index=4, **names, **options)


RELATIVE = {
    "relative_attention": True,
    "position_biased_input": False,
    "pos_att_type": ["p2c", "c2p"],
    "type_vocab_size": 0,
}
BIG_BIRD = {"max_position_embeddings": 160, "limit": 160, "block_size": 8, "num_random_blocks": 1}
DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 2, "hidden_dim": 48, "dropout": 0.0, "attention_dropout": 0.0}
AXES = {"axial_pos_shape": [8, 8], "axial_pos_embds_dim": [16, 16], "attn_layers": ["local", "local"]}
FUNNEL = {
    "num_hidden_layers": None,
    "block_sizes": [1, 1],
    "num_decoder_layers": 1,
    "d_model": 32,
    "n_head": 2,
    "d_head": 16,
    "d_inner": 48,
}
ARCHITECTURES: dict[str, Callable[[Path], Path]] = {
    "albert": partial(build, kind="Albert", embedding_size=16),
    "bart": partial(_deep, kind="Bart"),
    "bert": partial(build, kind="Bert"),
    "big_bird": partial(build, kind="BigBird", attention_type="block_sparse", **BIG_BIRD),
    "camembert": partial(build, kind="Camembert", offset=True),
    "convbert": partial(
        build, kind="ConvBert", num_attention_heads=4, head_ratio=2, conv_kernel_size=3, embedding_size=32
    ),
    "data2vec": partial(build, kind="Data2VecText", offset=True, limit=None),
    "deberta": partial(build, kind="Deberta", **RELATIVE),
    "deberta_v2": partial(build, kind="DebertaV2", share_att_key=True, position_buckets=16, **RELATIVE),
    "deberta_v2_new_head": partial(build, kind="DebertaV2", legacy=False, position_buckets=16, **RELATIVE),
    "distilbert": partial(build, kind="DistilBert", **DISTIL),
    "electra": partial(build, kind="Electra", embedding_size=16),
    "ernie": partial(build, kind="Ernie"),
    "esm": partial(build, kind="Esm", offset=True, limit=None, position_embedding_type="absolute"),
    "esm_rotary": partial(build, kind="Esm", offset=True, position_embedding_type="rotary", token_dropout=True),
    "eurobert": partial(build, kind="EuroBert", num_key_value_heads=2),
    "flaubert": partial(_xlm, kind="Flaubert"),
    "fnet": partial(build, kind="FNet", type_vocab_size=2),
    "funnel": partial(
        build, kind="Funnel", hidden_dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, **FUNNEL
    ),
    "ibert": partial(build, kind="IBert", offset=True, limit=None),
    "longformer": partial(build, kind="Longformer", offset=True, limit=None, attention_window=16),
    "luke": partial(build, kind="Luke", offset=True, limit=None, entity_vocab_size=10),
    "mbart": partial(_deep, kind="MBart", scale_embedding=True),
    "megatron": partial(build, kind="MegatronBert"),
    "mobilebert": partial(build, kind="MobileBert", embedding_size=16, intra_bottleneck_size=16, true_hidden_size=16),
    "modernbert": partial(build, kind="ModernBert", local_attention=8),
    "modernbert_untied": partial(build, kind="ModernBert", tie_word_embeddings=False, classifier_bias=True),
    "mpnet": partial(build, kind="MPNet", offset=True, limit=None),
    "mra": partial(build, kind="Mra"),
    "nomic": partial(build, kind="NomicBert"),
    "reformer": partial(
        build, kind="Reformer", max_position_embeddings=64, attention_head_size=16, is_decoder=False, **AXES
    ),
    "rembert": partial(build, kind="RemBert", input_embedding_size=16, output_embedding_size=24),
    "roberta": partial(build, kind="Roberta", offset=True, limit=None, type_vocab_size=1),
    "roberta_prelayernorm": partial(build, kind="RobertaPreLayerNorm", offset=True, limit=None),
    "roformer": partial(build, kind="RoFormer", embedding_size=32),
    "squeezebert": partial(build, kind="SqueezeBert", embedding_size=32),
    "xlm": partial(_xlm, kind="XLM"),
    "xlm_roberta": partial(build, kind="XLMRoberta", offset=True, limit=None),
    "xlm_roberta_xl": partial(build, kind="XLMRobertaXL", offset=True, limit=None),
    "xmod": partial(
        build, kind="Xmod", offset=True, limit=None, languages=["en_XX", "de_DE"], default_language="en_XX"
    ),
    "yoso": partial(build, kind="Yoso", use_expectation=True),
}


def configured(folder: Path, **changes: Any) -> Path:
    """The checkpoint with other words in its config.json."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def renamed(folder: Path, change: Callable[[Weights], Weights]) -> Path:
    """The checkpoint with other weights, or other names for them."""
    weights = change(load_file(folder / "model.safetensors"))
    save_file(
        {name: weight.contiguous() for name, weight in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    return folder


def _tokenized(folder: Path, *, pieces: list[str], **options: Any) -> Path:
    """BERT with another tokenizer."""
    torch.manual_seed(0)
    sizes = {"vocab_size": len(pieces), "max_position_embeddings": LENGTH, "initializer_range": 0.3}
    config = transformers.BertConfig(**sizes, **SIZES, **NO_NOISE)
    return save(folder, transformers.BertForMaskedLM(config), wordpiece(pieces, **options))


def _with_key(name: str, shape: tuple[int, ...]) -> Callable[[Weights], Weights]:
    return lambda weights: weights | {name: torch.ones(shape)}


def _without(name: str) -> Callable[[Weights], Weights]:
    return lambda weights: {key: weight for key, weight in weights.items() if name not in key}


def _prefixed(prefix: str) -> Callable[[Weights], Weights]:
    return lambda weights: {prefix + key: weight for key, weight in weights.items()}


def _bert(folder: Path, **options: Any) -> Path:
    return build(folder, "Bert", **options)


def _electra(folder: Path, **changes: Any) -> Path:
    return configured(ARCHITECTURES["electra"](folder), **changes)


def _old_names(weights: Weights) -> Weights:
    pairs = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
    return {
        next((key.replace(new, old) for new, old in pairs if new in key), key): weight
        for key, weight in weights.items()
    }


def _sharded(folder: Path) -> Path:
    model = transformers.BertForMaskedLM.from_pretrained(_bert(folder))
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    return folder


def _sentencepiece_file(folder: Path) -> Path:
    """As older checkpoints come: a SentencePiece model and no tokenizer.json."""
    (_bert(folder) / "tokenizer.json").unlink()
    (folder / "spiece.model").write_bytes(b"\n\x0e\n\x05<unk>\x15\x00\x00\x00\x00\x18\x02")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "AlbertTokenizer"}')
    return folder


NOTHING_ELSE = {"return_dict": False, "output_attentions": True, "output_hidden_states": True}
EVERYTHING = {**NOTHING_ELSE, "torchscript": True, "gradient_checkpointing": True, "chunk_size_feed_forward": 4}
VARIANTS: dict[str, Callable[[Path], Path]] = {
    "activation": partial(_bert, hidden_act="quick_gelu", layer_norm_eps=1e-3),
    "one_type": partial(_bert, type_vocab_size=1),
    "one_layer": partial(_bert, num_hidden_layers=1),
    "untied": partial(_bert, tie_word_embeddings=False),
    "roberta_untied": partial(build, kind="Roberta", offset=True, tie_word_embeddings=False),
    "sinusoidal": partial(build, kind="DistilBert", sinusoidal_pos_embds=True, activation="relu", **DISTIL),
    "odd_config": lambda folder: configured(_bert(folder), **EVERYTHING),
    "odd_config_by_the_library": partial(_electra, **EVERYTHING),
    "flash_attention": lambda folder: configured(_bert(folder), attn_implementation="flash_attention_2"),
    "old_names": lambda folder: renamed(_bert(folder), _old_names),
    "for_pretraining": lambda folder: renamed(_bert(folder), _with_key("cls.seq_relationship.weight", (2, 32))),
    "half": lambda folder: renamed(
        _bert(folder), lambda weights: {key: value.half() for key, value in weights.items()}
    ),
    "shards": _sharded,
    "two_closing_tokens": partial(_tokenized, pieces=vocabulary(), frame="[CLS] $A [SEP] [PAD]"),
    "no_frame": partial(_tokenized, pieces=vocabulary(), frame=None),
    "no_unknown": partial(_tokenized, pieces=vocabulary(unknown=False)),
    "lower_cased": partial(_tokenized, pieces=vocabulary(cased=True)),
    "cased": partial(_tokenized, pieces=vocabulary(cased=True), lowercase=False),
}
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {  # and the words by which the cause is known
    "quantised": (
        lambda folder: configured(_bert(folder), quantization_config={"quant_method": "gptq", "bits": 4}),
        "gptq",
    ),
    "relative_key": (
        lambda folder: renamed(
            _bert(folder), _with_key("bert.encoder.layer.0.attention.self.distance_embedding.weight", (79, 16))
        ),
        "distance_embedding",
    ),
    "wrapped": (lambda folder: renamed(_bert(folder), _prefixed("module.")), "wrapper"),
    "compiled": (lambda folder: renamed(_bert(folder), _prefixed("_orig_mod.")), "wrapper"),
    "bias_of_an_older_version": (
        lambda folder: renamed(_bert(folder, tie_word_embeddings=False), _without("decoder.bias")),
        "lacks cls.predictions.decoder.bias",
    ),
    "sentencepiece": (_sentencepiece_file, "sentencepiece"),
    "nystromformer": (partial(build, kind="Nystromformer", segment_means_seq_len=64, num_landmarks=8), "nystromformer"),
}
