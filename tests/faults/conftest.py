"""Services on a tiny model: the same parts that the app is made of, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from served import ServedApp, raw_client

from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.runs.manager import RunManager
from bertdemo.runs.people import Access
from bertdemo.runs.store import RunStore
from bertdemo.ui.services import Services

WORDS = (
    *("the", "old", "dog", "can", "bark", "but", "new", "cats", "like", "a"),
    *("good", "film", "and", "really", "love", "this", "great", "story", "in", "paris"),
)


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    """Forty rows of the tiny models' words."""
    size = len(WORDS)
    rows = [" ".join(WORDS[(start * 3 + step * (start % 4 + 1)) % size] for step in range(9)) for start in range(40)]
    path = tmp_path / "reviews.csv"
    path.write_text("id,review\n" + "".join(f"{number},{row} {number}.\n" for number, row in enumerate(rows)))
    return path


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Forty sentences for the bundled model, to be uploaded."""
    path = tmp_path / "reviews.csv"
    path.write_text("id,review\n" + "".join(f"{n},show {n} was really good and I love it.\n" for n in range(40)))
    return path


@pytest.fixture
def services(tmp_path: Path, tiny_bert_folder: Path) -> Iterator[Services]:
    """A shared server's services: no folders but the home's, and owners asked for."""
    home = tmp_path / "home"
    store = RunStore(home)
    registry = ModelRegistry(home, bundled=tiny_bert_folder, run_lookup=store.find_model)
    access = Access(owned=True, show_all=True)
    manager = RunManager(store, registry, access=access, allow_folders=False)
    yield Services(registry, manager, store, home, tmp_path / "sample.csv", allow_folders=False, access=access)
    manager.shutdown(20)


@pytest.fixture
def client(app: ServedApp) -> Iterator[httpx.Client]:
    """Any program that asks the module's ``app``."""
    with raw_client(app.url) as opened:
        yield opened
