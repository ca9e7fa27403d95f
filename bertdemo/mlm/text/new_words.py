"""Words that texts use often and a model must spell in pieces, and how it is given them as tokens of their own.

A vocabulary is made once, from the texts of the day: what was rare in them ("anime") has no entry and is put together
from pieces that have one ("an" + "##ime"). A new entry begins as the mean of its pieces, in the table that reads
tokens and in the one that predicts them, so that the model knows at once roughly what it stands for.

How a word enters depends on how the vocabulary cuts text, and is chosen so that no other word is cut anew: "animes"
keeps its pieces, or at most has its first ones joined. Knows no training.
"""

from __future__ import annotations

import copy
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ..errors import ModelError
from ..models.architectures import LIBRARY_FAULTS, PROOF_TOLERANCE
from ..models.devices import is_out_of_memory
from ..models.masked_lm import MaskedLM
from .tokens import encode, raw_pieces, readable_pieces, space_marker
from .words import WordPieces, written_without_spaces

COUNTED_TOKENS = 1_000_000  # some three seconds; a word that is frequent shows in them
MIN_USES = 5  # a token that is met less often learns next to nothing
_ROWS_AT_ONCE, _MAX_CHARACTERS = 500, 20_000
_MAX_PIECES = 12  # what takes more is a web address or a slip of the keyboard
_WHOLE_WORD_BONUS = 1e-3  # nats: a unigram word must beat the pieces that it is made of, and nothing else


@dataclass(frozen=True)
class SpelledWord:
    """A word that a vocabulary lacks: as a person reads it, as the vocabulary would write it, and its pieces."""

    word: str
    entry: str  # "anime", "Ġanime" or "▁anime"
    pieces: tuple[str, ...]  # as a person reads them: ("an", "##ime")
    piece_ids: tuple[int, ...]
    uses: int


def spelled_words(masked_lm: MaskedLM, texts: Sequence[str], *, at_most: int) -> tuple[SpelledWord, ...]:
    """The words that the texts use most and the model spells in pieces, the most frequent first.

    Counted in the first million tokens; those used fewer than ``MIN_USES`` times are left out. Words are made of
    letters alone. Left out are scripts without spaces, and, where the vocabulary marks a space before a word, words
    with none before them: those are written otherwise, and seldom.
    """
    counts: Counter[tuple[int, ...]] = Counter()
    joins = WordPieces(masked_lm)
    for token_ids in _token_ids(masked_lm.tokenizer, texts):
        counts.update(_words_of_pieces(joins, token_ids, unknown=masked_lm.tokenizer.unk_token_id))
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    found: list[SpelledWord] = []
    for piece_ids, uses in ordered:
        if uses < MIN_USES or len(found) == at_most:
            break
        word = _spelled(masked_lm, piece_ids, uses)
        if word is not None:
            found.append(word)
    return tuple(found)


def with_new_words(masked_lm: MaskedLM, words: Sequence[SpelledWord]) -> MaskedLM:
    """The model with these words as tokens of their own; its weights are changed in place, its tokenizer is not.

    Input vectors, output vectors and output biases of a new token are the means of its pieces', so its logit is at
    first the mean of theirs, wherever it is asked for; no other logit changes.

    Raises:
        ModelError: model or tokenizer are of a kind that cannot be given words.
    """
    if not words:
        return masked_lm
    known = masked_lm.tokenizer.get_vocab()
    tokenizer = _with_entries(masked_lm, words)
    vocabulary = tokenizer.get_vocab()
    ids = [vocabulary.get(word.entry, -1) for word in words]
    if len(vocabulary) != len(known) + len(words) or any(vocabulary.get(piece) != known[piece] for piece in known):
        raise _unable(masked_lm)
    for word, token_id in zip(words, ids, strict=True):
        if encode(tokenizer, f"a {word.word} a", add_special_tokens=False)["input_ids"].count(token_id) != 1:
            raise _unable(masked_lm)
    return _grown(masked_lm, tokenizer, dict(zip(ids, (word.piece_ids for word in words), strict=True)))


