"""One checkpoint against plain transformers code: what it fills, scores, evaluates, learns and saves must be equal.

The reference reads one row at a time, unpadded, with every token's logits computed, from a model that the library
alone has loaded. A checkpoint may be refused instead, with a sentence; nothing in between.
"""

from __future__ import annotations

import copy
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from bertdemo.mlm.errors import BertDemoError
from bertdemo.mlm.inference.fill_mask import fill_masks
from bertdemo.mlm.inference.pseudo_likelihood import score_sentence
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.evaluation import TargetScores, score_targets, tokenize_and_fix
from bertdemo.mlm.training.events import RunStarted, StepDone, Warned
from bertdemo.mlm.training.loop import TrainingSession

NATS = 2e-4  # between two ways to compute one log-probability in float32
WORDS = (
    "dog bark love loves house walk home bad show john paris film great story actor movie music happy sad fun cat man"
)
LETTERS = "L A G V S E R T I D P K Q N F Y M H W C"
CONFIG = TrainingConfig(epochs=1, batch_size=4, max_length=24, learning_rate=1e-3)


@dataclass(frozen=True)
class Texts:
    train: tuple[str, ...]
    held_out: tuple[str, ...]


class Plain:
    """The checkpoint as the library loads it, read as its documentation says."""

    def __init__(self, folder: Path) -> None:
        # What a machine without the kernels, or a caller who wants names and any length, has to change.
        config = AutoConfig.from_pretrained(folder)
        config._attn_implementation, config.return_dict = None, True
        if hasattr(config, "chunk_size_feed_forward"):
            config.chunk_size_feed_forward = 0
        self.model = AutoModelForMaskedLM.from_pretrained(folder, config=config, dtype=torch.float32).eval()
        self.tokenizer = AutoTokenizer.from_pretrained(folder)

    @torch.no_grad()
    def log_probs(self, token_ids: list[int]) -> Tensor:
        """One row of T ids -> (T, V) in nats."""
        ids = torch.tensor([token_ids])
        model = copy.deepcopy(self.model)  # BigBird's changes itself with the first text that it reads
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
        return logits[0].float().log_softmax(dim=-1)


def words_of(tokenizer: object) -> list[str]:
    """Words that the vocabulary can write: English, or the letters of amino acids."""
    unknown = tokenizer.unk_token_id

    def known(word: str) -> bool:
        try:
            ids = tokenizer(word, add_special_tokens=False)["input_ids"]
        except Exception:  # a vocabulary without a token for the unknown
            return False
        return bool(ids) and unknown not in ids

    english = [word for word in WORDS.split() if known(word)]
    letters = [letter for letter in LETTERS.split() if known(letter)]
    return next((words for words in (english, letters) if len(words) > 8), WORDS.split())


def sentence(words: list[str], length: int, *, start: int = 0) -> list[str]:
    return [words[(start * 7 + place * (start % 5 + 1)) % len(words)] for place in range(length)]


def differences(folder: Path) -> list[str]:
    """Every way in which the checkpoint is not what the library makes of it; a refusal is one line "refused: ...".

    Anything else that is raised is a difference too.
    """
    try:
        masked_lm = load_masked_lm(ModelRef(folder.name, str(folder.resolve())))
    except BertDemoError as error:
        return [f"refused: {error}"]
    masked_lm.model.requires_grad_(False)
    plain = Plain(folder)
    found = []
    for check in (fill_short, fill_long, score, evaluate, gradients, epoch):
        try:
            check(masked_lm, plain)
        except BertDemoError as error:
            found.append(f"refused: {check.__name__}: {error}")
        except Exception as error:  # what a user would see as a traceback
            found.append(f"{check.__name__}: {type(error).__name__}: {str(error).strip()[:300]}")
    return found


def _close(found: Tensor, expected: Tensor, what: str, *, atol: float = NATS) -> None:
    torch.testing.assert_close(
        found.double(), expected.double(), atol=atol, rtol=1e-4, msg=lambda text: f"{what}: {text}"
    )


