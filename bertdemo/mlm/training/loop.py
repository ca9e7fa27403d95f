"""Train a masked language model: a generator of typed events, suspended between two steps at every event.

Fine-tuning, pretraining and the lessons' recipes are this one loop with other settings. Knows no files, no threads and
no page: whoever consumes the events decides what is written, shown or stopped.
"""

from __future__ import annotations

import math
import time
from collections.abc import Generator, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ..data.corpus import Corpus
from ..errors import DataError, SettingsError, TrainingError
from ..inference.log_probs import precision_notes
from ..models.devices import automatic_precision
from ..models.loading import default_learning_rate
from ..models.masked_lm import MaskedLM
from ..settings import TrainingConfig, unusual_settings
from ..text.new_words import MIN_USES, SpelledWord, spelled_words, with_new_words
from . import distributed as processes
from .batching import TokenizedTexts, TrainingTexts, tokenize_texts, unknown_tokens
from .cpu_training import prepare_for_cpu_training
from .evaluation import FixedMasks, TargetScores, fix_masks, score_targets, tokenize_and_fix
from .events import (
    EndedEarly,
    Evaluated,
    GeneralEvaluated,
    NewWord,
    Probed,
    Progress,
    RunStarted,
    StepDone,
    TrainingEvent,
    Warned,
)
from .masking import Stream, mask_generator
from .optimizer import Optimizers
from .patience import Patience
from .probes import Prober
from .replay import joined, tokenize_replay, tokens_wanted
from .schedule import TrainingPlan
from .step import BatchLoss, MaskedBatch, check_step

ROWS_PLANNED = 20_000  # between two signs of life while the epochs are planned: some 20 ms
GENERAL_SEED = 3  # the same masks on general English for every run
_NOTHING_TO_GUESS = (
    "Some batches hold nothing but characters that this model does not know, so there is nothing to guess in them;"
    " they are passed over, without a loss."
)


