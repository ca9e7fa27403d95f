"""The lessons' pairs of trainings: one difference, the same questions, and the slip really made."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from dataclasses import asdict, fields, replace

import numpy as np
import pytest
import torch

from bertdemo.mlm.lessons.experiments import (
    EXPERIMENTS,
    Experiment,
    ExperimentResult,
    loss_by_corruption,
    result_from_record,
    run_experiment,
)
from bertdemo.mlm.lessons.masking_view import TARGET_CORRUPTIONS, token_corruptions
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.evaluation import score_targets, tokenize_and_fix
from bertdemo.mlm.training.events import Progress
from bertdemo.mlm.training.masking import IGNORED

TEXTS = [
    f"the {animal} can {verb} , and i really love this {thing} {end}"
    for animal in ("dog", "cat", "man")
    for verb in ("bark", "walk")
    for thing in ("show", "film", "story", "car")
    for end in (".", "! it was awesome .")
]
SHORT = TrainingConfig(
    epochs=50,
    learning_rate=3e-3,
    batch_size=8,
    max_length=32,
    max_steps=24,
    evaluate_every=8,
    evaluate_epochs=False,
    precision="fp32",
)


def run(masked_lm: MaskedLM, variant: TrainingConfig, **options) -> ExperimentResult:
    experiment = Experiment("test", replace(SHORT, **options), replace(variant, **options), len(TEXTS))
    running = run_experiment(experiment, TEXTS, new_model=fresh(masked_lm))
    done: list[Progress] = []
    while True:
        try:
            done.append(next(running))
        except StopIteration as ended:
            assert [progress.done for progress in done] == list(range(1, done[-1].total + 1))
            return ended.value


def fresh(masked_lm: MaskedLM) -> Callable[[], MaskedLM]:
    return lambda: replace(masked_lm, model=copy.deepcopy(masked_lm.model).requires_grad_(True))


def test_every_lesson_changes_only_what_it_is_about() -> None:
    differences = {
        key: {
            field.name
            for field in fields(TrainingConfig)
            if getattr(experiment.usual, field.name) != getattr(experiment.variant, field.name)
        }
        for key, experiment in EXPERIMENTS.items()
    }
    assert differences == {
        "loss": {"loss_on_all_tokens"},
        "once": {"redraw_masks"},
        "always": {"masking"},
        "padding": {"pad_to_max_length"},
    }


def test_both_sides_start_from_the_same_weights_and_answer_the_same_questions(tiny_bert: MaskedLM) -> None:
    outcome = run(tiny_bert, replace(SHORT, redraw_masks=False))
    assert outcome.usual.scored_steps == outcome.variant.scored_steps == (0, 8, 16, 24)
    assert outcome.usual.held_out[0] == outcome.variant.held_out[0]
    assert len(outcome.usual.losses) == 24
    assert result_from_record(json.loads(json.dumps(asdict(outcome)))) == outcome


def test_a_loss_on_all_tokens_looks_better_than_it_is(tiny_bert: MaskedLM) -> None:
    variant = replace(SHORT, loss_on_all_tokens=True)
    outcome = run(tiny_bert, variant, pad_to_max_length=True, max_steps=80, evaluate_every=80)
    assert outcome.variant.losses[-1] < outcome.usual.losses[-1]
    assert outcome.variant.held_out[-1] > outcome.usual.held_out[-1]


@pytest.mark.parametrize("padded", [True, False])
def test_padding_to_the_maximum_is_really_read_by_the_model(tiny_bert: MaskedLM, padded: bool) -> None:
    widths: set[float] = set()
    masked_lm = fresh(tiny_bert)()

    def watch(module: torch.nn.Module, args: tuple[torch.Tensor]) -> None:
        if module.training:
            widths.add(args[0].numel() / int((args[0] == masked_lm.tokenizer.cls_token_id).sum()))

    masked_lm.model.get_input_embeddings().register_forward_pre_hook(watch)
    config = replace(SHORT, pad_to_max_length=padded, max_steps=2)
    for _ in run_experiment(Experiment("test", config, config, len(TEXTS)), TEXTS, new_model=lambda: masked_lm):
        pass
    assert max(widths) <= SHORT.max_length
    assert (widths == {SHORT.max_length}) == padded


def test_the_losses_by_fate_make_up_the_whole(tiny_bert: MaskedLM) -> None:
    fixed = tokenize_and_fix(tiny_bert, TEXTS * 4, max_length=32, seed=3)
    corruptions = token_corruptions(tiny_bert, torch.from_numpy(fixed.texts.token_ids), torch.from_numpy(fixed.labels))
    counts = {corruption: corruptions.count(corruption) for corruption in TARGET_CORRUPTIONS}
    assert sum(counts.values()) == np.count_nonzero(fixed.labels != IGNORED)
    found = loss_by_corruption(tiny_bert, fixed, precision="fp32")
    *_, scores = score_targets(tiny_bert, fixed, precision="fp32")
    together = sum(counts[corruption] * found[corruption] for corruption in TARGET_CORRUPTIONS) / sum(counts.values())
    assert together == pytest.approx(scores.quality().loss)
