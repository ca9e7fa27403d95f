"""The Learn tab: a list of lessons, one open at a time."""

from __future__ import annotations

from collections.abc import Callable
from html import escape

import gradio as gr

from bertdemo.runs.lesson_runs import LessonRuns, lesson_jobs

from ..services import PAGE_EVENT, Services
from .glossary import SOURCES_AND_TERMS
from .guess import GUESS
from .lesson import OPEN_JS, Lesson, Opening
from .loss import LOSS
from .masks import MASKS
from .notebook import NOTEBOOK
from .slips import slips
from .tasks import tasks
from .tours import tour_list


def all_lessons(runs: LessonRuns, *, tabs: gr.Tabs | None, sentence: gr.Textbox | None) -> tuple[Lesson, ...]:
    """In the order in which they are best read."""
    return (GUESS, MASKS, LOSS, NOTEBOOK, slips(runs), tasks(runs), tour_list(tabs, sentence), SOURCES_AND_TERMS)


def build_learn_tab(
    services: Services,
    opened: Callable[..., object],
    *,
    tabs: gr.Tabs | None = None,
    sentence: gr.Textbox | None = None,
) -> None:
    """``opened``: the event by which the tab comes to be seen. Tours move over ``tabs`` and write into ``sentence``."""
    jobs = lesson_jobs(services.registry, services.sample_csv)
    runs = LessonRuns(services.home / "lessons", jobs, training=lambda: bool(services.manager.live()))
    lessons = all_lessons(runs, tabs=tabs, sentence=sentence)
    with gr.Row(elem_id="learn", equal_height=False):
        with gr.Column(scale=1, min_width=220, elem_classes="lesson-list"):
            links = [_link(lesson, number) for number, lesson in enumerate(lessons, start=1)]
        with gr.Column(scale=4, min_width=300, elem_classes="lesson-room"):
            rooms = zip(lessons, links, strict=True)
            first, *_ = [_build_lesson(services, *room, first=not place) for place, room in enumerate(rooms)]
    if first is not None:
        opened(**first.wiring)


def _link(lesson: Lesson, number: int) -> gr.Button:
    return gr.Button(f"{number}  {lesson.title}", elem_id=f"open-{lesson.key}", elem_classes="lesson-link")


def _build_lesson(services: Services, lesson: Lesson, link: gr.Button, *, first: bool) -> Opening | None:
    with gr.Column(elem_id=f"lesson-{lesson.key}", elem_classes=["lesson", *(["open"] if first else [])]):
        gr.HTML(
            f'<h2>{escape(lesson.title)}</h2><p class="lesson-gist">{escape(lesson.gist)}</p>', apply_default_css=False
        )
        opening = lesson.build(services)
    link.click(None, js=OPEN_JS % {"key": lesson.key}, **PAGE_EVENT)
    if opening is not None:
        link.click(**opening.wiring)
    return opening
