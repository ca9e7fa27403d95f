"""A vocabulary and a BERT from scratch: text files in, packed token rows and an untrained model out.

Training itself is ``training.TrainingSession``, as for fine-tuning, with other settings. Everything slow is done once and
memory-mapped: the same command again finds it on disk.
"""

from __future__ import annotations

import json
import logging
import lzma
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerFast

from .batching import TokenizedTexts
from .errors import DataError, SettingsError
from .models import MaskedLM, ModelRef
from .settings import TrainingConfig
from .word_vectors import TOKENS_COUNTED, count_vectors

logger = logging.getLogger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PARAGRAPHS_AT_ONCE = 10_000
POSITIONS = 512
# Short rows teach soonest, at the same number of tokens; the few long ones train every position.
ROW_LENGTHS = (64,) * 32 + (128,) * 12 + (POSITIONS,)
HELD_OUT_ROWS = 500


@dataclass(frozen=True)
class PretrainingRecipe:
    """The model's size and how it is trained. The defaults are those of the bundled model."""

    vocabulary_size: int = 10_240
    layers: int = 4
    width: int = 256
    heads: int = 4
    steps: int = 5_500
    batch_rows: int = 80  # of 91 tokens on average
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    decay_share: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        if self.width % self.heads:
            raise SettingsError(f"The width {self.width} must be a multiple of the number of heads, {self.heads}.")
        if self.vocabulary_size < 300 or min(self.layers, self.width, self.steps, self.batch_rows) < 1:
            raise SettingsError("The vocabulary needs at least 300 words, and every other size at least 1.")

    def training_config(self, *, rows: int) -> TrainingConfig:
        """The same training settings as for fine-tuning, with Muon and a long plateau before the decay."""
        return TrainingConfig(
            epochs=math.ceil(self.steps * self.batch_rows * 2 / max(1, rows)) + 1,
            learning_rate=self.learning_rate,
            batch_size=self.batch_rows,
            max_length=POSITIONS,
            seed=self.seed,
            warmup_share=min(0.5, self.warmup_steps / self.steps),
            decay_share=self.decay_share,
            weight_decay=0.05,
            optimizer="muon",
            max_steps=self.steps,
            evaluate_every=max(1, self.steps // 20),
        )


@dataclass(frozen=True)
class PackedCorpus:
    """Rows full of tokens; ``train`` is memory-mapped."""

    train: TokenizedTexts
    held_out: TokenizedTexts


def read_paragraphs(paths: Sequence[Path]) -> Iterator[str]:
    """Non-empty lines of text files in UTF-8, plain or packed with xz, in order."""
    for path in paths:
        opener = lzma.open if path.suffix == ".xz" else open
        try:
            with opener(path, "rt", encoding="utf-8") as lines:
                yield from filter(None, map(str.strip, lines))
        except (OSError, UnicodeDecodeError, lzma.LZMAError) as error:
            raise DataError(
                f"{path.name} cannot be read as UTF-8 text ({error}); give plain text files or .xz."
            ) from error


def train_tokenizer(paragraphs: Iterator[str], *, vocabulary_size: int) -> PreTrainedTokenizerFast:
    """An uncased WordPiece vocabulary, as BERT's, from the texts themselves."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=100))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=vocabulary_size,
        min_frequency=2,
        limit_alphabet=min(400, vocabulary_size // 4),
        special_tokens=list(SPECIAL_TOKENS),
        show_progress=False,
    )
    tokenizer.train_from_iterator(paragraphs, trainer)
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])],
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=POSITIONS,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )


def pack_corpus(
    paragraphs: Iterator[str],
    tokenizer: PreTrainedTokenizerFast,
    *,
    path: Path,
    row_lengths: Sequence[int] = ROW_LENGTHS,
) -> TokenizedTexts:
    """Tokenise once and write full rows to ``path`` (uint16): [CLS], then text, [SEP] after every paragraph.

    Written aside and renamed, so a file that is there is complete; the row boundaries go beside it.
    """
    lengths = cycle(row_lengths)
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    written, row_ends, rest = path.with_suffix(".part"), [0], np.zeros(0, dtype=np.uint16)
    with written.open("wb") as file:
        wanted = next(lengths)
        while chunk := list(islice(paragraphs, PARAGRAPHS_AT_ONCE)):
            encoded = tokenizer.backend_tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
            rest = np.concatenate([rest, *(np.asarray([*encoding.ids, sep], dtype=np.uint16) for encoding in encoded)])
            start = 0
            while start + wanted - 1 <= len(rest):
                file.write(np.uint16(cls).tobytes() + rest[start : start + wanted - 1].tobytes())
                start += wanted - 1
                row_ends.append(row_ends[-1] + wanted)
                wanted = next(lengths)
            rest = rest[start:]
    if len(row_ends) == 1:
        raise DataError("The corpus is too short to fill a single row of 128 tokens; give more text.")
    np.save(path.with_suffix(".offsets.npy"), np.asarray(row_ends, dtype=np.int64))
    written.replace(path)
    return open_packed(path)


def open_packed(path: Path) -> TokenizedTexts:
    """Memory-map what ``pack_corpus`` wrote."""
    return TokenizedTexts(np.memmap(path, dtype=np.uint16, mode="r"), np.load(path.with_suffix(".offsets.npy")))


def split_packed(texts: TokenizedTexts, *, held_out_rows: int = HELD_OUT_ROWS) -> PackedCorpus:
    """The last rows are held out: at most ``held_out_rows``, at most a tenth."""
    count = max(1, min(held_out_rows, len(texts) // 10))
    cut = len(texts) - count
    start = texts.offsets[cut]
    held_out = TokenizedTexts(np.array(texts.token_ids[start:]), texts.offsets[cut:] - start)
    return PackedCorpus(TokenizedTexts(texts.token_ids[:start], texts.offsets[: cut + 1]), held_out)


def untrained_model(
    tokenizer: PreTrainedTokenizerFast, recipe: PretrainingRecipe, *, token_ids: NDArray[np.integer]
) -> MaskedLM:
    """A BertForMaskedLM that knows only what counting tells, which saves training it.

    The output bias is each token's log frequency; the embeddings are word vectors from counted neighbours; the positions
    are sine waves (Vaswani et al. 2017, section 3.5), so that neighbouring positions look alike.
    """
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        intermediate_size=4 * recipe.width,
        max_position_embeddings=POSITIONS,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        model = BertForMaskedLM(config)
    size, scale = len(tokenizer), config.initializer_range
    frequencies = torch.from_numpy(np.bincount(token_ids[:TOKENS_COUNTED], minlength=size) + 1.0)
    vectors = count_vectors(token_ids, vocabulary_size=size, width=recipe.width, scale=1.5 * scale, seed=recipe.seed)
    with torch.no_grad():
        model.cls.predictions.bias.copy_((frequencies / frequencies.sum()).log())
        model.bert.embeddings.word_embeddings.weight.copy_(vectors)
        positions = model.bert.embeddings.position_embeddings.weight
        positions.copy_(_sine_waves(*positions.shape) * scale)
    return MaskedLM(ModelRef("untrained", "untrained"), model, tokenizer)


def _sine_waves(positions: int, width: int) -> torch.Tensor:
    """(positions, width): sines and cosines of wavelengths from 2 pi to 1000 * 2 pi."""
    angles = torch.arange(positions)[:, None] * torch.exp(-math.log(1000) * torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(positions, -1)[:, :width]


def save_recipe(recipe: PretrainingRecipe, path: Path) -> None:
    """Write the recipe beside the data, so that the same command again continues it."""
    path.write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")
