"""Where everything is: the home folder with its runs, the models that can be named, and what comes bundled.

The one place that the command line and the page are built on. Opening a workspace loads and writes nothing.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from platformdirs import user_data_path

from bertdemo.mlm.models.loading import BUNDLED_MODEL, bundled_assets
from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry

from .store import RunStore


def default_home() -> Path:
    """``BERTDEMO_HOME``, else the user's data folder."""
    return Path(os.environ.get("BERTDEMO_HOME") or user_data_path("bertdemo", appauthor=False)).expanduser()


@dataclass(frozen=True)
class Workspace:
    """Runs and models of one home folder."""

    home: Path

    @cached_property
    def store(self) -> RunStore:
        return RunStore(self.home)

    @cached_property
    def registry(self) -> ModelRegistry:
        return ModelRegistry(
            self.home.resolve(), bundled=bundled_assets() / BUNDLED_MODEL, run_lookup=self.store.find_model
        )

    @property
    def sample_csv(self) -> Path:
        return bundled_assets() / "sample_reviews.csv"

    @cached_property
    def general_english(self) -> tuple[str, ...]:
        """Short texts on everything but reviews, written for this project: to see what fine-tuning makes one forget."""
        text = (bundled_assets() / "general_english.txt").read_text(encoding="utf-8")
        return tuple(filter(None, map(str.strip, text.splitlines())))

    def load(self, reference: str) -> MaskedLM:
        """The shared, read-only model that a reference names."""
        return self.registry.shared(self.registry.resolve(reference))
