"""Two pretraining tasks, of which one is left, and a third that comes on top: naming a review's score."""

from __future__ import annotations

from functools import partial

import gradio as gr
import pandas as pd

from bertdemo.mlm.lessons.score_head import HeadScores
from bertdemo.mlm.wording import percent
from bertdemo.runs.lesson_runs import SCORE_HEAD, LessonRuns

from ..markup import Bar, BarGroup, BarRow, bar_list, table
from ..services import Services
from .glossary import term
from .lesson import Lesson, Opening, text
from .run_panel import Rendered, build_run_panel

# Development sets, base-sized models. Devlin et al. 2019, table 5, and Liu et al. 2019, table 2.
BERT_TABLE = (
    ("with next sentence prediction", "84.4", "88.4", "92.7", "88.5"),
    ("without", "83.9", "84.9", "92.6", "87.9"),
)
ROBERTA_TABLE = (
    ("with, pairs of segments", "84.0", "92.9", "90.4"),
    ("with, pairs of sentences", "82.9", "92.1", "88.7"),
    ("without, full sentences", "84.7", "92.5", "90.4"),
    ("without, one document at a time", "84.7", "92.7", "90.6"),
)
HEAD = ["next sentence prediction", "MNLI", "SST-2", "SQuAD 1.1"]
BERT_HEAD = ["next sentence prediction", "MNLI", "QNLI", "SST-2", "SQuAD 1.1"]
BEFORE = '<p class="quiet">Nobody has run this on this machine yet.</p>'


def render(scores: HeadScores) -> Rendered:
    bars = (
        ("always the commoner answer", "guess", scores.majority),
        ("head on the base model", "base", scores.before),
        ("head on the tuned model", "tuned", scores.after),
    )
    rows = [BarRow(name, [Bar(kind, share, percent(share))], bold=False) for name, kind, share in bars]
    return Rendered(f'{bar_list([BarGroup(rows)], end=1.0)}<div class="lesson-text">{finding(scores)}</div>')


def finding(scores: HeadScores) -> str:
    """What the counts allow to say: two standard deviations of a coin for each review that changed sides."""
    changed = scores.only_before + scores.only_after
    counts = (
        f"<p>Right answers on {scores.test_rows} reviews that neither the head nor the tuning had seen "
        f"({scores.train_rows} were used to learn). Only the base model's head was right about {scores.only_before} of "
        f"them, only the tuned one's about {scores.only_after}.</p>"
    )
    if abs(scores.only_after - scores.only_before) <= 2 * changed**0.5:
        verdict = (
            "So few differ that chance alone could explain it: this small tuning made no difference one can rely on."
        )
    elif scores.only_after > scores.only_before:
        verdict = "That is more than chance would explain: reading the reviews first helped."
    else:
        verdict = "That is more than chance would explain: the tuning did harm here."
    return f"{counts}<p><strong>{verdict}</strong></p>"


def build(runs: LessonRuns, services: Services) -> Opening:
    text(
        "<p>The first BERT learnt two tasks at once: to fill blanks, and to tell whether a second passage really "
        "followed the first or was picked at random, half of the time each. The second task is called next sentence "
        "prediction (Devlin et al. 2019, section 3.1).</p>"
        "<p><strong>Later models do without it.</strong> BERT's own paper found it worth having: "
        "without it all of these fell, QNLI by 3.5 points (table 5):</p>"
        f"{table(pd.DataFrame(BERT_TABLE, columns=BERT_HEAD), label='BERT, table 5')}"
        "<p>RoBERTa's authors repeated the comparison with the texts laid out in other ways. Without the task, MNLI "
        "and SQuAD came out equal or slightly better, SST-2 slightly worse (Liu et al. 2019, section 4.2, table 2):</p>"
        f"{table(pd.DataFrame(ROBERTA_TABLE, columns=HEAD), label='RoBERTa, table 2')}"
        "<p>They suspect that BERT's authors dropped the task but kept its layout of two passages. What hurts, in "
        "their table, is reading single sentences. RoBERTa and ModernBERT only fill blanks, and so does the bundled "
        "mini-bert. (SQuAD: F1; the others: right answers in percent. RoBERTa's table has no "
        "QNLI.)</p>"
        "<h3>What comes on top: a label</h3>"
        "<p>BERT is mostly used to answer other questions, such as: is this a good review or a bad one? For that a "
        f"small new layer, the head, is put on top. Here the {term('weights')} of BERT stay as they are. The head is "
        "one weighted sum of the mean of the vectors that BERT makes of a review's tokens. It learns from the scores: "
        "7 of 10 and more is high. Then BERT is tuned as on the Train tab, on the texts of the reviews that the head "
        "learns from, without their scores, and a new head is fitted.</p>"
    )
    return build_run_panel(runs, gr.State(SCORE_HEAD), before=BEFORE, render=render)


def tasks(runs: LessonRuns) -> Lesson:
    return Lesson(
        "tasks",
        "Two tasks, and a third",
        "Next sentence prediction, and a head for the score",
        partial(build, runs),
    )
