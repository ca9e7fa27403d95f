"""The Learn tab: a list of lessons, one open at a time."""

from __future__ import annotations

from html import escape

import gradio as gr

from bertdemo.runs.lesson_runs import LessonRuns, lesson_jobs

from ..services import PAGE_EVENT, Services
from .guess import GUESS
from .lesson import OPEN_JS, Lesson
from .loss import LOSS
from .masks import MASKS
from .notebook import NOTEBOOK
from .slips import slips
from .sources import SOURCES_AND_TERMS
from .tasks import tasks
from .tours import TOUR_LIST


def all_lessons(runs: LessonRuns) -> tuple[Lesson, ...]:
    """In the order in which they are best read."""
    return (GUESS, MASKS, LOSS, NOTEBOOK, slips(runs), tasks(runs), TOUR_LIST, SOURCES_AND_TERMS)


def build_learn_tab(demo: gr.Blocks, services: Services) -> None:
    jobs = lesson_jobs(services.registry, services.sample_csv)
    runs = LessonRuns(services.home / "lessons", jobs, training=lambda: bool(services.manager.live()))
    lessons = all_lessons(runs)
    with gr.Row(elem_id="learn", equal_height=False):
        with gr.Column(scale=1, min_width=220, elem_classes="lesson-list"):
            links = [_link(lesson, number) for number, lesson in enumerate(lessons, start=1)]
        with gr.Column(scale=4, min_width=300, elem_classes="lesson-room"):
            for lesson, link in zip(lessons, links, strict=True):
                _build_lesson(demo, services, lesson, link, opened=lesson is lessons[0])


def _link(lesson: Lesson, number: int) -> gr.Button:
    return gr.Button(f"{number}  {lesson.title}", elem_id=f"open-{lesson.key}", elem_classes="lesson-link")


def _build_lesson(demo: gr.Blocks, services: Services, lesson: Lesson, link: gr.Button, *, opened: bool) -> None:
    with gr.Column(elem_id=f"lesson-{lesson.key}", elem_classes=["lesson", *(["open"] if opened else [])]):
        gr.HTML(
            f'<h2>{escape(lesson.title)}</h2><p class="lesson-gist">{escape(lesson.gist)}</p>', apply_default_css=False
        )
        opening = lesson.build(demo, services)
    link.click(None, js=OPEN_JS % {"key": lesson.key}, **PAGE_EVENT)
    if opening is not None:
        event = {**PAGE_EVENT, **opening.event}
        link.click(opening.fn, list(opening.inputs), list(opening.outputs), **event)
        if opened:
            demo.load(opening.fn, list(opening.inputs), list(opening.outputs), **event)
