"""The page's own routes, over HTTP as the page asks them: health, the news of a run, its zip, Plotly's script."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import plotly
import pytest
from served import ServedApp, raw_client, served_app

from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.record import DataSource
from bertdemo.runs.run import Run
from bertdemo.ui.plot import plotly_source


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApp]:
    with served_app(tmp_path_factory.mktemp("routes") / "home") as served:
        yield served


@pytest.fixture
def client(app: ServedApp) -> Iterator[httpx.Client]:
    with raw_client(app.url) as opened:
        yield opened


@pytest.fixture
def run(app: ServedApp) -> Iterator[Run]:
    """At work, with three steps done and a model of some size."""
    made = app.services.store.create(
        name="reviews",
        model=ModelRef("mini-bert", "/nowhere"),
        data=DataSource("reviews.csv", "/nowhere"),
        settings=TrainingConfig(),
    )
    for step in range(1, 4):
        made.log.append(
            {"event": "step", "step": step, "epoch": 1, "loss": 3 / step, "learning_rate": 0.1, "seconds": step / 4}
        )
    made.model_folder.mkdir()
    (made.model_folder / "model.safetensors").write_bytes(bytes(range(256)) * 20_000)
    made.update(state="training", steps=9, steps_done=3)
    yield made
    made.release()


def end(run: Run) -> None:
    run.update(state="stopped")
    run.release()


def test_the_news_of_a_run_come_by_cursor(client: httpx.Client, run: Run) -> None:
    whole = client.get(f"/live/{run.id}").json()
    assert (whole["state"], whole["steps"], whole["about"]) == ("training", [1, 2, 3], {"name": "reviews", "epochs": 3})
    run.log.append({"event": "step", "step": 4, "epoch": 1, "loss": 0.5, "seconds": 1.0})
    answer = client.get(f"/live/{run.id}?cursor={whole['to']}")
    assert answer.json()["steps"] == [4]
    assert answer.headers["cache-control"] == "no-store"
    assert client.get("/live/newest").json()["run_id"] == run.id


def test_any_number_of_people_download_the_same_zip_at_once(app: ServedApp, run: Run) -> None:
    end(run)

    def download(_number: int) -> bytes:
        with raw_client(app.url) as asker:
            answer = asker.get(f"/runs/{run.id}.zip").raise_for_status()
            assert answer.headers["content-disposition"] == f'attachment; filename="{run.id}.zip"'
            return answer.content

    with ThreadPoolExecutor(8) as pool:
        (zipped,) = set(pool.map(download, range(8)))
    with zipfile.ZipFile(io.BytesIO(zipped)) as archive:
        assert archive.testzip() is None
        assert archive.read("model/model.safetensors") == (run.model_folder / "model.safetensors").read_bytes()


def test_who_leaves_in_the_middle_of_a_zip_harms_nobody(client: httpx.Client, run: Run) -> None:
    end(run)
    with client.stream("GET", f"/runs/{run.id}.zip") as answer:
        next(answer.iter_raw(1000))
    assert client.get(f"/runs/{run.id}.zip").status_code == 200


def test_plotly_comes_from_here(client: httpx.Client) -> None:
    script = client.get(f"/{plotly_source()}")
    assert f"plotly.js v{plotly.offline.get_plotlyjs_version()}" in script.text[:200]
    assert "max-age" in script.headers["cache-control"]
    assert client.get("/health").json() == {"status": "ok"}


def test_a_run_is_a_page_to_hand_in_and_a_notebook(client: httpx.Client, run: Run, tmp_path: Path) -> None:
    end(run)
    page = client.get(f"/runs/{run.id}.html").raise_for_status()
    assert page.headers["content-disposition"] == f'attachment; filename="{run.id}.html"'
    assert "reviews" in page.text
    assert len(page.content) < 2_000_000
    gone = client.get(f"/runs/{run.id}.ipynb")
    assert (gone.status_code, "is gone" in gone.text) == (404, True)
    data = tmp_path / "reviews.csv"
    data.write_text("review\n" + "".join(f"This is review number {row}, and I like it.\n" for row in range(12)))
    run.update(data=DataSource("reviews.csv", str(data), column="review"))
    notebook = client.get(f"/runs/{run.id}.ipynb").raise_for_status().json()
    assert notebook["nbformat"] == 4
    assert client.get("/runs/..%2F..%2Fetc.html").status_code == 404
