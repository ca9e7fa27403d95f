"""The cells of a notebook that depend on the settings: how long texts become rows, whole words, early stopping.

The rules by which a text is split are the engine's own source, so that a notebook has the very rows of its run.
"""

from __future__ import annotations

import inspect

from bertdemo.mlm.data.columns import HALF_WORD
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training import batching

_CUT = '''\
def tokenise(texts):
    """Token ids of every text; what is too long is cut and keeps its closing token."""
    rows = tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"]
    end = MAX_LENGTH - len(closing)
    return [torch.tensor(row if len(row) <= MAX_LENGTH else [*row[:end], *closing]) for row in rows]
'''
_SPLIT = '''\
def tokenise(texts):
    """Token ids of every row; a text that is too long becomes several, each with the special tokens at its ends."""
    rows = []
    room = max(1, MAX_LENGTH - len(opening) - len(closing))
    for text in texts:
        encoded = tokenizer(text, return_offsets_mapping=True, return_attention_mask=False, verbose=False)
        ids = encoded["input_ids"]
        if len(ids) <= MAX_LENGTH:
            rows.append(ids)
            continue
        inside = ids[len(opening) : len(ids) - len(closing)]
        offsets = encoded["offset_mapping"][len(opening) :][: len(inside)]
        ends = [0, *_piece_ends(text, offsets, room=room)]
        rows += [[*opening, *inside[start:end], *closing] for start, end in zip(ends, ends[1:])]
    return [torch.tensor(row) for row in rows]
'''
_WORD_STARTS = '''\
def word_starts(ids):
    """Where in its row the word of each token begins, so that its pieces are hidden together."""
    marked = any(piece.startswith(("Ġ", "▁")) for piece in tokenizer.get_vocab())
    rows, specials = [], set(tokenizer.all_special_ids)
    for row in ids.tolist():
        starts, first, inside = [], 0, False
        for place, (token, piece) in enumerate(zip(row, tokenizer.convert_ids_to_tokens(row))):
            joins = piece.isalnum() and not piece.startswith(("Ġ", "▁")) if marked else piece.startswith("##")
            first = first if inside and joins and token not in specials else place
            inside = token not in specials
            starts.append(first)
        rows.append(starts)
    return torch.tensor(rows)


'''
_PATIENCE = """\
    best = min(range(1, len(scores)), key=lambda done: scores[done]["loss"])
    if epoch + 1 - best >= PATIENCE:
        print(f"no better for {PATIENCE} epochs; the best was epoch {best}")
        break
"""


def parts(settings: TrainingConfig) -> dict[str, str]:
    """The text for each {{NAME}} in the cells."""
    splits = "One that is longer than the maximum becomes several rows, cut at the ends of sentences where it can be."
    cuts = "One that is longer than the maximum is cut there."
    return {
        "LONG_TEXTS": splits if settings.splits else cuts,
        "TOKENISE": f"# %%\n{_rules()}\n\n\n# %%\n{_SPLIT}" if settings.splits else f"\n{_CUT}",
        "WORD_STARTS": _WORD_STARTS if settings.masking.whole_words else "",
        "WORDS": ", words=word_starts(ids)" if settings.masking.whole_words else "",
        "PATIENCE": _PATIENCE if settings.patience else "",
    }


def _rules() -> str:
    """Where a long text is split: the engine's functions and what they look at."""
    constants = {
        "SENTENCE_NEAR": repr(batching.SENTENCE_NEAR),
        "HALF_WORD": f"re.compile({HALF_WORD.pattern!a})",
        "_KATAKANA": f"re.compile({batching._KATAKANA.pattern!a})",
        "_ENDS": repr(batching._ENDS),
        "_SPACELESS_ENDS": repr(batching._SPACELESS_ENDS),
        "_CLOSING": repr(batching._CLOSING),
        "_OPENING": repr(batching._OPENING),
    }
    sources = [inspect.getsource(part) for part in (batching._Boundary, *_FUNCTIONS)]
    assigned = "\n".join(f"{name} = {value}" for name, value in constants.items())
    head = "from __future__ import annotations\n\nfrom enum import IntEnum\n"
    return "\n\n".join([f"{head}\n{assigned}\n", *sources]).rstrip()


_FUNCTIONS = (batching._piece_ends, batching._best_end, batching._boundary)
