"""The training loop as a user and a resumed run see it, held against plain transformers code."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

import pytest
import torch
from small_corpus import CONFIG, CORPUS
from torch import nn

from bertdemo.mlm.errors import SettingsError, TrainingError
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.settings import NOTEBOOK, MaskingConfig, TrainingConfig, unusual_settings
from bertdemo.mlm.training import step as steps
from bertdemo.mlm.training.batching import TrainingTexts
from bertdemo.mlm.training.events import Evaluated, Probed, Progress, RunStarted, StepDone, TrainingEvent, Warned
from bertdemo.mlm.training.loop import TrainingSession, train
from bertdemo.mlm.training.masking import IGNORED
from bertdemo.mlm.training.step import BatchLoss, MaskedBatch

Trainable = Callable[[MaskedLM], MaskedLM]
Weights = dict[str, torch.Tensor]
GENERAL = ("paris is the capital of france .", "my dogs love walking and talking .")


@pytest.fixture
def bert(tiny_bert: MaskedLM, trainable: Trainable) -> MaskedLM:
    return trainable(tiny_bert)


@pytest.fixture
def started(tiny_bert: MaskedLM, trainable: Trainable) -> Callable[..., TrainingSession]:
    """A new session on fresh weights: ``started(epochs=3)`` changes settings."""

    def start(general: Sequence[str] = (), **changes: Any) -> TrainingSession:
        return TrainingSession(trainable(tiny_bert), CORPUS, replace(CONFIG, **changes), general=general)

    return start


def weights(model: nn.Module) -> Weights:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left: Weights, right: Weights) -> bool:
    return all(torch.equal(tensor, right[name]) for name, tensor in left.items())


def losses(events: Sequence[TrainingEvent]) -> list[float]:
    return [event.loss for event in events if isinstance(event, StepDone)]


def of_kind(events: Sequence[TrainingEvent], kind: type) -> list[Any]:
    return [event for event in events if type(event) is kind]


def plain_loss(masked_lm: MaskedLM, drawn: MaskedBatch) -> float:
    """What transformers itself says of the same masked batch."""
    model = copy.deepcopy(masked_lm.model).eval()
    output = model(
        input_ids=drawn.masked.token_ids, attention_mask=drawn.batch.attention_mask, labels=drawn.masked.labels
    )
    return output.loss.item()


@contextmanager
def reading(masked_lm: MaskedLM, watch: Callable[[list[list[int]]], None]) -> Iterator[None]:
    """Show the rows of token ids to ``watch`` before the model in training reads them; padding only if it is read."""
    opening = masked_lm.tokenizer.cls_token_id

    def before(module: nn.Module, arguments: tuple[torch.Tensor]) -> None:
        if module.training:
            end_to_end = arguments[0].flatten()
            starts = (end_to_end == opening).nonzero()[1:, 0].tolist()
            watch([row.tolist() for row in torch.tensor_split(end_to_end, starts)])

    handle = masked_lm.model.get_input_embeddings().register_forward_pre_hook(before)
    try:
        yield
    finally:
        handle.remove()


# What a run says


def test_a_run_tells_what_it_will_do_and_then_does_it(started: Callable[..., TrainingSession]) -> None:
    events = list(started(GENERAL, epochs=3).events())
    begun, steps_done = of_kind(events, RunStarted)[0], of_kind(events, StepDone)
    assert (begun.train_rows, begun.held_out_rows, begun.truncated) == (len(CORPUS.train), len(CORPUS.held_out), 0)
    assert (begun.steps, begun.precision, begun.device) == (len(steps_done), "fp32", "cpu")
    assert [step.step for step in steps_done] == list(range(1, begun.steps + 1))
    for epoch in (1, 2, 3):
        assert sum(step.tokens for step in steps_done if step.epoch == epoch) == begun.train_tokens
    seconds = [step.seconds for step in steps_done]
    assert seconds == sorted(seconds)
    assert all(0 < step.targets < step.tokens for step in steps_done)
    ends = [0, *(max(step.step for step in steps_done if step.epoch == epoch) for epoch in (1, 2, 3))]
    for kind in ("evaluated", "general"):
        assert [event.step for event in events if event.event == kind] == ends
    assert of_kind(events, Progress)
    assert type(next(event for event in events if not isinstance(event, Progress))) is RunStarted


def test_held_out_and_general_figures_move_with_the_model(started: Callable[..., TrainingSession]) -> None:
    events = list(started(GENERAL, epochs=4, learning_rate=5e-3).events())
    held_out = of_kind(events, Evaluated)
    assert held_out[-1].loss < held_out[0].loss
    assert len({event.loss for event in events if event.event == "general"}) == 5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_held_out_figures_can_be_recomputed_from_the_masks(
    started: Callable[..., TrainingSession], precision: str
) -> None:
    """In float32, whatever the run trains in."""
    session = started(precision=precision)
    for event in session.events():
        if isinstance(event, Evaluated):
            total, right, count = 0.0, 0, 0
            model = copy.deepcopy(session.masked_lm.model).eval()
            for row in session.held_out_masks():
                labels = torch.tensor(row["labels"])
                logits = model(torch.tensor([row["input_ids"]])).logits[0].detach()
                total += float(nn.functional.cross_entropy(logits, labels, ignore_index=-100, reduction="sum"))
                right += int((logits.argmax(-1) == labels).sum())
                count += int((labels != -100).sum())
            assert (event.loss, event.targets) == (pytest.approx(total / count, abs=1e-4), count)
            assert event.top1 == pytest.approx(right / count)


def test_the_held_out_masks_are_the_same_whatever_the_recipe(started: Callable[..., TrainingSession]) -> None:
    def masks(**changes: Any) -> list[dict[str, Any]]:
        session = started(**changes)
        session.first_batch()
        return list(session.held_out_masks())

    assert masks() == masks(batch_size=2, epochs=9, masking=MaskingConfig(0.5), pad_to_max_length=True)
    assert masks() == masks(masking=MaskingConfig(whole_words=True))
    assert masks() != masks(seed=1)
    share = sum(label != -100 for row in masks(masking=MaskingConfig(0.9)) for label in row["labels"])
    assert share < 0.4 * sum(len(row["labels"]) for row in masks())


# What a run learns


def test_the_loss_falls_on_rows_that_can_be_learnt_by_heart(bert: MaskedLM) -> None:
    texts = TrainingTexts(CORPUS.train[:4], CORPUS.held_out)
    config = replace(CONFIG, epochs=60, batch_size=4, learning_rate=5e-3)
    curve = losses(list(train(bert, texts, config)))
    assert sum(curve[-10:]) < 0.5 * sum(curve[:10])


def test_one_seed_gives_one_run(started: Callable[..., TrainingSession]) -> None:
    sessions = [started(seed=seed, dropout=0.1) for seed in (4, 4, 5)]
    curves = [losses(list(session.events())) for session in sessions]
    assert curves[0] == curves[1] != curves[2]
    assert same(*(weights(session.masked_lm.model) for session in sessions[:2]))


def test_dropout_is_a_setting_of_the_run(started: Callable[..., TrainingSession]) -> None:
    chance = torch.get_rng_state()
    plain = losses(list(started().events()))
    assert torch.equal(torch.get_rng_state(), chance)  # no noise is drawn, so none is waited for
    noisy = losses(list(started(dropout=0.3).events()))
    assert plain[0] != noisy[0]


def test_a_probe_does_not_change_what_is_learnt(any_tiny: MaskedLM, trainable: Trainable) -> None:
    mask = any_tiny.tokenizer.mask_token
    probed = replace(CONFIG, probes=(f"i {mask} this show !", f"{mask} ."), watch=("love", "barked"), dropout=0.1)
    with_probe, without = (
        list(train(trainable(any_tiny), CORPUS, config)) for config in (probed, replace(probed, probes=()))
    )
    assert losses(with_probe) == losses(without)
    assert of_kind(with_probe, Evaluated) == of_kind(without, Evaluated)
    readings = of_kind(with_probe, Probed)
    assert [reading.step for reading in readings] == list(range(len(losses(without)) + 1))
    assert readings[0].probes != readings[-1].probes


def test_a_learning_rate_of_0_leaves_every_bit_and_says_so(started: Callable[..., TrainingSession]) -> None:
    session = started(learning_rate=0.0, weight_decay=0.5)
    before = weights(session.masked_lm.model)
    events = list(session.events())
    assert same(weights(session.masked_lm.model), before)
    assert len({event.loss for event in of_kind(events, Evaluated)}) == 1
    assert any("learning rate is 0" in event.message for event in of_kind(events, Warned))


@pytest.mark.slow
@pytest.mark.parametrize("dropped", [0.0, 0.2])
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_a_run_can_be_taken_up_behind_any_step(
    started: Callable[..., TrainingSession], optimizer: str, dropped: float
) -> None:
    settings = {"optimizer": optimizer, "dropout": dropped, "epochs": 3, "batch_size": 10}
    session = started(GENERAL, **settings)
    states, told = [copy.deepcopy(session.state())], []
    for event in session.events():
        told.append(event)
        if isinstance(event, StepDone):  # the last one of an epoch comes before the epoch's scores
            states.append(copy.deepcopy(session.state()))
    last = weights(session.masked_lm.model)
    assert len(states) > 6
    for state in states:
        again = started(GENERAL, **settings)
        again.restore(copy.deepcopy(state))
        events = list(again.events())
        done = state["step"]
        assert losses(events) == losses(told)[done:]
        for kind in ("evaluated", "general"):
            scores = [event for event in events if event.event == kind]
            assert scores == [event for event in told if event.event == kind and event.step >= done]
        assert same(weights(again.masked_lm.model), last)
        if done:
            assert of_kind(events, StepDone)[:1] == [] or of_kind(events, StepDone)[0].seconds > state["seconds"]


def test_the_precision_of_a_run_that_goes_on_is_kept(started: Callable[..., TrainingSession]) -> None:
    first, second = started(precision="bf16"), started(precision="fp32")
    second.restore(first.state())
    assert second.precision == "bf16"


# When a run ends early


def test_closing_leaves_the_weights_of_the_last_whole_step(started: Callable[..., TrainingSession]) -> None:
    whole, session = started(), started()
    kept = [weights(whole.masked_lm.model) for event in whole.events() if isinstance(event, StepDone)]
    with closing(session.events()) as events:
        while not (isinstance(event := next(events), StepDone) and event.step == 3):
            pass
    assert same(weights(session.masked_lm.model), kept[2])
    assert all(bool(tensor.isfinite().all()) for tensor in session.masked_lm.model.state_dict().values())


def test_closing_between_the_parts_of_a_step_leaves_no_trace(
    started: Callable[..., TrainingSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "CPU_TOKENS_AT_ONCE", 32)
    expected = losses(list(started().events()))
    session, taken = started(), []
    with closing(session.events()) as events:
        for event in events:
            taken += losses([event])
            if len(taken) == 2 and isinstance(event, Progress) and event.phase == "training":
                break
    before = weights(session.masked_lm.model)
    assert before  # stopped in the middle of the third step; the session then goes on as if it had not been
    assert taken + losses(list(session.events())) == expected


def poisoned_at(step: int, what: str, model: nn.Module) -> Callable[[int], None]:
    """Make the loss or the gradient infinite from a step on; to be told of every step done."""
    done = [0]

    def spoil(_module: nn.Module, _arguments: Any, output: torch.Tensor) -> torch.Tensor:
        return output * math.nan if model.training and done[0] == step - 1 and what == "loss" else output

    model.cls.predictions.transform.LayerNorm.register_forward_hook(spoil)
    bias = model.cls.predictions.transform.dense.bias
    bias.register_hook(lambda grad: grad * math.inf if done[0] == step - 1 and what == "gradient" else grad)
    return lambda reached: done.__setitem__(0, reached)


@pytest.mark.parametrize("what", ["loss", "gradient"])
def test_a_loss_that_is_no_number_stops_the_run_before_it_harms_the_weights(
    started: Callable[..., TrainingSession], what: str
) -> None:
    session = started()
    tell = poisoned_at(3, what, session.masked_lm.model)
    before: Weights = {}

    def follow() -> None:
        for event in session.events():
            if isinstance(event, StepDone):
                tell(event.step)
                before.update(weights(session.masked_lm.model))

    with pytest.raises(TrainingError, match=rf"The {what} was no longer .* at step 3, .* than 0\.001\.$"):
        follow()
    assert same(weights(session.masked_lm.model), before)
    assert session.state()["step"] == 2


# What a step computes


def test_the_loss_is_that_of_transformers_on_the_same_batch(any_tiny: MaskedLM, trainable: Trainable) -> None:
    masked_lm = trainable(any_tiny)
    session = TrainingSession(masked_lm, CORPUS, CONFIG)
    drawn = session.first_batch()
    assert drawn.batch.attention_mask is not None
    expected = plain_loss(masked_lm, drawn)
    first = next(event for event in session.events() if isinstance(event, StepDone))
    assert (first.loss, first.targets) == (pytest.approx(expected, abs=1e-5), drawn.targets)


def test_the_first_batch_is_the_one_that_is_trained_on(started: Callable[..., TrainingSession]) -> None:
    session = started()
    drawn = session.first_batch()
    read: list[list[list[int]]] = []
    with reading(session.masked_lm, read.append), closing(session.events()) as events:
        first = next(event for event in events if isinstance(event, StepDone))
    rows = zip(drawn.masked.token_ids.tolist(), drawn.batch.lengths, strict=True)
    assert read[0] == [row[:length] for row, length in rows]
    assert (first.targets, first.tokens) == (drawn.targets, drawn.batch.tokens)
    again = started().first_batch()
    assert torch.equal(again.masked.labels, drawn.masked.labels)


def gradients(masked_lm: MaskedLM, drawn: MaskedBatch) -> Weights:
    list(BatchLoss(masked_lm, CONFIG, precision="fp32").backward(drawn))
    return {
        name: parameter.grad for name, parameter in masked_lm.model.named_parameters() if parameter.grad is not None
    }


def test_gradients_do_not_depend_on_how_a_batch_is_split(
    any_tiny: MaskedLM, trainable: Trainable, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn = TrainingSession(trainable(any_tiny), CORPUS, CONFIG).first_batch()
    whole = gradients(trainable(any_tiny), drawn)
    assert len(whole) > 10
    for tokens in (1, 64):
        monkeypatch.setattr(steps, "CPU_TOKENS_AT_ONCE", tokens)
        split = gradients(trainable(any_tiny), drawn)
        assert split.keys() == whole.keys()
        for name, gradient in split.items():
            assert torch.allclose(gradient, whole[name], rtol=1e-4, atol=1e-6), name


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")]
)
def test_a_batch_that_does_not_fit_is_split_and_learns_the_same(
    started: Callable[..., TrainingSession], error: RuntimeError
) -> None:
    def refuse(rows: list[list[int]]) -> None:
        if len(rows) > 2:
            raise error

    expected = losses(list(started().events()))
    session = started()
    with reading(session.masked_lm, refuse):
        events = list(session.events())
    assert losses(events) == pytest.approx(expected, rel=1e-4)
    warned = [event.message for event in of_kind(events, Warned)]
    assert 1 <= sum("split into smaller parts" in message for message in warned) <= 3


def test_a_row_that_does_not_fit_even_alone_ends_the_run_in_words(started: Callable[..., TrainingSession]) -> None:
    def refuse(_rows: list[list[int]]) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    session = started()
    before = weights(session.masked_lm.model)
    with reading(session.masked_lm, refuse), pytest.raises(TrainingError, match="shorter maximum length"):
        list(session.events())
    assert same(weights(session.masked_lm.model), before)


def test_any_other_error_is_not_taken_for_a_lack_of_memory(started: Callable[..., TrainingSession]) -> None:
    def fail(_rows: list[list[int]]) -> None:
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    session = started()
    with reading(session.masked_lm, fail), pytest.raises(RuntimeError, match="mat1"):
        list(session.events())


# The recipes that lessons compare


def test_loss_on_all_tokens_scores_every_position_padding_too(started: Callable[..., TrainingSession]) -> None:
    session = started(loss_on_all_tokens=True)
    drawn, usual = session.first_batch(), started().first_batch()
    assert torch.equal(drawn.masked.token_ids, usual.masked.token_ids)
    assert torch.equal(drawn.masked.labels, drawn.batch.token_ids)
    assert drawn.targets == drawn.batch.token_ids.numel() > drawn.batch.tokens
    expected = plain_loss(session.masked_lm, drawn)
    first = next(event for event in session.events() if isinstance(event, StepDone))
    assert (first.loss, first.targets) == (pytest.approx(expected, abs=1e-5), drawn.targets)


@pytest.mark.parametrize("redraw", [True, False])
def test_masks_are_drawn_anew_every_epoch_unless_the_recipe_says_once(
    started: Callable[..., TrainingSession], redraw: bool
) -> None:
    session = started(redraw_masks=redraw, epochs=2)
    read: list[tuple[int, ...]] = []
    with reading(session.masked_lm, lambda rows: read.extend(map(tuple, rows))):
        list(session.events())
    half, pad = len(read) // 2, session.masked_lm.pad_token_id
    assert half == len(CORPUS.train)
    first, second = ({tuple(i for i in row if i != pad) for row in rows} for rows in (read[:half], read[half:]))
    assert (first == second) is not redraw


def test_rows_padded_to_the_maximum_length_cost_as_much_and_learn_the_same(
    started: Callable[..., TrainingSession],
) -> None:
    session = started(pad_to_max_length=True)
    widths: set[int] = set()
    with reading(session.masked_lm, lambda rows: widths.update(map(len, rows))):
        padded = losses(list(session.events()))
    assert widths == {CONFIG.max_length}
    assert session.first_batch().batch.token_ids.shape[1] == CONFIG.max_length
    assert len(padded) == len(losses(list(started().events())))


# Settings


@pytest.mark.parametrize(
    ("changes", "rows", "words"),
    [
        ({"learning_rate": 0.0}, 500, "learning rate is 0"),
        ({"learning_rate": 3e-4}, 500, "far above 5e-05"),
        ({"epochs": 30}, 100, "by heart"),
        ({"masking": MaskingConfig(0.8)}, 500, "mask rate of 80% is unusual"),
        ({"masking": MaskingConfig(0.01)}, 500, "mask rate of 1% is unusual"),
        ({"batch_size": 64}, 50, "more than the 50 rows"),
        ({"patience": 2}, 500, "a run of 3 epochs never ends early"),
    ],
)
def test_legal_but_unusual_settings_are_remarked_on(changes: dict[str, Any], rows: int, words: str) -> None:
    config = replace(TrainingConfig(), **changes)
    (sentence,) = unusual_settings(config, train_rows=rows, default_learning_rate=5e-5)
    assert words in sentence
    assert sentence.endswith(".")


def test_usual_settings_pass_without_a_word() -> None:
    for config in (TrainingConfig(), NOTEBOOK):
        assert not list(unusual_settings(config, train_rows=400, default_learning_rate=5e-5))


@pytest.mark.parametrize(
    "changes",
    [
        *({"epochs": value} for value in (0, -1, 1.5, 10**9, True, "3")),
        *({"learning_rate": value} for value in (-1e-9, 1.01, 1e3, math.nan, math.inf, "5e-5", None)),
        *({"batch_size": value} for value in (0, 10**6)),
        *({"max_length": value} for value in (1, 10**7)),
        *({"seed": value} for value in (-1, 2**63, 0.5)),
        *({"precision": "fp16"}, {"optimizer": "sgd"}, {"max_steps": 0}, {"dropout": 1.0}, {"weight_decay": -1}),
    ],
)
def test_settings_out_of_range_are_refused_in_one_sentence(changes: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=r"must be .*, but is .*\.$"):
        TrainingConfig(**changes)


def test_a_length_beyond_the_model_is_refused(bert: MaskedLM) -> None:
    with pytest.raises(SettingsError, match="reads 128 at most"):
        TrainingSession(bert, CORPUS, replace(CONFIG, max_length=129))


def test_targets_are_filled_up_to_a_round_number_without_a_change() -> None:
    positions, answers = steps._rounded_up(torch.tensor([3, 9]), torch.tensor([7, 8]))
    assert (len(positions), len(answers)) == (steps.TARGETS_ROUND_UP, steps.TARGETS_ROUND_UP)
    assert answers[answers != IGNORED].tolist() == [7, 8]
    assert set(positions.tolist()) == {3, 9}
    assert [len(part) for part in steps._rounded_up(*[torch.tensor([], dtype=torch.int64)] * 2)] == [0, 0]
