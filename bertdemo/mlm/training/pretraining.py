"""A vocabulary and a BERT from scratch: text files in, packed token rows and an untrained model out.

Training itself is ``training.TrainingSession``, as for fine-tuning, with other settings. Everything slow is done once
and memory-mapped: the same command again finds it on disk.
"""

from __future__ import annotations

import logging
import lzma
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForMaskedLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import DataError, SettingsError
from ..models.masked_lm import MaskedLM, ModelRef
from ..settings import MAX_EPOCHS, TrainingConfig
from .batching import TokenizedTexts
from .word_vectors import TOKENS_COUNTED, count_vectors

logger = logging.getLogger(__name__)

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PARAGRAPHS_AT_ONCE = 10_000
POSITIONS = 512
# Short rows teach soonest, at the same number of tokens; the few long ones train every position.
ROW_LENGTHS = (64,) * 32 + (128,) * 12 + (POSITIONS,)
ALONE_LENGTH = 64  # paragraphs up to this many tokens, special ones included, are not packed
MAX_HELD_OUT_CHARACTERS = (
    150_000  # about 33,000 tokens, 5,000 of them targets: a loss of a standard error near 0.04 nats
)
FEW_DOCUMENTS = 20
MAX_DOCUMENT_LINES = 100  # a longer one is several: none should be the whole of what is held out
FEWEST_WORDS, MOST_WORDS = 300, 2**16  # of a vocabulary: packed tokens are 16 bits wide


