"""Training processes to kill: one parent that has imported everything, and a fork of it for every run.

``python zygote.py`` reads orders, a JSON object a line, and answers each with the child's pid, or null with its exit
status. Until it is asked for that, the pid is nobody else's, so it can be killed at any moment.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


class Zygote:
    """The parent, seen from a test: ``order`` starts a child, ``wait`` gives its exit status (negative: a signal)."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def order(self, **order: Any) -> int:
        """Start a child on ``home``, ``model``, ``data`` and what else ``train`` understands; returns its pid."""
        return self._ask(order)

    def wait(self) -> int:
        return os.waitstatus_to_exitcode(self._ask(None))

    def _ask(self, order: dict[str, Any] | None) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order, default=str) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


@contextmanager
def zygote() -> Iterator[Zygote]:
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "TOKENIZERS_PARALLELISM": "false",
    }
    with subprocess.Popen(
        [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as process:
        yield Zygote(process)
        assert process.stdin is not None
        process.stdin.close()


def train(order: dict[str, Any]) -> int:
    """Carry one run out, or resume it, with a checkpoint after every step; 0 where it finished, 3 where it did not."""
    from bertdemo.mlm.models.registry import ModelRegistry
    from bertdemo.mlm.settings import TrainingConfig
    from bertdemo.runs.execution import claim_to_resume, execute, prepare, restore, stop_on_signals
    from bertdemo.runs.record import DataSource
    from bertdemo.runs.store import RunStore

    if order.get("powerless"):
        give_up_powers()
    if order.get("file_bytes"):
        import resource  # which Windows lacks

        resource.setrlimit(resource.RLIMIT_FSIZE, (order["file_bytes"], order["file_bytes"]))
    store = RunStore(order["home"])
    registry = ModelRegistry(Path(order["home"]), bundled=Path(order["model"]), run_lookup=store.find_model)
    with stop_on_signals() as stop:
        if order.get("resume"):
            run = store.get(order["resume"])
            claim_to_resume(run)
        else:
            settings = TrainingConfig(epochs=order.get("epochs", 3), batch_size=4, max_length=24, precision="fp32")
            data = DataSource("reviews.csv", str(order["data"]))
            run = store.create(name="run", model=registry.resolve("mini-bert"), data=data, settings=settings)
        session = prepare(run, registry, general=("the old dog can bark", "we love the new house"))
        if order.get("resume"):
            restore(run, session)
        *_, last = execute(run, session, stop=stop, checkpoint_seconds=order.get("checkpoint_seconds", 0.0))
    return 0 if last["event"] == "finished" else 3


def give_up_powers() -> None:
    """Root that may no longer overrule a file's permissions: what is read-only for others is so for this process."""
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)  # the third version of Linux's capabilities; this thread
    nothing = (ctypes.c_uint32 * 6)()  # effective, permitted and inheritable ones, 64 bits each
    if ctypes.CDLL(None, use_errno=True).capset(header, nothing) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def main() -> None:
    import torch

    import bertdemo.runs.execution  # noqa: F401 - imported once here, not in every child

    torch.set_num_threads(1)
    pid = 0
    for line in sys.stdin:
        order = json.loads(line)
        if order is None:
            print(os.waitpid(pid, 0)[1], flush=True)
            continue
        pid = os.fork()
        if pid == 0:
            _be_a_child(order)
        print(pid, flush=True)


def _be_a_child(order: dict[str, Any]) -> None:
    """Never returns. Its standard output belongs to the parent's answers."""
    sys.stdout = sys.stderr
    signal.signal(signal.SIGINT, signal.default_int_handler)
    code = 1
    try:
        code = train(order)
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    main()