def added_words(base: MaskedLM, tuned: MaskedLM) -> tuple[SpelledWord, ...]:
    """The words that ``tuned``, made from ``base``, was given; () where the two have one vocabulary."""
    known = base.tokenizer.get_vocab()
    entries = sorted((token_id, entry) for entry, token_id in tuned.tokenizer.get_vocab().items() if entry not in known)
    mark = space_marker(base)
    found = []
    for token_id, entry in entries:
        word = readable_pieces(tuned, [token_id])[0]
        before = "a " if mark and entry.startswith(mark) else ""
        frame = encode(base.tokenizer, before.strip(), add_special_tokens=False)["input_ids"] if before else []
        piece_ids = encode(base.tokenizer, before + word, add_special_tokens=False)["input_ids"][len(frame) :]
        found.append(SpelledWord(word, entry, readable_pieces(base, piece_ids), tuple(piece_ids), 0))
    return tuple(found)


def _token_ids(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> Iterator[NDArray[np.int64]]:
    """Up to ``COUNTED_TOKENS`` of the texts' tokens, some hundred rows at a time; special ones part the rows."""
    seen = 0
    for start in range(0, len(texts), _ROWS_AT_ONCE):
        rows = [text[:_MAX_CHARACTERS] for text in texts[start : start + _ROWS_AT_ONCE]]
        encoded = encode(tokenizer, rows, return_attention_mask=False, return_token_type_ids=False)
        parted = [[*ids, tokenizer.mask_token_id] for ids in encoded["input_ids"]]
        yield np.concatenate([np.asarray(ids, dtype=np.int64) for ids in parted])
        seen += sum(map(len, parted))
        if seen >= COUNTED_TOKENS:
            return


def _words_of_pieces(
    joins: WordPieces, token_ids: NDArray[np.int64], *, unknown: int | None
) -> Iterator[tuple[int, ...]]:
    """token_ids (N,) -> the pieces of every word of several; not of one that goes on with something unknown."""
    first = joins.first_of_word(torch.from_numpy(token_ids)[None])[0].numpy()
    starts = np.flatnonzero(first == np.arange(len(first)))
    lengths = np.diff(starts, append=len(first))
    following = np.append(token_ids, -1)[starts + lengths]
    several = (lengths > 1) & (lengths <= _MAX_PIECES) & (following != (-1 if unknown is None else unknown))
    for start, length in zip(starts[several].tolist(), lengths[several].tolist(), strict=True):
        yield tuple(token_ids[start : start + length].tolist())


def _spelled(masked_lm: MaskedLM, piece_ids: tuple[int, ...], uses: int) -> SpelledWord | None:
    """None for what is no word of letters that the vocabulary could have as an entry."""
    mark = space_marker(masked_lm)
    pieces = raw_pieces(masked_lm, piece_ids)
    if not pieces[0].startswith(mark) or pieces[0].startswith("##") or masked_lm.special_ids & set(piece_ids):
        return None
    entry = "".join(piece if mark else piece.removeprefix("##") for piece in pieces)
    if entry in masked_lm.tokenizer.get_added_vocab():
        return None
    word = str(masked_lm.tokenizer.convert_tokens_to_string([entry])).strip() if mark else entry
    if len(word) < 2 or not all(map(_is_letter, word)):
        return None
    return SpelledWord(word, entry, readable_pieces(masked_lm, piece_ids), piece_ids, uses)


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LM" and not written_without_spaces(character)


def _with_entries(masked_lm: MaskedLM, words: Sequence[SpelledWord]) -> PreTrainedTokenizerBase:
    """The tokenizer with an entry for every word, under the next free ids.

    WordPiece takes the longest entry that a word begins with, so an entry would cut "animes" anew; an added token that
    stands for whole words alone does not. Byte-level BPE looks a whole word up before it merges (``ignore_merges``),
    which changes no word that its merges make. SentencePiece takes the likeliest pieces, so a word gets just more than
    those that it is made of.
    """
    tokenizer = masked_lm.tokenizer
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(backend, Tokenizer):
        raise _unable(masked_lm)
    state = json.loads(backend.to_str())
    kind, vocabulary = state["model"].get("type"), state["model"].get("vocab")
    if kind == "WordPiece":
        extended = copy.deepcopy(tokenizer)
        extended.add_tokens([AddedToken(word.entry, single_word=True, normalized=True) for word in words])
        return extended
    first_id = max(tokenizer.get_vocab().values()) + 1
    if kind == "BPE":
        _fill_holes(vocabulary, state["added_tokens"])
        vocabulary |= {word.entry: first_id + place for place, word in enumerate(words)}
        state["model"]["ignore_merges"] = True
    elif kind == "Unigram":
        _append_scored(
            vocabulary, words, first_id=first_id, added={t["id"]: t["content"] for t in state["added_tokens"]}
        )
    else:
        raise _unable(masked_lm)
    return _of_backend(tokenizer, Tokenizer.from_str(json.dumps(state)))


def _fill_holes(vocabulary: dict[str, int], added: Iterable[dict[str, Any]]) -> None:
    """Name the added tokens in the vocabulary itself, under their own ids: the library complains about gaps."""
    for token in added:
        vocabulary.setdefault(token["content"], token["id"])


def _append_scored(
    vocabulary: list[list[Any]], words: Sequence[SpelledWord], *, first_id: int, added: dict[int, str]
) -> None:
    """An entry's place in the list is its id, so what stands between is named as well, with the least score."""
    least = min(score for _, score in vocabulary)
    while len(vocabulary) < first_id:
        vocabulary.append([added.get(len(vocabulary), f"<no token {len(vocabulary)}>"), least])
    for word in words:
        vocabulary.append([word.entry, sum(vocabulary[place][1] for place in word.piece_ids) + _WHOLE_WORD_BONUS])


def _of_backend(tokenizer: PreTrainedTokenizerBase, backend: Tokenizer) -> PreTrainedTokenizerBase:
    """The same tokenizer around another backend, of the library's general class: that one reads all of its
    tokenizer.json, where a model's own class takes the vocabulary alone and would lose ``ignore_merges``."""
    named = tokenizer.special_tokens_map
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        extra_special_tokens=[token for token in tokenizer.all_special_tokens if token not in named.values()],
        model_max_length=tokenizer.model_max_length,
        model_input_names=tokenizer.model_input_names,
        padding_side=tokenizer.padding_side,
        truncation_side=tokenizer.truncation_side,
        clean_up_tokenization_spaces=False,
        **named,
    )


