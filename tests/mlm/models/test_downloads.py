"""Downloads from a hub that is slow, breaks off, lies about sizes or cannot be reached: counted, stopped, taken up
again, and each fault one sentence."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import huggingface_hub.constants
import pytest
from stand_in_hub import REPOSITORY, WEIGHTS, StandInHub, serving, wait_for

from bertdemo.mlm.errors import ModelError
from bertdemo.mlm.models import hub as hub_module
from bertdemo.mlm.models.downloads import running_download
from bertdemo.mlm.models.hub import await_checkpoint, begin_download, fetch_checkpoint, is_here
from bertdemo.mlm.models.known import KNOWN_MODELS
from bertdemo.mlm.models.loading import load_masked_lm
from bertdemo.mlm.models.masked_lm import ModelRef


@pytest.fixture
def hub(tiny_bert_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[StandInHub]]:
    with serving(tiny_bert_folder, cache=tmp_path / "cache", monkeypatch=monkeypatch) as handler:
        yield handler


def _bytes(folder: Path) -> int:
    wanted = ("config.json", WEIGHTS, "tokenizer.json", "tokenizer_config.json")
    return sum((folder / name).stat().st_size for name in wanted if (folder / name).exists())


def _half(hub: type[StandInHub]) -> int:
    """Bytes of which more come only once the weights are on their way: two fifths of them."""
    return (hub.folder / WEIGHTS).stat().st_size * 2 // 5


def test_a_slow_download_says_how_many_bytes_are_here_and_left(hub: type[StandInHub]) -> None:
    hub.held = threading.Event()
    download = begin_download(REPOSITORY)
    wait_for(lambda: download.done > _half(hub))
    assert not download.is_over
    assert download.total == _bytes(hub.folder)
    assert 0 < download.done < download.total
    assert running_download(REPOSITORY) is download
    hub.held.set()
    folder = download.result(10)
    assert download.done == download.total
    assert running_download(REPOSITORY) is None
    assert is_here(REPOSITORY)
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()


def test_a_stop_is_heard_at_once_and_the_model_can_be_chosen_again(hub: type[StandInHub]) -> None:
    hub.held = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(load_masked_lm, ModelRef(REPOSITORY, REPOSITORY))  # somebody who waits for the model
        wait_for(lambda: (running := running_download(REPOSITORY)) is not None and running.done > _half(hub))
        stopped = time.monotonic()
        download = running_download(REPOSITORY)
        assert download is not None
        download.stop()
        with pytest.raises(ModelError, match="was stopped"):
            waiting.result(5)
        assert time.monotonic() - stopped < 2
    assert not is_here(REPOSITORY)
    hub.held.set()
    wait_for(lambda: not any(thread.name == "bertdemo-download" for thread in threading.enumerate()))
    hub.held = None
    folder = fetch_checkpoint(REPOSITORY)
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()


def test_an_answer_does_not_wait_for_a_long_download(hub: type[StandInHub]) -> None:
    hub.held = threading.Event()
    with pytest.raises(ModelError, match="is being downloaded"):
        await_checkpoint(REPOSITORY, seconds=0.1)
    hub.held.set()
    await_checkpoint(REPOSITORY, seconds=10)
    assert is_here(REPOSITORY)
    await_checkpoint("/a/folder", seconds=0)


def test_all_who_want_a_model_wait_for_one_download(hub: type[StandInHub]) -> None:
    hub.held = threading.Event()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(fetch_checkpoint, REPOSITORY) for _ in range(4)]
        wait_for(lambda: (running := running_download(REPOSITORY)) is not None and running.done > _half(hub))
        asked = hub.requests
        hub.held.set()
        assert len({future.result(10) for future in waiting}) == 1
    assert hub.requests == asked


def test_a_download_that_breaks_off_goes_on_by_itself(hub: type[StandInHub]) -> None:
    hub.breaks_off = [1000]
    folder = fetch_checkpoint(REPOSITORY)
    assert (folder / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()
    assert hub.ranges  # it asked for the rest alone


def test_one_that_breaks_off_for_good_is_one_sentence(hub: type[StandInHub], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.breaks_off = [5000] + [0] * 50
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)  # between its own tries
    with pytest.raises(ModelError, match=r"broke off after 0\.\d MB.* check the connection") as caught:
        fetch_checkpoint(REPOSITORY)
    assert "\n" not in str(caught.value)
    assert not is_here(REPOSITORY)
    hub.breaks_off = []
    assert (fetch_checkpoint(REPOSITORY) / WEIGHTS).stat().st_size == (hub.folder / WEIGHTS).stat().st_size


def test_a_wrong_size_in_the_list_of_files_does_no_harm(hub: type[StandInHub]) -> None:
    hub.stated = 10
    download = begin_download(REPOSITORY)
    assert (download.result(10) / WEIGHTS).read_bytes() == (hub.folder / WEIGHTS).read_bytes()


def test_a_file_shorter_than_announced_is_not_used(hub: type[StandInHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.time.sleep", lambda _seconds: None)
    hub.announced = (hub.folder / WEIGHTS).stat().st_size + 1000
    with pytest.raises(ModelError) as caught:
        fetch_checkpoint(REPOSITORY)
    assert "\n" not in str(caught.value)
    assert not is_here(REPOSITORY)


def test_a_file_far_larger_than_stated_is_not_let_in(hub: type[StandInHub], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.stated = 10
    monkeypatch.setattr(hub_module, "MAX_BYTES", 10_000)
    with pytest.raises(ModelError, match="GB of weights"):
        fetch_checkpoint(REPOSITORY)
    assert not is_here(REPOSITORY)


def test_out_of_reach_and_offline_are_said_at_once(hub: type[StandInHub], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:9")
    begun = time.monotonic()
    with pytest.raises(ModelError, match="out of reach"):
        fetch_checkpoint(REPOSITORY)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE"):
        fetch_checkpoint(REPOSITORY)
    assert time.monotonic() - begun < 5
    assert hub.requests == 0


def test_well_known_models_say_whether_they_are_here(hub: type[StandInHub], monkeypatch: pytest.MonkeyPatch) -> None:
    assert len({model.repository for model in KNOWN_MODELS}) == len(KNOWN_MODELS) == 8
    bert = KNOWN_MODELS[0]
    assert bert.label == "google-bert/bert-base-uncased · English, lower case · about 440 MB to download"
    monkeypatch.setattr("bertdemo.mlm.models.known.is_here", lambda repository: repository == bert.repository)
    assert bert.label == "google-bert/bert-base-uncased · English, lower case · here"
