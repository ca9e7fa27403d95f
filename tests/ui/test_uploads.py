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
from bertdemo.ui import uploads
from bertdemo.ui.uploads import has_room, sweep, uploaded, uploads_folder


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


def test_room_is_bounded_and_the_disk_is_never_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    with uploads_folder() as folder:
        (folder / "rows.csv").write_bytes(b"x" * 1000)
        monkeypatch.setattr(uploads, "FREE_BYTES", 0)
        monkeypatch.setattr(uploads, "MAX_BYTES", 1500)
        assert has_room(500)
        assert not has_room(501)
        monkeypatch.setattr(uploads, "MAX_FILES", 3)
        assert has_room(1)  # the lock and one file
        (folder / "empty.csv").write_bytes(b"")
        assert not has_room(1)
        monkeypatch.setattr(uploads, "MAX_FILES", 100)
        monkeypatch.setattr(uploads, "FREE_BYTES", 2**60)
        assert not has_room(1)
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder / "not made yet"))
        assert has_room(1)


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
