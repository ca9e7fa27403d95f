"""The lessons: what they say follows from the numbers, and nobody's words become markup."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pytest

from bertdemo.mlm.lessons import masking_view
from bertdemo.mlm.lessons.experiments import EXPERIMENTS, ExperimentResult, Trained
from bertdemo.mlm.lessons.score_head import HeadScores
from bertdemo.mlm.models.loading import bundled_assets
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.text.tokens import readable_pieces
from bertdemo.mlm.training.loop import TrainingSession
from bertdemo.mlm.training.step import BatchLoss, MaskedBatch
from bertdemo.runs.execution import read_data
from bertdemo.runs.lesson_runs import SCORE_HEAD, LessonResult, LessonRuns, LessonStatus, lesson_jobs
from bertdemo.runs.manager import RunManager
from bertdemo.runs.record import DataSource
from bertdemo.runs.store import RunStore
from bertdemo.ui.learn import guess, loss, masks, notebook, run_panel, slips, tasks
from bertdemo.ui.learn import tab as learn_tab
from bertdemo.ui.learn.glossary import TERMS, glossary_html, term
from bertdemo.ui.learn.tours import FILL, LEARN, TOURS, TRAIN
from bertdemo.ui.services import Services

HOSTILE = "<img src=x onerror=alert(1)>"
USUAL = Trained((1, 2), (4.0, 3.0), (0, 2), (4.5, 4.0), (0.2, 0.3), {"masked": 4.4, "random": 5.0, "kept": 1.0}, 40.0)


@pytest.fixture
def services(tmp_path: Path, tiny_bert: MaskedLM) -> Services:
    """The page on the tiny model, which takes the bundled one's place."""
    store = RunStore(tmp_path)
    registry = ModelRegistry(tmp_path, bundled=Path(tiny_bert.ref.source), run_lookup=store.find_model)
    return Services(registry, RunManager(store, registry), store, tmp_path, bundled_assets() / "sample_reviews.csv")


LEFT_ALONE = object()


def named(view: Any, shown: dict[Any, Any]) -> SimpleNamespace:
    """What a handler answered, by the names of the view's parts."""
    return SimpleNamespace(**{name: shown.get(part, LEFT_ALONE) for name, part in view._asdict().items()})


class Guessing:
    """The guessing game without its page."""

    def __init__(self, services: Services) -> None:
        self._services = services
        with gr.Blocks():
            self._view = guess._build_view("mini-bert")

    def reveal(self, game: guess.Game, word: str, own: str, tuned: str = "none") -> SimpleNamespace:
        asked = {"game": game, "guess": word, "own": own, "tuned": tuned}
        return named(self._view, guess.reveal(self._services, self._view, **asked))

    def go_on(self, game: guess.Game, own: str) -> SimpleNamespace:
        return named(self._view, guess.go_on(self._view, game=game, own=own))

    def begin(self, own: str) -> SimpleNamespace:
        return named(self._view, guess.begin(self._view, own=own))


@pytest.fixture
def game(services: Services) -> Guessing:
    return Guessing(services)


@pytest.fixture
def drawn(services: Services) -> Callable[..., SimpleNamespace]:
    """Draws the masks with these changes to the usual rules."""
    with gr.Blocks():
        view = masks.MasksView(gr.HTML(), gr.Slider(), gr.HTML())

    def draw(**changed: object) -> SimpleNamespace:
        usual = {"rate": 0.15, "masked": 80, "random": 10, "kept": 10, "seed": 0, "row": 1, "file": None}
        return named(view, masks.draw(services, view, **{**usual, **changed}))

    return draw


def outcome(key: str, **slip: object) -> ExperimentResult:
    return ExperimentResult(key, USUAL, dataclasses.replace(USUAL, **slip), 400)


def test_the_tab_builds_with_a_link_for_every_lesson(services: Services) -> None:
    with gr.Blocks() as demo:
        learn_tab.build_learn_tab(services, demo.load)
    ids = {block.elem_id for block in demo.blocks.values() if getattr(block, "elem_id", None)}
    lessons = {name.removeprefix("lesson-") for name in ids if name.startswith("lesson-")}
    assert {name.removeprefix("open-") for name in ids if name.startswith("open-")} == lessons
    assert len(lessons) == 8
    for tour in TOURS:
        for step in tour.steps:
            assert step.lesson in {"", *lessons}
            assert step.tab in ("", FILL, TRAIN, LEARN)
    assert not (services.home / "lessons").exists()  # building runs and writes nothing


def test_every_term_explains_itself_and_can_stand_on_a_page_twice() -> None:
    first, second = term("loss"), term("loss", "Losses <now>")
    assert re.search('popovertarget="([^"]+)"', first)[1] != re.search('popovertarget="([^"]+)"', second)[1]
    assert "Losses &lt;now&gt;" in second
    assert all(f"<dt>{name}</dt>" in glossary_html() for name in TERMS)
    with pytest.raises(KeyError):
        term("flux")


