"""The last page: all terms in one place, and where to read on."""

from __future__ import annotations

import gradio as gr

from ..services import Services
from .glossary import glossary_html
from .lesson import Lesson, text

SOURCES = (
    (
        "https://arxiv.org/abs/1810.04805",
        "Devlin, Chang, Lee, Toutanova 2019: BERT",
        "The paper. Section 3.1 has the 15% and 80/10/10.",
    ),
    (
        "https://jalammar.github.io/illustrated-bert/",
        "Jay Alammar: The Illustrated BERT",
        "The same in pictures, with what led to it.",
    ),
    (
        "https://huggingface.co/docs/transformers/model_doc/bert",
        "Transformers documentation: BERT",
        "The code that this app runs on, class by class.",
    ),
    (
        "https://www.youtube.com/playlist?list=PLam9sigHPGwOBuH4_4fr-XvDbe5uneaf6",
        "Chris McCormick: BERT Research",
        "A series of videos, slowly and from the beginning.",
    ),
    (
        "https://arxiv.org/abs/1907.11692",
        "Liu et al. 2019: RoBERTa",
        "New masks every time, no next sentence prediction, more text.",
    ),
    (
        "https://arxiv.org/abs/2202.08005",
        "Wettig, Gao, Zhong, Chen 2023: Should You Mask 15% in Masked Language Modeling?",
        "Often more is better, above all for larger models.",
    ),
    (
        "https://arxiv.org/abs/1910.14659",
        "Salazar, Liang, Nguyen, Kirchhoff 2020: Masked Language Model Scoring",
        "Pseudo-log-likelihood and pseudo-perplexity.",
    ),
)


def build(demo: gr.Blocks, services: Services) -> None:
    items = "".join(
        f'<li><a href="{address}" target="_blank" rel="noopener noreferrer">{title}</a><br>{why}</li>'
        for address, title, why in SOURCES
    )
    text(f'<h3>Read on</h3><ul class="sources">{items}</ul><h3>All terms</h3>{glossary_html()}')


SOURCES_AND_TERMS = Lesson("sources", "Terms, and read on", "Every term in one place, and the sources", build)
