"""The models that people mean: a few well-known ones to choose from by name, with their language and what they weigh.

Any other may be named as well. Sizes are those of their model.safetensors, rounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from .hub import is_here


@dataclass(frozen=True)
class KnownModel:
    repository: str
    language: str
    megabytes: int

    @property
    def label(self) -> str:
        """``google-bert/bert-base-uncased · English, lower case · about 440 MB to download``."""
        where = "here" if is_here(self.repository) else f"about {self.megabytes} MB to download"
        return f"{self.repository} · {self.language} · {where}"


KNOWN_MODELS = (
    KnownModel("google-bert/bert-base-uncased", "English, lower case", 440),
    KnownModel("distilbert/distilbert-base-uncased", "English, lower case", 270),
    KnownModel("FacebookAI/roberta-base", "English", 500),
    KnownModel("answerdotai/ModernBERT-base", "English", 600),
    KnownModel("jhu-clsp/ettin-encoder-17m", "English", 70),
    KnownModel("jhu-clsp/ettin-encoder-32m", "English", 130),
    KnownModel("google-bert/bert-base-multilingual-cased", "104 languages", 710),
    KnownModel("google-bert/bert-base-chinese", "Chinese", 410),
)
