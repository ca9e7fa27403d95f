"""Every term of the trade that the lessons use, explained where it stands: hover it, or tap it; and the last lesson,
which has them all in one place, with where to read on.

The explanations are ours. What they state as a fact of a paper names the paper.
"""

from __future__ import annotations

from html import escape
from itertools import count

from ..services import Services
from .lesson import Lesson, text

TERMS: dict[str, str] = {
    "token": "One entry of the model's vocabulary: a whole word, a piece of one, a punctuation mark, or a special sign "
    "such as [MASK]. The model reads numbers, one for each token.",
    "word piece": "Part of a word. Words that the vocabulary does not hold are cut into pieces that it does hold; in "
    "BERT a piece that continues a word begins with ##.",
    "[MASK] token": "The sign that stands where a word is hidden. It is an ordinary entry of the vocabulary with a "
    "number of its own. (Mask no. 1 of three.)",
    "attention mask": "A row of ones and zeros that tells the model which places are real and which are only padding. "
    "It hides nothing that is to be guessed. (Mask no. 2 of three.)",
    "causal mask": "In models such as GPT: every place may look only at itself and at what stands before "
    "it. BERT has none; it reads both sides of a blank. (Mask no. 3 of three.)",
    "target": "A token that was chosen to be guessed. Only targets count in the loss.",
    "label": "The right answer at a place. Places that are not scored carry the label -100, which the loss skips.",
    "logit": "The raw score that the model gives one word of its vocabulary at one place. Any number; only differences "
    "between logits of the same place mean something.",
    "softmax": "Turns the logits of one place into probabilities: e to the power of each, divided by their sum. They "
    "are all above 0 and add up to 1.",
    "loss": "How surprised the model was: minus the natural logarithm of the probability that it gave to the right "
    "answer, averaged over the targets. 0 would be certain and right every time.",
    "perplexity": "e to the power of the mean loss over the targets: on average the model is as surprised as someone "
    "who must pick blindly among that many words. Here it is of held-out rows with 15% of their tokens as targets, as "
    "on the Train tab; GPT's perplexity is another figure.",
    "pseudo-perplexity": "The same of a sentence in which every token is hidden in turn, as on Fill mask. 'Pseudo', "
    "because a masked model gives no probability of a whole sentence. It cannot be compared with the perplexity of "
    "held-out rows.",
    "epoch": "One pass over all rows that are trained on.",
    "step": "One batch of rows read, one small change of all weights.",
    "batch": "The rows that are read together for one step.",
    "learning rate": "How far one step may move the weights. Too small and nothing changes, too large and what was "
    "learnt before is lost.",
    "held-out": "Rows that are never trained on. Only they show whether the model learnt something that holds for "
    "texts it has not seen.",
    "fine-tuning": "Going on with training a model that has already read a lot, on texts of your own.",
    "padding": "Empty tokens that fill short rows up to the length of the longest, so that rows fit into one table.",
    "weights": "The numbers inside the model that training changes.",
    "gradient": "For every weight: how the loss would change if that weight grew a little.",
    "vocabulary": "The fixed list of all tokens that the model knows. It can read and name nothing else.",
    "optimiser": "The rule that turns the gradient into a change of the weights; here AdamW, which gives every "
    "weight a step of its own size.",
    "seed": "The number that random draws start from. The same seed gives the same draws.",
}

_numbers = count(1)  # ids on one page must differ, also when a term stands there twice


def term(name: str, shown: str | None = None) -> str:
    """A term as HTML: a button that opens its explanation; hovering shows it too.

    ``shown`` is how the word stands in the sentence, for instance in the plural. Raises KeyError for an unknown term.
    """
    meaning = escape(TERMS[name])
    number = f"term-{next(_numbers)}"
    word = escape(shown or name)
    return (
        f'<button type="button" class="term" popovertarget="{number}" title="{meaning}">{word}</button>'
        f'<span popover id="{number}" class="term-card"><strong>{escape(name)}</strong> {meaning}</span>'
    )


def glossary_html() -> str:
    """All terms in order, as a list."""
    entries = "".join(f"<dt>{escape(name)}</dt><dd>{escape(TERMS[name])}</dd>" for name in sorted(TERMS, key=_plain))
    return f'<dl class="glossary">{entries}</dl>'


def _plain(name: str) -> str:
    return name.strip("[]").lower()


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


def build(_services: Services) -> None:
    items = "".join(
        f'<li><a href="{address}" target="_blank" rel="noopener noreferrer">{title}</a><br>{why}</li>'
        for address, title, why in SOURCES
    )
    text(f'<h3>Read on</h3><ul class="sources">{items}</ul><h3>All terms</h3>{glossary_html()}')


SOURCES_AND_TERMS = Lesson("sources", "Terms, and read on", "Every term in one place, and the sources", build)
