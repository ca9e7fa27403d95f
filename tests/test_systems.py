"""Windows and macOS, as far as Linux can show: what they lack is not asked for, what they refuse is gone round, and
every text is UTF-8 whatever the locale says. Nothing of this has run there."""

from __future__ import annotations

import ast
import json
import os
import runpy
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bertdemo.mlm.errors import RunError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.runs import files
from bertdemo.runs.record import DataSource, new_run_id, slug
from bertdemo.runs.store import RunStore

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [*sorted((ROOT / "bertdemo").rglob("*.py")), *sorted((ROOT / "benchmarks").rglob("*.py")), ROOT / "app.py"]
POSIX_MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "pty", "tty", "syslog", "crypt", "posix"}
POSIX_NAMES = {
    "os": "fork forkpty kill killpg setsid getuid geteuid getgid getegid getpgid getppgid setuid setgid chown lchown"
    " mkfifo mknod nice uname sysconf confstr statvfs fstatvfs wait3 wait4 waitid sched_setaffinity sched_getaffinity"
    " sched_setscheduler setpriority getpriority getloadavg posix_fadvise fdatasync openpty ttyname WNOHANG O_NONBLOCK"
    " O_DIRECTORY O_NOFOLLOW O_CLOEXEC O_SYNC",
    "signal": "SIGKILL SIGSTOP SIGCONT SIGHUP SIGUSR1 SIGUSR2 SIGALRM SIGCHLD SIGPIPE SIGQUIT alarm setitimer pause"
    " pthread_kill pthread_sigmask sigwait",
    "socket": "AF_UNIX SO_REUSEPORT socketpair",
    "time": "tzset pthread_getcpuclockid",
}
POSIX_PATHS = ("/proc/", "/dev/", "/tmp/", "/etc/", "/sys/", "/usr/", "/var/")
# What a text says of such places is no use of them
SAYS_SO = {"bertdemo/ui/security.py", "bertdemo/ui/train/data_panel.py"}
ASKS_WHERE_IT_IS = {"bertdemo/ui/operator.py"}  # Linux's own account of memory; elsewhere none is shown
OPENERS = {"open", "read_text", "write_text", "fdopen", "NamedTemporaryFile", "TemporaryFile", "TextIOWrapper"}
PROGRAMS = {"run", "Popen", "check_output", "check_call"}


def posix_only(tree: ast.Module) -> Iterator[str]:
    """What the module takes from POSIX alone; what is inside ``try`` and ``getattr`` with a default is fine."""
    tried = {id(node) for block in ast.walk(tree) if isinstance(block, ast.Try) for node in ast.walk(block)}
    missed = {id(node) for block in ast.walk(tree) if _minds_missing(block) for node in ast.walk(block)}
    names = {module: set(words.split()) for module, words in POSIX_NAMES.items()}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom) and id(node) not in tried:
            modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else [alias.name for alias in node.names]
            yield from (module for module in modules if module.partition(".")[0] in POSIX_MODULES)
            if isinstance(node, ast.ImportFrom) and node.module in names:
                yield from (alias.name for alias in node.names if alias.name in names[node.module])
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if id(node) not in missed and node.attr in names.get(node.value.id, ()):
                yield f"{node.value.id}.{node.attr}"
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith(POSIX_PATHS):
            yield node.value


def _minds_missing(block: ast.AST) -> bool:
    return isinstance(block, ast.Try) and any(
        handler.type is not None and "AttributeError" in ast.unparse(handler.type) for handler in block.handlers
    )


