from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from bertdemo.mlm.training.events import TrainingHistory
from bertdemo.runs import log as log_module
from bertdemo.runs.log import EventLog


@pytest.fixture
def log(tmp_path: Path) -> EventLog:
    return EventLog(tmp_path / "events.jsonl")


def test_reading_on_from_where_one_stood_gives_every_record_once(log: EventLog) -> None:
    seen, offset = [], 0
    for step in range(20):
        log.append({"event": "step", "step": step})
        if step % 3 == 0:
            records, offset = log.read(offset, limit=2)
            seen += records
    while records := log.read(offset, limit=4)[0]:
        seen += records
        offset = log.read(offset, limit=4)[1]
    assert [record["step"] for record in seen] == list(range(20))
    assert seen == list(log.records())


def test_a_log_that_is_not_there_is_empty(log: EventLog) -> None:
    assert (log.read(0, limit=5), log.tail(), list(log.records()), log.size()) == (([], 0), [], [], 0)


def test_a_torn_last_line_is_not_read_until_it_is_whole(log: EventLog) -> None:
    log.append({"step": 1})
    with log.path.open("ab") as file:
        file.write(b'{"step": 2')
        file.flush()
        records, offset = log.read(0, limit=9)
        assert records == log.tail() == [{"step": 1}]
        file.write(b"}\n")
    assert log.read(offset, limit=9)[0] == [{"step": 2}]


def test_a_damaged_line_costs_only_itself(log: EventLog) -> None:
    log.path.write_bytes(b'{"step": 1}\n\xff\xfe nonsense\n[1]\n{"step": 2}\n')
    assert [record["step"] for record in log.records()] == [1, 2]


def test_an_old_run_is_read_under_todays_keys_and_its_shares_of_all_targets_are_not_taken_for_todays(
    log: EventLog,
) -> None:
    log.path.write_bytes(
        b'{"event":"evaluated","step":0,"loss":2.0,"pseudo_perplexity":7.39,"top1":0.4,"top5":0.6,"targets":500}\n'
        b'{"event":"step","step":1,"epoch":1,"loss":3.5,"learning_rate":0.1,"targets":9,"tokens":70,"seconds":0.5}\n'
        b'{"event":"general","step":1,"loss":null,"pseudo_perplexity":null,"top1":null,"top5":null,"targets":0}\n'
    )
    evaluated, step, general = log.records()
    unknown = {"top1": None, "top5": None, "hidden": None}
    assert evaluated == {"event": "evaluated", "step": 0, "loss": 2.0, "perplexity": 7.39, "targets": 500, **unknown}
    assert general == {"event": "general", "step": 1, "loss": None, "perplexity": None, "targets": 0, **unknown}
    assert step["loss"] == 3.5
    assert [evaluated, step, general] == log.tail()
    history = TrainingHistory.of(log.records())
    assert (history.losses, history.best()) == ([3.5], evaluated)


def test_a_line_longer_than_a_block_does_not_hold_up_the_reader(log: EventLog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "READ_BYTES", 64)
    log.append({"text": "x" * 500})
    log.append({"step": 2})
    assert [set(record) for record in log.records()] == [{"text"}, {"step"}]


def test_the_tail_of_a_long_log_is_its_end(log: EventLog) -> None:
    for step in range(5000):
        log.append({"event": "step", "step": step})
        log.append({"event": "other"})
    tail = log.tail()
    assert tail[-2:] == [{"event": "step", "step": 4999}, {"event": "other"}]
    assert 100 < len(tail) < 10_000
    first, last = log.tail_ends("step")
    assert first == next(record for record in tail if record["event"] == "step")
    assert last["step"] == 4999
    assert log.tail_ends("probe") == []


def test_lines_are_strict_json_in_ascii(log: EventLog) -> None:
    log.append({"loss": math.nan, "probes": [{"p": math.inf}], "text": "\ud800 é\n"})
    line = log.path.read_bytes().decode("ascii")
    assert line.count("\n") == 1
    assert json.loads(line, parse_constant=pytest.fail) == {"loss": None, "probes": [{"p": None}], "text": "\ud800 é\n"}


@pytest.mark.posix
def test_a_full_disk_leaves_no_torn_line(log: EventLog) -> None:
    log.append({"step": 1})
    code = f"""
import resource, sys
from pathlib import Path
from bertdemo.runs.log import EventLog
resource.setrlimit(resource.RLIMIT_FSIZE, ({log.size() + 10}, resource.RLIM_INFINITY))
try:
    EventLog(Path({str(log.path)!r})).append({{"step": 2, "text": "x" * 50}})
except OSError:
    sys.exit(7)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7
    assert log.path.read_bytes() == b'{"step":1}\n'
    log.append({"step": 2})
    assert [record["step"] for record in log.records()] == [1, 2]
