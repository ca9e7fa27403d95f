"""Uploads have one folder, bounded, and gone with the server."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from bertdemo.mlm.errors import DataError
from bertdemo.runs.people import Limits, class_limits
from bertdemo.ui import uploads
from bertdemo.ui.uploads import Upload, UploadRoom, sweep, uploaded, uploads_folder


@pytest.fixture(autouse=True)
def _own_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.delenv("GRADIO_TEMP_DIR", raising=False)


def age(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_gradio_is_given_a_folder_that_ends_with_the_server() -> None:
    with uploads_folder() as folder:
        assert os.environ["GRADIO_TEMP_DIR"] == str(folder)
        (folder / "abc").mkdir()
        (folder / "abc" / "reviews.csv").write_text("x")
    assert not folder.exists()
    assert "GRADIO_TEMP_DIR" not in os.environ


@pytest.mark.posix
def test_what_a_killed_server_left_is_deleted_and_a_living_ones_folder_is_not(tmp_path: Path) -> None:
    script = "import time\nfrom bertdemo.ui.uploads import uploads_folder\n"
    script += "with uploads_folder() as f:\n    (f / 'rows.csv').write_text('x'); print(f, flush=True); time.sleep(60)"
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        theirs = Path(child.stdout.readline().strip())
        age(theirs, 3600)
        with uploads_folder():
            assert (theirs / "rows.csv").exists()
        child.send_signal(signal.SIGKILL)
    assert theirs.exists()
    with uploads_folder():
        assert not theirs.exists()


@pytest.mark.posix
def test_a_folder_that_only_looks_like_ours_is_left_alone(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    link = tmp_path / f"{uploads.PREFIX}link"
    link.symlink_to(elsewhere)
    with uploads_folder():
        pass
    assert (elsewhere / "precious").exists()


def test_old_files_are_swept_and_new_ones_and_the_lock_stay() -> None:
    with uploads_folder() as folder:
        for name in ("old", "new"):
            (folder / name).mkdir()
            (folder / name / "reviews.csv").write_text("x")
        (folder / "tmporphan").write_text("")
        for path in (folder / "old" / "reviews.csv", folder / "lock"):
            age(path, 90_000)
        sweep(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "new", "tmporphan"]


def test_what_is_left_of_an_upload_that_was_broken_off_goes_soon() -> None:
    with uploads_folder() as folder:
        (folder / "whole").mkdir()
        for path in (folder / "whole" / "reviews.csv", folder / "tmp_broken_off", folder / "tmp_on_its_way"):
            path.write_text("x")
        for path in (folder / "whole" / "reviews.csv", folder / "tmp_broken_off"):
            age(path, 1000)
        sweep(folder)
        assert sorted(path.name for path in folder.iterdir()) == ["lock", "tmp_on_its_way", "whole"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_room_is_bounded_by_bytes_and_by_files_and_comes_back_after_a_day(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "MAX_BYTES", 1500)
    monkeypatch.setattr(uploads, "MAX_FILES", 3)
    clock = Clock()
    with uploads_folder():
        room = UploadRoom(Limits(free_bytes=0), clock=clock)
        first, second, third = (Upload("me", "here") for _ in range(3))
        assert room.grow(first, size=1000, files=2) is None
        assert "0 MB and 3 files" in room.grow(second, size=501, files=1)
        assert room.grow(second, size=500, files=1) is None
        assert room.grow(third, size=0, files=1) is not None
        assert room.used == room.used_by("me") == (1500, 3)
        room.end(first, size=900, whole=True)
        room.end(second, size=200, whole=False)
        assert room.used == (1100, 3)
        clock.now = uploads.UNFINISHED_SECONDS + 1
        assert room.grow(third, size=0, files=1) is None  # what was broken off is swept by then
        room.end(third, size=0, whole=False)
        assert room.used == (900, 2)
        clock.now = uploads.KEPT_SECONDS + 1
        assert room.grow(Upload("me", "here"), size=0, files=0) is None
        assert room.used == (0, 0)


def test_the_disk_is_never_filled() -> None:
    with uploads_folder():
        refusal = UploadRoom(Limits(free_bytes=2**60)).grow(Upload("me", "here"), size=1, files=1)
        assert "kept free" in refusal


def test_one_person_cannot_take_the_room_of_all(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = class_limits()
    monkeypatch.setattr(uploads, "MAX_FILES", 1000)
    with uploads_folder():
        room = UploadRoom(limits)
        mine = [Upload("me", "here") for _ in range(100)]
        assert {room.grow(upload, size=1, files=1) for upload in mine} == {None}
        assert "upload 100 files a day" in room.grow(Upload("me", "here"), size=1, files=1)
        assert "upload 1,000 MB a day" in room.grow(Upload("you", "there"), size=10**9 + 1, files=1)
        assert room.grow(Upload("you", "there"), size=1, files=1) is None
        many = [room.grow(Upload(f"person {number}", "here"), size=1, files=1) for number in range(500)]
        assert many[399:401] == [None, many[-1]]  # one address, as many people as it likes to be: half of the room
        assert "500 files" in many[-1]
        assert room.grow(Upload("you", "there"), size=1, files=1) is None


def test_counting_thousands_of_uploads_costs_the_others_nothing() -> None:
    with uploads_folder():
        room = UploadRoom(Limits(free_bytes=0))
        began = time.process_time()
        for number in range(19_000):
            upload = Upload(f"person {number % 300}", "here")
            assert room.grow(upload, size=5, files=1) is None
            room.end(upload, size=5, whole=True)
        assert (time.process_time() - began) / 19_000 < 0.001


@pytest.mark.posix
def test_only_what_was_uploaded_is_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text("x")
    with uploads_folder() as folder:
        own = folder / "77ab" / "reviews.csv"
        own.parent.mkdir()
        own.write_text("x")
        (folder / "77ab" / "link.csv").symlink_to(secret)
        assert uploaded({"path": str(own), "meta": {"_type": "gradio.FileData"}}) == own.resolve()
        assert uploaded(None) is None
        beside = (secret, folder / "lock", folder / "77ab", folder / "77ab" / "link.csv", own.with_name("gone.csv"))
        paths = [*map(str, beside), f"{own}/../../../{secret.name}", "", "\0", 5, None, ["x"]]
        for payload in ("", str(own), [{"path": str(own)}], {}, *({"path": path} for path in paths)):
            with pytest.raises(DataError, match="handle_file"):
                uploaded(payload)