@torch.no_grad()
def _grown(masked_lm: MaskedLM, tokenizer: PreTrainedTokenizerBase, pieces_of: dict[int, tuple[int, ...]]) -> MaskedLM:
    """The model with a row a token of ``pieces_of``, proven on a short text: code of some architectures keeps a second
    copy of what grows, or shares other tensors afterwards than it can save."""
    model, grown = masked_lm.model, MaskedLM(masked_lm.ref, masked_lm.model, tokenizer)
    prefix, suffix = masked_lm.frame
    row = torch.tensor([[*prefix, *next(iter(pieces_of.values())), *suffix]], device=masked_lm.device)  # (1, T)
    everywhere = torch.arange(row.numel(), device=row.device)
    before, shared = masked_lm.logits_at(row, None, positions=everywhere), _shared_tensors(model)  # (T, V)
    try:
        _grow(model, pieces_of)
        after = grown.logits_at(row, None, positions=everywhere)
    except (*LIBRARY_FAULTS, ModelError) as error:
        if is_out_of_memory(error):
            raise
        raise _unable(masked_lm) from error
    old = min(pieces_of)
    expected = [before[:, :old], *(before[:, list(pieces)].mean(dim=1, keepdim=True) for pieces in pieces_of.values())]
    same = torch.allclose(
        after[:, [*range(old), *pieces_of]], torch.cat(expected, dim=1), atol=PROOF_TOLERANCE, rtol=PROOF_TOLERANCE
    )
    if not same or _shared_tensors(model) != shared:
        raise _unable(masked_lm)
    return grown


def _grow(model: PreTrainedModel, pieces_of: dict[int, tuple[int, ...]]) -> None:
    """New rows in every table that has one a token: the means of the pieces' rows."""
    size = max(pieces_of) + 1
    if size > model.config.vocab_size:
        model.resize_token_embeddings(size, mean_resizing=False)
    head = model.get_output_embeddings()
    tables = [model.get_input_embeddings().weight, *(head.parameters(recurse=False) if head is not None else ())]
    for table in {table.data_ptr(): table for table in tables}.values():  # tied ones are one
        for token_id, piece_ids in pieces_of.items():
            table[token_id] = table[list(piece_ids)].mean(dim=0)


def _shared_tensors(model: PreTrainedModel) -> set[frozenset[str]]:
    """Which of the model's tensors are one under several names."""
    names: dict[int, set[str]] = {}
    for name, tensor in model.state_dict().items():
        names.setdefault(tensor.data_ptr(), set()).add(name)
    return {frozenset(group) for group in names.values() if len(group) > 1}


def _unable(masked_lm: MaskedLM) -> ModelError:
    return ModelError(
        f"The model {masked_lm.ref.label!r} or its tokenizer is of a kind that cannot be given new words here; train"
        " without them, or choose another model."
    )