class TrainingSession:
    """One run of one model on one corpus; the model's weights are changed in place.

    ``events`` may be closed at any event: weights are then those after the last whole step. ``state`` and ``restore``
    carry a run over to another process; all randomness is a function of the seed and the step, so nothing else is
    needed for the same losses as without the interruption.
    """

    def __init__(
        self,
        masked_lm: MaskedLM,
        corpus: TrainingTexts | Corpus,
        config: TrainingConfig,
        *,
        general: Sequence[str] = (),
        replay: Sequence[str] = (),
    ) -> None:
        if config.max_length > masked_lm.max_length:
            raise SettingsError(
                f"The maximum length is {config.max_length} tokens, but this model reads {masked_lm.max_length} at"
                " most; choose a length up to that."
            )
        masked_lm, self._new_words = _with_new_words(masked_lm, corpus, config.new_words)
        chosen = processes.agreed_device(config.device)
        masked_lm.model.to(chosen.device)  # type: ignore[arg-type]  # the library's wrapper hides that it is a method
        self.masked_lm, self.config = masked_lm, config
        wanted = config.precision or automatic_precision(masked_lm.device)
        self.precision = masked_lm.usable_precision(wanted)
        self._device_notes = (chosen.note,) if chosen.note else ()
        self._notes = (*self._device_notes, *masked_lm.notes, *precision_notes(masked_lm, wanted))
        self.held_out: FixedMasks | None = None  # once prepared, as is ``plan``
        self._corpus, self._general_texts, self._replay_texts = corpus, general, replay
        self._patience = Patience(config.patience)
        self._optimizers = Optimizers(masked_lm.model, config)
        self._step, self._seconds, self._resumed, self._passed_over = 0, 0.0, False, False
        self._prober = Prober(masked_lm, config.probes, watch=config.watch) if config.probes else None
        _set_dropout(masked_lm.model, config.dropout)
        prepare_for_cpu_training(masked_lm.model)
        if masked_lm.encoder is None:  # the library's code: what it cannot train is refused before the run begins
            check_step(masked_lm, precision=self.precision)

    def events(self) -> Generator[TrainingEvent, None, None]:
        """Prepare, score at step 0, then train and score every epoch.

        Raises TrainingError when the loss or the gradient is no longer finite, before the weights are touched.
        """
        clock = time.monotonic() - self._seconds
        yield from self._prepare()
        plan = self.plan
        yield from self._counted(plan)
        if not self._resumed:
            yield self._started(plan.steps)
            yield from self._warnings()
        else:  # it may go on on another machine
            yield from map(Warned, self._device_notes)
        yield from self._observe(plan)  # at step 0, or where an interruption may have come before the scores
        if (yield from self._ends_early(plan)):
            return
        loss_of = BatchLoss(self.masked_lm, self.config, precision=self.precision)
        for epoch, index, rows in plan.remaining(self._step):
            drawn = loss_of.draw(self._train, rows, epoch=epoch, index=index)
            learning_rate = plan.learning_rate(self._step)
            loss = yield from self._take_step(loss_of, drawn, learning_rate)
            self._step += 1
            self._seconds = time.monotonic() - clock
            tokens = drawn.batch.tokens
            yield StepDone(self._step, epoch + 1, loss, learning_rate, drawn.targets, tokens, self._seconds)
            yield from self._observe(plan)
            if (yield from self._ends_early(plan)):
                return

    def state(self) -> dict[str, Any]:
        """All that another process needs to go on behind the last step; tensors are not copied."""
        return {
            "step": self._step,
            "seconds": self._seconds,
            "precision": self.precision,
            "model": self.masked_lm.model.state_dict(),
            "optimizers": self._optimizers.state_dict(),
            "best": self._patience.best,
            "new_words": [word.entry for word in self._new_words],
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take up a state from ``state``; ``events`` then continues right behind it.

        Raises TrainingError where the texts no longer give the new words that the run began with.
        """
        if state.get("new_words", []) != [word.entry for word in self._new_words]:
            raise TrainingError("The words that this run was given are no longer those of its texts; start it anew.")
        self._step, self._seconds, self.precision = state["step"], state["seconds"], state["precision"]
        self.masked_lm.model.load_state_dict(state["model"])
        self._optimizers.load_state_dict(state["optimizers"])
        self._patience.best = state.get("best")  # runs of before there was patience have none
        self._resumed = True

    def held_out_masks(self) -> Iterator[dict[str, list[int]]]:
        """The rows that every evaluation of this run scores, as JSON objects."""
        return self.held_out.records() if self.held_out is not None else iter(())

    def first_batch(self) -> MaskedBatch:
        """The very batch and masks that the first step trains on; for drawing, nothing is changed."""
        for _ in self._prepare():
            pass
        loss_of = BatchLoss(self.masked_lm, self.config, precision=self.precision)
        return loss_of.draw(self._train, self.plan.batches(0)[0], epoch=0, index=0)

    def _prepare(self) -> Generator[Progress, None, None]:
        self._own = self._train = yield from self._tokenized(self._corpus.train, "tokenising")
        general = yield from self._tokenized_replay()
        self.plan = TrainingPlan(self._own.lengths, self.config, general.lengths)
        if len(general):
            self._train = joined(self._own, general)
        held_out = yield from self._tokenized(self._corpus.held_out, "tokenising held-out rows")
        self.held_out = fix_masks(self.masked_lm, held_out, seed=self.config.seed)
        self._general = None
        if self._general_texts:
            self._general = tokenize_and_fix(
                self.masked_lm, self._general_texts, max_length=self.config.max_length, seed=GENERAL_SEED
            )
        self._check_words()

    def _check_words(self) -> None:
        """Raises DataError where no row has a token that could be a target: all of them are [UNK]."""
        token_ids = self._own.token_ids
        parts = (token_ids[start : start + 2**20] for start in range(0, len(token_ids), 2**20))
        if not any(bool(self.masked_lm.selectable(torch.from_numpy(part.astype(np.int64))).any()) for part in parts):
            raise DataError(
                "No row holds a word that this model knows, so there is nothing to learn; choose another column, or a"
                " model of the texts' language."
            )

    def _tokenized(
        self, texts: Sequence[str] | TokenizedTexts, phase: str
    ) -> Generator[Progress, None, TokenizedTexts]:
        if isinstance(texts, TokenizedTexts):
            return texts
        length, split = self.config.max_length, self.config.splits
        for result in tokenize_texts(self.masked_lm.tokenizer, texts, max_length=length, split=split):
            if isinstance(result, int):
                yield Progress(phase, result, len(texts))
        assert isinstance(result, TokenizedTexts)  # what comes last is the result
        return result

    def _tokenized_replay(self) -> Generator[Progress, None, TokenizedTexts]:
        """As many of the general texts as all epochs together mix in; no rows where there are none."""
        result: int | TokenizedTexts = TokenizedTexts(np.zeros(0, np.int64), np.zeros(1, np.int64))
        if self._replay_texts:
            wanted = tokens_wanted(len(self._own.token_ids), share=self.config.replay_share)
            tokenizer, enough = self.masked_lm.tokenizer, wanted * self.config.epochs
            for result in tokenize_replay(tokenizer, self._replay_texts, config=self.config, enough=enough):
                if isinstance(result, int):
                    yield Progress("tokenising general texts", result, len(self._replay_texts))
        assert isinstance(result, TokenizedTexts)  # what comes last is the result
        return result

    def _counted(self, plan: TrainingPlan) -> Iterator[Progress]:
        rows = len(self._train)
        for epochs in plan.count_steps():
            if epochs * rows % ROWS_PLANNED < rows:  # not by the clock: all processes must agree
                yield Progress("planning", epochs, self.config.epochs)

    def _started(self, steps: int) -> RunStarted:
        assert self.held_out is not None  # prepared
        general = self.plan.replay_rows(0)
        return RunStarted(
            train_rows=self._own.texts,
            held_out_rows=self.held_out.texts.texts,
            train_tokens=len(self._own.token_ids),
            truncated=self._own.truncated + self.held_out.texts.truncated,
            pieces=self._own.pieces + self.held_out.texts.pieces,
            replay_rows=len(general),
            replay_tokens=int(self.plan.replay_lengths[general].sum()),
            steps=steps,
            precision=self.precision,
            device=str(self.masked_lm.device),
            learning_rate=self.config.learning_rate,
            new_words=tuple(NewWord(word.word, word.pieces, word.uses) for word in self._new_words),
        )

    def _warnings(self) -> Iterator[Warned]:
        report = getattr(self._corpus, "report", None)  # which only texts that were read from a file have
        yield from map(Warned, report.warnings if report else ())
        yield from map(Warned, unknown_tokens(self.masked_lm, self._own))
        suits = default_learning_rate(self.masked_lm.ref)
        yield from map(Warned, self._notes)
        if (found := len(self._new_words)) < self.config.new_words:
            yield Warned(
                f"Only {found} {'word is' if found == 1 else 'words are'} used {MIN_USES} times or more and spelled in"
                f" pieces by this model, so the model is given {found}, not {self.config.new_words}."
            )
        for sentence in unusual_settings(self.config, train_rows=len(self._own), default_learning_rate=suits):
            yield Warned(sentence)

    def _observe(self, plan: TrainingPlan) -> Generator[Progress | Probed | Evaluated, None, None]:
        if self._prober and plan.is_probed(self._step):
            yield self._prober.read(self._step)
        if plan.is_scored(self._step):
            yield from self._score()

    def _score(self) -> Generator[Progress | Evaluated, None, None]:
        for fixed, kind in ((self.held_out, Evaluated), (self._general, GeneralEvaluated)):
            if fixed is None:
                continue
            # in float32 whatever the run trains in: anyone can recompute it, and bfloat16 is off in the third digit
            for result in score_targets(self.masked_lm, fixed, precision="fp32"):
                if isinstance(result, TargetScores):
                    evaluated = result.evaluated(self._step, kind=kind)
                    if kind is Evaluated:  # before it is told, since whoever hears of it may save the state
                        self._patience.take(evaluated)
                    yield evaluated
                else:
                    yield result

    def _ends_early(self, plan: TrainingPlan) -> Generator[EndedEarly, None, bool]:
        """Whether the run's patience is at its end; the first process decides for all, since scores may differ in their
        last digits."""
        if not (self.config.patience and plan.ends_epoch(self._step) and self._step < plan.steps):
            return False
        ended = self._patience.ended(self._step, epoch_of=plan.epoch_of)
        if ended is not None:
            yield ended
        return processes.any_of(ended is not None and processes.rank() == 0)

    def _take_step(
        self, loss_of: BatchLoss, drawn: MaskedBatch, learning_rate: float
    ) -> Generator[Progress | Warned, None, float]:
        if not drawn.targets:  # rows of unknown characters alone, which have nothing to guess
            if not self._passed_over:
                self._passed_over = True
                yield Warned(_NOTHING_TO_GUESS)
            return math.nan
        self.masked_lm.model.train()
        self._optimizers.clear()  # a stop in mid-step may have left half of a batch's gradients
        if self.config.dropout:  # its noise has no generator of its own: tie it to the step as everything else is
            torch.manual_seed(mask_generator(self.config.seed, Stream.DROPOUT, self._step).initial_seed())
        loss = yield from loss_of.backward(drawn)
        norm = float(self._optimizers.clip())
        if not (math.isfinite(loss) and math.isfinite(norm)):
            self._optimizers.clear()
            raise TrainingError(
                f"The {'loss' if not math.isfinite(loss) else 'gradient'} was no longer a finite number at step"
                f" {self._step + 1}, so training stopped before it could harm the weights; try a learning rate ten"
                f" times smaller than {self.config.learning_rate:g}."
            )
        self._optimizers.step(learning_rate)
        return loss


def train(
    masked_lm: MaskedLM, corpus: TrainingTexts | Corpus, config: TrainingConfig, *, general: Sequence[str] = ()
) -> Generator[TrainingEvent, None, None]:
    """Train ``masked_lm`` in place; the events of a ``TrainingSession`` that nobody needs to save or resume."""
    yield from TrainingSession(masked_lm, corpus, config, general=general).events()


def _with_new_words(
    masked_lm: MaskedLM, corpus: TrainingTexts | Corpus, count: int
) -> tuple[MaskedLM, tuple[SpelledWord, ...]]:
    """The model with the texts' most frequent spelled words as tokens; rows that are tokens already give none."""
    if not count or isinstance(corpus.train, TokenizedTexts):
        return masked_lm, ()
    words = spelled_words(masked_lm, corpus.train, at_most=count)
    return with_new_words(masked_lm, words), words


def _set_dropout(model: nn.Module, rate: float) -> None:
    """Set every dropout of the model, attention's too: 0 keeps the fast attention path and draws no noise."""
    modules: Iterator[Any] = model.modules()  # the type of a part that torch does not define is not known
    for module in modules:
        if isinstance(module, nn.Dropout):
            module.p = rate
        elif isinstance(getattr(module, "attention_dropout", None), float):
            module.attention_dropout = rate
