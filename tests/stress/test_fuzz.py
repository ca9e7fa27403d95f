"""Thousands of drawn texts, files and arguments: only our own errors come out. Derandomised: the same cases again."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fuzzing import (
    ARGUMENTS,
    FILES,
    LONG,
    NUMBERS,
    TEXTS,
    TRAINING_ARGUMENTS,
    check_any_comparison,
    check_any_file,
    check_any_score,
    check_any_text,
    check_endpoint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from bertdemo.mlm.models.masked_lm import MaskedLM
from bertdemo.mlm.models.registry import ModelRegistry
from bertdemo.runs.manager import RunManager
from bertdemo.runs.people import Access
from bertdemo.runs.store import RunStore
from bertdemo.ui.api import Endpoints
from bertdemo.ui.services import Services

Figure = Callable[[str, str], None]
CASES = settings(LONG, max_examples=int(os.environ.get("BERTDEMO_CASES", str(LONG.max_examples))))
FEWER = settings(LONG, max_examples=max(10, CASES.max_examples // 10))  # where one case is a pass for every token


@pytest.fixture(autouse=True)
def _count(request: pytest.FixtureRequest, figure: Figure) -> Iterator[None]:
    """Write down how many cases a test has seen, once it has passed."""
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed == failed:
        cases = FEWER if request.node.originalname == "test_score" else CASES
        figure(f"fuzzing, {request.node.name}", f"{cases.max_examples:,} cases at most")


@CASES
@given(FILES)
def test_files(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "reviews.csv"
    path.write_bytes(content)
    check_any_file(path)


@CASES
@given(text=TEXTS, top_k=st.integers(1, 20), targets=st.lists(TEXTS, max_size=3))
def test_fill_mask(any_tiny: MaskedLM, text: str, top_k: int, targets: list[str]) -> None:
    check_any_text(any_tiny, text, top_k=top_k, targets=targets)


@FEWER
@given(text=TEXTS)
def test_score(any_tiny: MaskedLM, text: str) -> None:
    check_any_score(any_tiny, text)


@CASES
@given(text=TEXTS, top_k=NUMBERS)
def test_compare(tiny_bert: MaskedLM, tiny_roberta: MaskedLM, text: str, top_k: object) -> None:
    check_any_comparison(tiny_bert, tiny_roberta, text, top_k=top_k)


@pytest.fixture
def services(tmp_path: Path, tiny_bert_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    store = RunStore(tmp_path)
    registry = ModelRegistry(tmp_path, bundled=tiny_bert_folder, run_lookup=store.find_model)
    manager = RunManager(store, registry, access=Access(owned=True), allow_folders=False)
    yield Services(registry, manager, store, tmp_path, tmp_path / "none.csv", allow_folders=False)
    assert manager.shutdown(60)


@pytest.mark.parametrize("endpoint", ARGUMENTS)
def test_endpoints(endpoint: str, services: Services) -> None:
    @CASES
    @given(ARGUMENTS[endpoint])
    def asked(arguments: tuple) -> None:
        check_endpoint(Endpoints(services), endpoint, arguments)

    asked()


@CASES
@given(TRAINING_ARGUMENTS)
def test_starting_to_train(services: Services, tmp_path: Path, arguments: tuple) -> None:
    data = tmp_path / "reviews.csv"
    data.write_text("id,review\n" + "".join(f"{n},show {n} was a long story and I liked it\n" for n in range(20)))
    check_endpoint(Endpoints(services, received=Path), "start_training", (str(data), *arguments))
