"""A model folder that is replaced while somebody loads it."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import MaskedLM, ModelRef


def test_a_model_that_is_replaced_again_and_again_can_always_be_loaded(tmp_path: Path, tiny_bert: MaskedLM) -> None:
    folder, done = tmp_path / "model", threading.Event()
    shutil.copytree(tiny_bert.ref.source, folder)

    def replace() -> None:
        while not done.wait(0.2):
            shutil.copytree(tiny_bert.ref.source, tmp_path / "new")
            folder.rename(tmp_path / "old")
            (tmp_path / "new").rename(folder)
            shutil.rmtree(tmp_path / "old")

    replacing = threading.Thread(target=replace)
    replacing.start()
    try:
        for _ in range(30):
            assert load_masked_lm(ModelRef("seen", str(folder))).vocabulary_size == tiny_bert.vocabulary_size
    finally:
        done.set()
        replacing.join()