def texts_of_the_locale(tree: ast.Module) -> Iterator[str]:
    """Calls that read or write text in whatever encoding the locale names."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
        given = {keyword.arg: keyword.value for keyword in node.keywords}
        modes = [value.value for value in [*node.args, *given.values()] if isinstance(value, ast.Constant)]
        binary = any(isinstance(mode, str) and len(mode) <= 4 and "b" in mode for mode in modes)
        of_os = isinstance(node.func, ast.Attribute) and ast.unparse(node.func.value) in (
            "os",
            "archive",
            "lzma",
            "gzip",
            "self._opener",  # of addresses
        )
        as_text = name in PROGRAMS and {"text", "universal_newlines"} & given.keys()
        by_default_binary = name in ("NamedTemporaryFile", "TemporaryFile") and not modes
        by_place = name == "TextIOWrapper" and len(node.args) > 1  # its encoding comes second
        opened = name in OPENERS and not (binary or of_os or by_default_binary or by_place)
        if (as_text or opened) and "encoding" not in given:
            yield f"line {node.lineno}: {ast.unparse(node)[:80]}"


def test_the_readers_of_sources_see_what_they_look_for() -> None:
    found = posix_only(ast.parse("import fcntl\nfrom os import fork\nos.getuid()\nopen('/proc/self/statm')\n"))
    assert set(found) == {"fcntl", "fork", "os.getuid", "/proc/self/statm"}
    assert not list(posix_only(ast.parse("try:\n import fcntl\nexcept ImportError:\n pass\ngetattr(os, 'getuid', 0)")))
    text = "open(a)\nopen(a, 'rb')\npath.read_text()\nsubprocess.run(a, text=True)\nopen(a, encoding='utf-8')"
    assert [line[:6] for line in texts_of_the_locale(ast.parse(text))] == ["line 1", "line 3", "line 4"]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_nothing_is_asked_for_that_only_posix_has_and_every_text_names_its_encoding(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.relative_to(ROOT).as_posix() not in SAYS_SO | ASKS_WHERE_IT_IS:
        assert list(posix_only(tree)) == []
    assert list(texts_of_the_locale(tree)) == []


def test_no_two_files_differ_by_case_alone_and_windows_can_have_all_of_them() -> None:
    kept = [path for folder in ("bertdemo", "tests", "benchmarks", "assets") for path in (ROOT / folder).rglob("*")]
    names = [path.relative_to(ROOT).as_posix() for path in kept if "__pycache__" not in path.parts]
    assert [name for name, count in Counter(map(str.casefold, names)).items() if count > 1] == []
    for name in names:
        assert not set('<>:"\\|?*') & set(name), name
        assert all(slug(Path(part).stem) != f"{Path(part).stem.lower()}-file" for part in name.split("/")), name


HIDDEN = """
import sys
import torch, pandas, tokenizers, safetensors, huggingface_hub, asyncio, multiprocessing, subprocess
from transformers import BertForMaskedLM
for name in ("fcntl", "resource", "pwd", "grp", "termios", "posix", "_posixsubprocess", "syslog"):
    sys.modules[name] = None
for name in [name for name in sys.modules if name.partition(".")[0] == "filelock"]:
    del sys.modules[name]
import os
for name in ("fork", "getuid", "geteuid", "kill", "killpg", "sysconf", "uname", "statvfs", "nice", "wait4", "setsid"):
    delattr(os, name)
from bertdemo.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_run_is_trained_and_listed_where_posix_is_hidden(tmp_path: Path, tiny_bert_folder: Path) -> None:
    """As a program of its own, since what was hidden stays so."""
    data = tmp_path / "rows.csv"
    data.write_text("text\n" + "\n".join(f"the old show was loved on day {n}" for n in range(20)), encoding="utf-8")
    order = ["train", data, "--model", tiny_bert_folder, "--epochs", "1", "--json", "--output", tmp_path / "out"]
    done = program(["-c", HIDDEN, *order], home=tmp_path / "home")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1])["event"] == "finished"
    listed = program(["-c", HIDDEN, "runs", "--json"], home=tmp_path / "home")
    assert json.loads(listed.stdout)["state"] == "finished", listed.stderr


@pytest.mark.slow
def test_texts_are_utf8_whatever_the_locale_says(tmp_path: Path, tiny_bert_folder: Path) -> None:
    data = tmp_path / "rows.csv"
    data.write_text("отзыв\n" + "\n".join(f"the “old” show № {n} ☃" for n in range(20)), encoding="utf-8")
    old = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    shown = program(["-m", "bertdemo", "inspect", data], home=tmp_path, environment=old)
    assert "Text column: отзыв" in shown.stdout, shown.stderr
    order = [
        "train",
        data,
        "--model",
        tiny_bert_folder,
        "--epochs",
        "1",
        "--name",
        "Отзыв",
        "--output",
        tmp_path / "out",
    ]
    trained = program(
        ["-m", "bertdemo", *order, "--probe", "the “old” [MASK] ☃", "--json"], home=tmp_path, environment=old
    )
    assert trained.returncode == 0, trained.stderr
    probed = next(line for line in trained.stdout.splitlines() if json.loads(line)["event"] == "probe")
    assert "the “old” [MASK] ☃" in probed
    assert "# Отзыв" in (tmp_path / "out" / "model" / "README.md").read_text(encoding="utf-8")
    assert "отзыв" in program(["-m", "bertdemo", "runs"], home=tmp_path, environment=old).stdout.casefold()