def test_the_masking_lesson_counts_what_it_draws(drawn: Callable[..., SimpleNamespace]) -> None:
    view = drawn()
    assert view.drawing.count("<h3>Epoch") == 3
    assert "15.0%" in view.counts
    all_masked = drawn(masked=40, random=0, kept=0, rate=0.5)
    assert 'class="draw-token kept"' not in all_masked.drawing
    assert 'class="draw-token masked"' in all_masked.drawing
    assert drawn(seed=1).drawing != view.drawing


def test_the_masking_lesson_shows_whole_words_beside_single_pieces(drawn: Callable[..., SimpleNamespace]) -> None:
    alone, both = drawn(rate=0.4), drawn(rate=0.4, whole_words=True)
    assert both.drawing.count("<h3>Single pieces, epoch") == both.drawing.count("<h3>Whole words, epoch") == 3
    assert (alone.counts.count("<table"), both.counts.count("<table")) == (1, 2)
    assert both.counts.startswith(alone.counts)
    assert "Whole words: all" in both.counts


def test_the_masking_lesson_draws_what_a_run_on_the_same_file_reads_first(
    services: Services, drawn: Callable[..., SimpleNamespace], monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the file on, by the way that a run of the Train tab takes: read, split, tokenised, batched, masked."""
    first = []
    backward = BatchLoss.backward

    def recorded(self: BatchLoss, drawn: MaskedBatch) -> Generator[None, None, float]:
        first.append(drawn.masked)
        return (yield from backward(self, drawn))

    monkeypatch.setattr(BatchLoss, "backward", recorded)
    ref = services.registry.resolve(services.default_model)
    masked_lm = services.registry.shared(ref)
    config = TrainingConfig(max_steps=1, max_length=masked_lm.max_length, seed=7, learning_rate=0.0)
    corpus = read_data(DataSource("sample", str(services.sample_csv)), seed=config.seed)
    for _ in TrainingSession(services.registry.private_copy(ref), corpus, config).events():
        pass
    view = masking_view.view_file(masked_lm, services.sample_csv, config)
    pieces = [readable_pieces(masked_lm, ids.tolist()) for ids in first[0].token_ids]
    for row, read, labels in zip(view.rows, pieces, first[0].labels.tolist(), strict=True):
        tokens = row.epochs[0]
        assert [token.read for token in tokens] == list(read[: len(tokens)])
        assert [token.label for token in tokens] == labels[: len(tokens)]
    shown = drawn(seed=7, row=2).drawing
    assert shown == masks.row_html({"Single pieces": view}, 1)


def test_the_masking_lesson_says_what_is_wrong_with_rules_and_files(
    drawn: Callable[..., SimpleNamespace], tmp_path: Path
) -> None:
    with pytest.raises(gr.Error, match="three shares"):
        drawn(masked=0, random=0, kept=0)
    path = tmp_path / "numbers.csv"
    path.write_text("a,b\n1,2\n3,4\n", encoding="utf-8")
    assert "no column with free text" in drawn(file=str(path)).drawing


def test_rows_of_the_reader_are_escaped(drawn: Callable[..., SimpleNamespace], tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("text\n" + "".join(f"i love this {HOSTILE} show number {n} .\n" for n in range(30)), "utf-8")
    assert "<img" not in drawn(file=str(path)).drawing


def test_from_text_to_loss_shows_numbers_or_a_sentence(services: Services) -> None:
    shown = loss.walk(services, sentence="i really love this show .", seed=0)
    assert shown.count('<section class="step') == 9
    assert "−ln(" in shown
    assert "chance chooses" in loss.walk(services, sentence="i [MASK] it", seed=0)
    assert "<img" not in loss.walk(services, sentence=HOSTILE, seed=0)


def test_the_numbers_of_a_step_can_be_recomputed_from_the_page(services: Services) -> None:
    shown = loss.walk(services, sentence="i really love this show .", seed=0)
    probability, surprise = re.search(r"−ln\(([0-9.]+)\) = ([0-9.]+)", shown).groups()
    assert -math.log(float(probability)) == pytest.approx(float(surprise), abs=0.001)
    for rare in (3.2e-7, 0.00001, 0.5, 0.99999949, 1.0):
        assert float(loss.exact(rare)) == pytest.approx(rare, rel=1e-4)
        assert "e" not in loss.exact(rare)


def test_the_notebook_shows_both_ways(services: Services) -> None:
    with gr.Blocks():
        parts = notebook.NotebookView(gr.HTML(), gr.HTML())
    view = named(parts, notebook.show(services, parts, sentence="i really [MASK] this show ."))
    assert view.stages.count('<section class="step') == 7
    assert view.everywhere.count("<h4>") == 2
    assert "mask" in notebook.show_everywhere(services, sentence=HOSTILE)


def test_a_guess_is_needed_before_the_answer_and_counts_once(game: Guessing) -> None:
    own, start = "i really [MASK] this show .\nthe [MASK] can bark .", guess.Game()
    nothing = game.reveal(start, "  ", own)
    assert "First write down" in nothing.verdict
    assert nothing.bars is LEFT_ALONE
    shown = game.reveal(start, "love", own)
    assert shown.game.base.asked == 1
    assert shown.bars.count('class="bars-word"') == guess.TOP
    again = game.reveal(shown.game, "love", own)
    assert again.game == shown.game
    assert again.verdict is LEFT_ALONE
    following = game.go_on(shown.game, own)
    assert "can bark" in following.sentence
    assert following.game.base.asked == 1
    assert not following.game.revealed
    assert following.bars == ""


def test_a_word_of_several_pieces_is_not_held_against_the_reader(game: Guessing) -> None:
    refused = game.reveal(guess.Game(), "zebra", "i [MASK] it .")
    assert "another word" in refused.verdict
    assert refused.game is LEFT_ALONE
    assert "<img" not in game.reveal(guess.Game(), HOSTILE, "i [MASK] it .").verdict


def test_the_tuned_model_keeps_a_score_of_its_own(game: Guessing) -> None:
    shown = game.reveal(guess.Game(), "love", "i really [MASK] this show .", "mini-bert")
    assert shown.game.tuned == shown.game.base
    assert shown.score.count("<li") == 2
    assert "BERT's" not in shown.verdict
    assert "mini-bert" in shown.tuned_bars


def test_own_sentences_are_escaped_and_without_a_blank_refused_in_words(game: Guessing) -> None:
    own = f"{HOSTILE} [MASK]."
    assert "<img" not in game.begin(own).sentence
    assert "<img" not in game.reveal(guess.Game(), "love", own).sentence
    assert "mask" in game.reveal(guess.Game(), "love", "no blank here").verdict.lower()


@pytest.mark.parametrize("key", list(EXPERIMENTS))
def test_a_slip_that_does_no_harm_is_not_called_harmful(key: str) -> None:
    harmless = outcome(key, held_out=(4.5, 3.5), by_corruption={"masked": 3.0, "random": 4.0, "kept": 0.5})
    said = slips.finding(harmless)
    assert "ends worse" not in said
    assert "them less well" not in said
    assert "trusts it" not in said


def test_what_the_numbers_show_is_said_with_the_numbers() -> None:
    said = slips.finding(outcome("loss", losses=(2.0, 0.5), held_out=(4.5, 4.3), by_corruption=USUAL.by_corruption))
    assert "both end alike: 4.40 and 4.40" in said  # where [MASK] stood; over all targets it is 4.30 against 4.00
    worse = slips.finding(outcome("loss", by_corruption={**USUAL.by_corruption, "masked": 4.7}))
    assert "where [MASK] stood, the slip ends worse: 4.70 against 4.40" in worse
    assert "1.20" in said  # the smoothed losses end at (7 / 8 * 2.0 + 0.5) / (7 / 8 + 1)
    risen = slips.finding(outcome("once", scored_steps=(0, 1, 2), held_out=(4.5, 4.4, 5.1), top1=(0.1, 0.1, 0.1)))
    assert "all held-out targets rose from 4.40 to 5.10" in risen
    kept = slips.finding(outcome("always", by_corruption={**USUAL.by_corruption, "kept": 1.4}))
    assert "them less well, 1.40 against 1.00" in kept
    assert "4.0 times" in slips.finding(outcome("padding", rows_per_second=10.0))
    for key in EXPERIMENTS:
        assert "<details>" in slips.render(outcome(key)).under


@pytest.mark.parametrize(
    ("only_before", "only_after", "verdict"), [(5, 6, "chance alone"), (2, 20, "helped"), (20, 2, "harm")]
)
def test_the_head_lesson_claims_no_more_than_the_counts_allow(only_before: int, only_after: int, verdict: str) -> None:
    scores = HeadScores(290, 145, 0.57, 0.7, 0.7 + (only_after - only_before) / 145, only_before, only_after)
    assert verdict in tasks.finding(scores)
    assert tasks.render(scores).text.count("<li") == 3


def test_a_run_panel_tells_where_the_run_stands(services: Services) -> None:
    jobs = lesson_jobs(services.registry, services.sample_csv)
    assert set(jobs) == {*EXPERIMENTS, SCORE_HEAD}
    runs = LessonRuns(services.home / "lessons", jobs, training=lambda: False)
    with gr.Blocks():
        parts = run_panel.PanelView(*(gr.HTML() for _ in range(5)), gr.Button(), gr.Timer(active=False))
    asked = {"before": "nothing yet", "render": slips.render}
    view = named(parts, run_panel.show(runs, parts, **asked, key="loss"))
    assert view.result == "nothing yet"
    assert not view.timer.active
    with pytest.raises(gr.Error, match="no lesson"):
        run_panel.show(runs, parts, **asked, key="../../x")


def test_a_status_names_what_is_going_on() -> None:
    running = run_panel.status_html(LessonStatus("running", 3, 10), training=True)
    assert "Step 3 of 10" in running
    assert "training run is at work" in running
    assert "Waiting" in run_panel.status_html(LessonStatus("waiting"), training=False)
    assert run_panel.status_html(LessonStatus("idle"), training=False) == ""
    assert "&lt;b&gt;" in run_panel.status_html(LessonStatus("idle", error="<b>"), training=False)
    result = LessonResult(None, "2026-01-02T03:04:05Z", 21.4, beside_training=True)
    made = run_panel.made_html(result)
    assert "21 seconds" in made
    assert "too long" in made
