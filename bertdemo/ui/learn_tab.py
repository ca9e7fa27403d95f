"""The Learn tab: a list of lessons, one open at a time."""

from __future__ import annotations

from html import escape

import gradio as gr

from .context import PAGE_EVENT, Services
from .lessons.lesson import OPEN_JS, Lesson
from .lessons.masks import MASKS

LESSONS: tuple[Lesson, ...] = (MASKS,)


def build_learn_tab(demo: gr.Blocks, services: Services) -> None:
    with gr.Row(elem_id="learn", equal_height=False):
        with gr.Column(scale=1, min_width=220, elem_classes="lesson-list"):
            links = [_link(lesson, number) for number, lesson in enumerate(LESSONS, start=1)]
        with gr.Column(scale=4, min_width=300):
            for lesson, link in zip(LESSONS, links, strict=True):
                _build_lesson(demo, services, lesson, link)


def _link(lesson: Lesson, number: int) -> gr.Button:
    return gr.Button(f"{number}  {lesson.title}", elem_id=f"open-{lesson.key}", elem_classes="lesson-link")


def _build_lesson(demo: gr.Blocks, services: Services, lesson: Lesson, link: gr.Button) -> None:
    first = lesson is LESSONS[0]
    with gr.Column(elem_id=f"lesson-{lesson.key}", elem_classes=["lesson", *(["open"] if first else [])]):
        gr.HTML(
            f'<h2>{escape(lesson.title)}</h2><p class="lesson-gist">{escape(lesson.gist)}</p>', apply_default_css=False
        )
        opening = lesson.build(demo, services)
    link.click(None, js=OPEN_JS % {"key": lesson.key}, **PAGE_EVENT)
    if opening is not None:
        event = {**PAGE_EVENT, **opening.event}
        link.click(opening.fn, list(opening.inputs), list(opening.outputs), **event)
        if first:
            demo.load(opening.fn, list(opening.inputs), list(opening.outputs), **event)