def program(
    words: list[object], *, home: Path, environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess:
    own = {"BERTDEMO_HOME": str(home), "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path]), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *map(str, words)],
        env={**os.environ, **own, **(environment or {})},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_a_process_that_is_spawned_by_the_command_line_does_not_run_it_again() -> None:
    """Spawning imports the program's main module anew, under another name."""
    runpy.run_path(str(ROOT / "bertdemo" / "__main__.py"), run_name="__mp_main__")
    for path in (ROOT / "app.py", ROOT / "bertdemo" / "__main__.py", *sorted((ROOT / "benchmarks").glob("[a-z]*.py"))):
        module = ast.parse(path.read_text(encoding="utf-8"))
        runs = [
            ast.unparse(node) for node in module.body if isinstance(node, ast.Expr) and "main()" in ast.unparse(node)
        ]
        assert runs == [], path.name
        assert 'if __name__ == "__main__":' in path.read_text(encoding="utf-8"), path.name


class RefusalError(PermissionError):
    """What Windows says of a file that somebody reads."""

    winerror = 32


def refusing(real: object, *, times: int) -> object:
    left = iter(range(times))

    def imitation(*arguments: object, **options: object) -> object:
        if next(left, None) is not None:
            raise RefusalError(13, "The process cannot access the file because it is being used by another process")
        return real(*arguments, **options)

    return imitation


def test_a_file_that_is_being_read_is_replaced_once_it_is_let_go(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "run.json"
    files.write_atomically(path, "old")
    monkeypatch.setattr(files.os, "replace", refusing(os.replace, times=4))
    files.write_atomically(path, "new")
    monkeypatch.setattr(Path, "read_text", refusing(Path.read_text, times=4))
    assert files.read_whole(path) == "new"
    monkeypatch.setattr(files.os, "rename", refusing(os.rename, times=4))
    for content in ("one", "two"):
        with files.replaced_folder(tmp_path / "model") as part:
            (part / "weights").write_text(content, encoding="utf-8")
    assert (tmp_path / "model" / "weights").read_text(encoding="utf-8") == "two"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model", "run.json"]


def test_a_file_that_is_never_let_go_is_one_sentence_and_stays_whole(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "run.json"
    files.write_atomically(path, "old")
    monkeypatch.setattr(files, "_PATIENCE", 0.05)
    monkeypatch.setattr(files.os, "replace", refusing(os.replace, times=10**6))
    monkeypatch.setattr(files.os, "name", "nt")  # which _sentence asks
    with pytest.raises(RunError, match="another program has a file of it open"), files.disk_errors("The record"):
        files.replace(path, path)
    monkeypatch.undo()
    assert [entry.name for entry in tmp_path.iterdir()] == ["run.json"]
    assert path.read_text(encoding="utf-8") == "old"


def test_an_error_of_the_disk_that_windows_numbers_is_understood() -> None:
    with pytest.raises(RunError, match="disk is full"), files.disk_errors("The model"):
        raise RuntimeError("Error while serializing: I/O error: no room (os error 28)")


def test_a_run_is_deleted_where_its_folder_cannot_be_moved(tmp_path: Path, monkeypatch) -> None:
    """On Windows it never can: the lock is an open file in it."""
    store = RunStore(tmp_path)
    run = store.create(name="x", model=ModelRef("m", "m"), data=DataSource("r.csv", "/r.csv"), settings=settings())
    run.release()
    monkeypatch.setattr(Path, "rename", refusing(Path.rename, times=10**6))
    store.delete(run.id)
    assert store.list() == []
    assert not run.folder.exists()


def settings():
    from bertdemo.mlm.settings import TrainingConfig

    return TrainingConfig()


@pytest.mark.parametrize("name", ["CON", "nul", "com1", "Lpt9", "aux"])
def test_no_file_gets_a_name_that_windows_reserves(name: str) -> None:
    assert slug(name) == f"{name.lower()}-file"
    assert slug(f"{name}s") == f"{name.lower()}s"


def test_no_path_of_a_run_is_longer_than_windows_opens() -> None:
    """260 characters with the home folder, the longest of which is that of a name of twenty letters."""
    home = "C:\\Users\\" + "n" * 20 + "\\AppData\\Local\\bertdemo\\runs\\"
    run_id = new_run_id("n" * 500, now=datetime(2026, 11, 22, tzinfo=UTC))
    longest = "\\.best_model.part\\" + "special_tokens_map.json" + ".12345678.incomplete"
    assert len(home + run_id + longest) < 200