@dataclass(frozen=True)
class PretrainingRecipe:
    """The model's size and how it is trained. The defaults are those of the bundled model."""

    vocabulary_size: int = 10_240
    layers: int = 4
    width: int = 256
    heads: int = 4
    steps: int = 5_000
    batch_rows: int = 106  # of 68 tokens on average
    learning_rate: float = 3e-3
    warmup_steps: int = 100
    decay_share: float = 0.75
    seed: int = 0

    def __post_init__(self) -> None:
        if not FEWEST_WORDS <= self.vocabulary_size <= MOST_WORDS:
            raise SettingsError(
                f"The vocabulary must have from {FEWEST_WORDS} to {MOST_WORDS} words, not {self.vocabulary_size}."
            )
        if min(self.layers, self.width, self.heads, self.steps, self.batch_rows) < 1:
            raise SettingsError("Layers, width, heads, steps and rows in a batch must each be 1 or more.")
        if self.width % self.heads:
            raise SettingsError(f"The width {self.width} must be a multiple of the number of heads, {self.heads}.")

    def training_config(self, *, rows: int) -> TrainingConfig:
        """The same training settings as for fine-tuning, with Muon and a long plateau before the decay."""
        return TrainingConfig(
            # Twice what rows of mean length would take, and one more: batches are cut by tokens, and max_steps ends it.
            epochs=min(MAX_EPOCHS, math.ceil(self.steps * self.batch_rows * 2 / max(1, rows)) + 1),
            learning_rate=self.learning_rate,
            batch_size=self.batch_rows,
            max_length=POSITIONS,
            seed=self.seed,
            warmup_share=min(0.5, self.warmup_steps / self.steps),
            decay_share=self.decay_share,
            weight_decay=0.05,  # as the bundled model was trained; no comparison with other values is on record
            optimizer="muon",
            max_steps=self.steps,
            evaluate_every=max(1, self.steps // 20),
            evaluate_epochs=False,
        )


def read_lines(paths: Sequence[Path]) -> Iterator[str]:
    """Lines of text files in UTF-8, plain or packed with xz, in order and without outer spaces; behind each file an
    empty one."""
    for path in paths:
        opener = lzma.open if path.suffix == ".xz" else open
        try:
            with opener(path, "rt", encoding="utf-8") as lines:
                yield from map(str.strip, lines)
        except (OSError, EOFError, UnicodeDecodeError, lzma.LZMAError) as error:
            raise DataError(
                f"{path.name} cannot be read as UTF-8 text ({error}); give plain text files or .xz."
            ) from error
        yield ""


def read_paragraphs(paths: Sequence[Path], *, without: Sequence[str] = ()) -> Iterator[str]:
    """The lines that hold text, but for those equal to one of ``without``, as compared by ``hold_out``."""
    left_out = set(map(_compared, without))
    return (line for line in read_lines(paths) if line and (not left_out or _compared(line) not in left_out))


def hold_out(paths: Sequence[Path], *, seed: int, limit: int | None = None) -> list[str]:
    """The paragraphs of documents drawn by chance from all files: a tenth of them, but no more text than scoring needs.

    A document is what stands between two blank lines, or each line where that would be fewer than ``FEW_DOCUMENTS``.
    Each paragraph is there once, compared without case and spaces; ``read_paragraphs`` leaves out all that equal them.
    ``limit``: of the first so many paragraphs.

    Raises DataError where there are not two paragraphs.
    """
    for by_line in (False, True):
        lengths = [sum(map(len, document)) for document in _documents(paths, limit=limit, by_line=by_line)]
        if len(lengths) >= FEW_DOCUMENTS:
            break
    if len(lengths) < 2:
        raise DataError("The corpus has a single paragraph, which leaves none to score on; give more text.")
    wanted = round(MAX_HELD_OUT_CHARACTERS / (sum(lengths) / len(lengths)))
    count = max(1, min(wanted, len(lengths) // 10))
    chosen = set(np.random.default_rng(seed).choice(len(lengths), count, replace=False).tolist())
    documents = enumerate(_documents(paths, limit=limit, by_line=by_line))
    found = {_compared(line): line for place, document in documents if place in chosen for line in document}
    return list(found.values())


def _documents(paths: Sequence[Path], *, limit: int | None, by_line: bool) -> Iterator[list[str]]:
    document: list[str] = []
    count = 0
    for line in read_lines(paths):
        if document and (not line or by_line or len(document) == MAX_DOCUMENT_LINES):
            yield document
            document = []
        if line and count == limit:
            return
        if line:
            document.append(line)
            count += 1
    if document:
        yield document


def _compared(paragraph: str) -> str:
    return " ".join(paragraph.casefold().split())


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


def pack_corpus(paragraphs: Iterator[str], tokenizer: PreTrainedTokenizerBase, *, path: Path) -> TokenizedTexts:
    """Tokenise once and write rows to ``path`` (uint16); their boundaries go beside it.

    A short paragraph stands alone, as a user's sentence will; longer ones are packed into full rows: [CLS], then text
    with [SEP] behind every paragraph. Written aside and renamed, so a file that is there is complete.
    """
    packer, written = _Packer(tokenizer.cls_token_id, tokenizer.sep_token_id), path.with_suffix(".part")
    with written.open("wb") as file:
        while chunk := list(islice(paragraphs, PARAGRAPHS_AT_ONCE)):
            for encoding in tokenizer.backend_tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
                packer.add(encoding.ids)
            file.write(packer.take().tobytes())
    if len(packer.row_ends) < 2:
        raise DataError("The corpus is too short to fill a single row of tokens; give more text.")
    np.save(path.with_suffix(".offsets.npy"), np.asarray(packer.row_ends, dtype=np.int64))
    written.replace(path)
    return open_packed(path)


class _Packer:
    """Turns paragraphs into rows; what does not fill a row yet waits for the next one."""

    def __init__(self, cls: int, sep: int) -> None:
        self._cls, self._sep = cls, sep
        self._lengths = cycle(ROW_LENGTHS)
        self._wanted = next(self._lengths)
        self._rows: list[NDArray[np.uint16]] = []
        self._open: list[int] = [cls]
        self.row_ends = [0]

    def add(self, token_ids: list[int]) -> None:
        if len(token_ids) + 2 <= ALONE_LENGTH:
            self._finish([self._cls, *token_ids, self._sep])
            return
        self._open += [*token_ids, self._sep]
        while len(self._open) >= self._wanted:
            self._finish(self._open[: self._wanted])
            self._open = [self._cls, *self._open[self._wanted :]]
            self._wanted = next(self._lengths)

    def take(self) -> NDArray[np.uint16]:
        """The rows finished since the last time, end to end."""
        rows, self._rows = self._rows, []
        return np.concatenate(rows) if rows else np.zeros(0, dtype=np.uint16)

    def _finish(self, row: list[int]) -> None:
        self._rows.append(np.asarray(row, dtype=np.uint16))
        self.row_ends.append(self.row_ends[-1] + len(row))


def open_packed(path: Path) -> TokenizedTexts:
    """Memory-map what ``pack_corpus`` wrote."""
    return TokenizedTexts(np.memmap(path, dtype=np.uint16, mode="r"), np.load(path.with_suffix(".offsets.npy")))


def untrained_model(
    tokenizer: PreTrainedTokenizerBase, recipe: PretrainingRecipe, *, token_ids: NDArray[np.integer]
) -> MaskedLM:
    """A BertForMaskedLM that knows only what counting tells, which saves training it.

    The output bias is each token's log frequency; the embeddings are word vectors from counted neighbours; the
    positions are sine waves (Vaswani et al. 2017, section 3.5), so that neighbouring positions look alike.
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
    # 1.5 times as large as random embeddings: as the bundled model began; no comparison with others is on record
    vectors = count_vectors(token_ids, vocabulary_size=size, width=recipe.width, scale=1.5 * scale, seed=recipe.seed)
    with torch.no_grad():
        model.cls.predictions.bias.copy_((frequencies / frequencies.sum()).log())
        model.bert.embeddings.word_embeddings.weight.copy_(vectors)
        positions = model.bert.embeddings.position_embeddings.weight
        positions.copy_(_sine_waves(*positions.shape) * scale)
    return MaskedLM(ModelRef("untrained", "untrained"), model, tokenizer)


def _sine_waves(positions: int, width: int) -> torch.Tensor:
    """(positions, width): sines and cosines of wavelengths from 2 pi to 1000 * 2 pi.

    The paper's 10,000 is for longer texts: of 512 positions, 45% of the waves would not turn half round; with 1000 it
    is 26%.
    """
    angles = torch.arange(positions)[:, None] * torch.exp(-math.log(1000) * torch.arange(0, width, 2) / width)
    return torch.stack([angles.sin(), angles.cos()], dim=-1).reshape(positions, -1)[:, :width]