def fill_short(masked_lm: MaskedLM, plain: Plain) -> None:
    words = sentence(words_of(plain.tokenizer), 5)
    words[2] = plain.tokenizer.mask_token
    text = " ".join(words)
    filled = fill_masks(masked_lm, text, top_k=5)
    ids = plain.tokenizer(text)["input_ids"]
    assert list(filled.prepared.token_ids) == ids, f"{filled.prepared.token_ids} is not {ids}"
    _same_candidates(filled, plain)


def fill_long(masked_lm: MaskedLM, plain: Plain) -> None:
    words = sentence(words_of(plain.tokenizer), 2 * min(masked_lm.max_length, 400), start=1)
    words[len(words) // 2] = plain.tokenizer.mask_token
    filled = fill_masks(masked_lm, " ".join(words), top_k=5)
    ids = filled.prepared.token_ids
    assert len(ids) <= masked_lm.max_length
    bare = plain.tokenizer(plain.tokenizer.mask_token)["input_ids"]
    place = bare.index(plain.tokenizer.mask_token_id)
    assert list(ids[:place]) == bare[:place], "the opening tokens are lost"
    assert list(ids[len(ids) - len(bare) + place + 1 :]) == bare[place + 1 :], "the closing tokens are lost"
    _same_candidates(filled, plain)


def _same_candidates(filled: object, plain: Plain) -> None:
    ids = list(filled.prepared.token_ids)
    (position,) = [place for place, token_id in enumerate(ids) if token_id == plain.tokenizer.mask_token_id]
    expected = plain.log_probs(ids)[position]
    candidates = filled.masks[0].candidates
    assert len(candidates) == 5
    found = torch.tensor([math.log(candidate.probability) for candidate in candidates])
    _close(found, expected[[candidate.token_id for candidate in candidates]], "log p")
    _close(found, expected.topk(5).values, "the best five")


def score(masked_lm: MaskedLM, plain: Plain) -> None:
    text = " ".join(sentence(words_of(plain.tokenizer), 9, start=2))
    scored = score_sentence(masked_lm, text, within_word="plain")
    ids, total = plain.tokenizer(text)["input_ids"], 0.0
    assert scored.tokens
    assert scored.scored == len([i for i in ids if i not in plain.tokenizer.all_special_ids])
    for token in scored.tokens:
        if token.surprisal_bits is None:
            assert token.token_id == plain.tokenizer.unk_token_id
            continue
        row = list(ids)
        assert row[token.position] == token.token_id
        row[token.position] = plain.tokenizer.mask_token_id
        log_probs = plain.log_probs(row)[token.position]
        total += float(log_probs[token.token_id])
        _close(torch.tensor(-token.surprisal_bits * math.log(2)), log_probs[token.token_id], token.token)
    _close(torch.tensor(scored.pll), torch.tensor(total), "pll", atol=20 * NATS)


def rows_of(tokenizer: object, count: int) -> tuple[str, ...]:
    words = words_of(tokenizer)
    return tuple(" ".join(sentence(words, 3 + (5 * row) % 14, start=row)) for row in range(count))


def evaluate(masked_lm: MaskedLM, plain: Plain) -> None:
    texts = [*rows_of(plain.tokenizer, 10), " ".join(sentence(words_of(plain.tokenizer), 300))]
    limit = min(masked_lm.max_length, 256)
    fixed = tokenize_and_fix(masked_lm, texts, max_length=limit, seed=0)
    *_, scores = score_targets(masked_lm, fixed, precision="fp32")
    assert isinstance(scores, TargetScores)
    bare = plain.tokenizer(plain.tokenizer.mask_token)["input_ids"]
    closing = len(bare) - bare.index(plain.tokenizer.mask_token_id) - 1
    losses, ranks = {}, {}
    for number, record in enumerate(fixed.records()):
        ids, labels = record["input_ids"], record["labels"]
        uncut = plain.tokenizer(texts[number])["input_ids"]
        assert len(ids) == min(len(uncut), limit)
        _check_cut(ids, labels, uncut, closing=closing)
        log_probs = plain.log_probs(ids)
        places = [place for place, label in enumerate(labels) if label != -100]
        losses[number] = [-float(log_probs[place, labels[place]]) for place in places]
        ranks[number] = [int((log_probs[place] > log_probs[place, labels[place]] + NATS).sum()) + 1 for place in places]
    for number, expected in losses.items():
        _close(torch.tensor(scores.losses[scores.rows == number]), torch.tensor(expected), f"row {number}")
        assert (abs(scores.ranks[scores.rows == number] - ranks[number]) <= 1).all()


def _check_cut(ids: list[int], labels: list[int], uncut: list[int], *, closing: int) -> None:
    """The row as it was, cut before its closing special tokens where it is too long."""
    restored = [label if label != -100 else token_id for token_id, label in zip(ids, labels, strict=True)]
    kept = len(ids) - closing
    assert restored == [*uncut[:kept], *uncut[len(uncut) - closing :]]


def session_of(masked_lm: MaskedLM, *, precision: str | None) -> TrainingSession:
    private = load_masked_lm(masked_lm.ref)
    rows = rows_of(masked_lm.tokenizer, 12)
    config = CONFIG if precision is None else TrainingConfig(**{**vars(CONFIG), "precision": precision})
    return TrainingSession(private, Texts(rows[3:], rows[:3]), config)


def gradients(masked_lm: MaskedLM, plain: Plain) -> None:
    from bertdemo.mlm.training.step import BatchLoss

    session = session_of(masked_lm, precision="fp32")
    drawn = session.first_batch()
    private = session.masked_lm
    private.model.train()
    steps = BatchLoss(private, session.config, precision="fp32").backward(drawn)
    loss = None
    try:
        while True:
            next(steps)
    except StopIteration as stopped:
        loss = stopped.value
    model = plain.model.train()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
        for name in ("dropout", "activation_dropout", "attention_dropout"):
            if isinstance(getattr(module, name, None), float):
                setattr(module, name, 0.0)
    model.zero_grad()
    labels = drawn.masked.labels
    logits = model(input_ids=drawn.masked.token_ids, attention_mask=drawn.batch.attention_mask).logits
    expected = nn.functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten())
    expected.backward()
    model.eval()
    _close(torch.tensor(loss), expected.detach(), "loss")
    theirs = dict(model.named_parameters())
    size = max(float(weight.grad.abs().max()) for weight in theirs.values() if weight.grad is not None)
    for name, weight in private.model.named_parameters():
        reference = theirs[name].grad
        reference = torch.zeros_like(weight) if reference is None else reference
        ours = torch.zeros_like(weight) if weight.grad is None else weight.grad
        _close(ours, reference, f"gradient of {name}", atol=2e-4 * max(size, 1.0))
    model.zero_grad()


