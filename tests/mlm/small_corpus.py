"""Sentences of the tiny models' words, split as training wants them, and settings that take milliseconds."""

from __future__ import annotations

from itertools import product

from bertdemo.mlm.settings import TrainingConfig
from bertdemo.mlm.training.batching import TrainingTexts

SENTENCES = tuple(
    beginning.format(animal=animal, verb=verb) + end
    for beginning, animal, verb, end in product(
        ("the {animal} can {verb} ", "we love the {animal} and they like the new car , the {animal} can {verb} "),
        ("dog", "cat", "man", "woman"),
        ("bark", "walk"),
        (".", "! it is awesome ."),
    )
)
CORPUS = TrainingTexts(SENTENCES[6:], SENTENCES[:6])  # 26 rows to train on, of 7 to 19 tokens
CONFIG = TrainingConfig(epochs=2, batch_size=8, max_length=32, learning_rate=1e-3, precision="fp32")