def epoch(masked_lm: MaskedLM, plain: Plain) -> None:
    """An epoch in what the machine would choose, and in bf16: finite, near float32, said where it could not be done."""
    before = [weight.clone() for weight in masked_lm.model.parameters()]
    first = {}
    for precision in ("fp32", None, "bf16"):
        session = session_of(masked_lm, precision=precision)
        events = list(session.events())
        (started,) = [event for event in events if isinstance(event, RunStarted)]
        losses = [event.loss for event in events if isinstance(event, StepDone)]
        assert losses
        assert all(map(math.isfinite, losses))
        first[precision] = losses[0]
        if precision == "bf16" and started.precision != "bf16":
            assert any("bf16" in event.message for event in events if isinstance(event, Warned)), "a silent fall-back"
    assert abs(first["bf16"] - first["fp32"]) < 0.1 * first["fp32"], f"{first}"
    assert all(torch.equal(*pair) for pair in zip(before, masked_lm.model.parameters(), strict=True))
    with tempfile.TemporaryDirectory() as folder:
        saved(session.masked_lm, Path(folder) / "model", plain)


def saved(trained: MaskedLM, folder: Path, plain: Plain) -> None:
    """The trained model as a run saves it, loaded by the library alone."""
    trained.model.save_pretrained(folder)
    trained.tokenizer.save_pretrained(folder)
    again = Plain(folder)
    text = " ".join([*sentence(words_of(plain.tokenizer), 4), plain.tokenizer.mask_token])
    ids = again.tokenizer(text)["input_ids"]
    assert ids == plain.tokenizer(text)["input_ids"]
    filled = fill_masks(trained, text, top_k=5)
    _same_candidates(filled, again)
    moved = (again.log_probs(ids) - plain.log_probs(ids)).abs().max()
    assert moved > 1e-3, "nothing was learned"
