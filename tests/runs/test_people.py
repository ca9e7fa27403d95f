"""Who may see and change a run, how much each may ask for, and whose turn it is; without a page or a server."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path

import pytest

from bertdemo.mlm.errors import RunError, SettingsError
from bertdemo.mlm.models.masked_lm import ModelRef
from bertdemo.mlm.settings import TrainingConfig
from bertdemo.runs.people import LIMITS, Access, Limits, OneTimeKeys, Turns, class_limits, token_hash
from bertdemo.runs.record import DataSource, RunRecord, read_record, short_id


def record(owner: str = "ann", *, shared: bool = False) -> RunRecord:
    ref, data = ModelRef("mini-bert", "/nowhere"), DataSource("reviews.csv", "/nowhere")
    hashed = token_hash(owner) if owner else ""
    return RunRecord("id", "name", "2026", ref, data, TrainingConfig(), owner=hashed, shared=shared)


@dataclass
class Turn:
    person: str
    number: int
    first: bool = False


def queue(*people: str) -> Turns[Turn]:
    turns: Turns[Turn] = Turns()
    for number, person in enumerate(people):
        turns.add(Turn(person, number))
    return turns


def taken(turns: Turns[Turn]) -> list[int]:
    return [turns.take().number for _ in range(len(turns))]


def test_people_alternate_and_each_keeps_their_order() -> None:
    turns = queue("ann", "ann", "ann", "ben", "eve", "ben")
    order = [turn.number for turn in turns.in_order()]
    assert order == taken(turns) == [0, 3, 4, 1, 5, 2]


def test_whoever_was_just_served_waits_for_the_others() -> None:
    turns = queue("ann", "ben")
    assert turns.take().person == "ann"
    turns.add(Turn("ann", 2))
    turns.add(Turn("eve", 3))
    assert taken(turns) == [1, 3, 2]


def test_where_all_are_one_person_they_come_as_they_came() -> None:
    assert taken(queue("", "", "", "")) == [0, 1, 2, 3]


def test_the_operators_word_comes_before_any_turn() -> None:
    turns = queue("ann", "ben", "eve")
    turns.in_order()[2].first = True
    assert taken(turns) == [2, 0, 1]
    assert turns.of("ann") == len(turns) == 0


def test_nobody_owns_everything_where_owners_are_not_asked_for() -> None:
    access = Access()
    assert access.may_see(record(), "")
    assert access.may_change(record(), "ben")
    assert not access.has_operator


@pytest.mark.parametrize(("show_all", "shared"), [(False, False), (False, True), (True, False)])
def test_seeing_and_changing_are_the_owners_and_the_operators(*, show_all: bool, shared: bool) -> None:
    access, run = Access(owned=True, show_all=show_all, operator_password="secret"), record(shared=shared)
    access.let_in("olga", "secret")
    for who in ("ann", "olga", access.operator_token):
        assert access.may_see(run, who)
        assert access.may_change(run, who)
    for who in ("ben", ""):
        assert access.may_see(run, who) == (show_all or shared)
        assert not access.may_change(run, who)
    assert not access.may_change(record(""), "")  # of the command line: nobody's but the operator's
    access.let_out("olga")
    assert not access.may_change(run, "olga")


def test_only_the_password_lets_in_and_only_where_there_is_one() -> None:
    for access in (Access(owned=True), Access(owned=True, operator_password="secret")):
        for password in ("", "Secret", "secret "):
            with pytest.raises(RunError, match="not the operator's password"):
                access.let_in("ben", password)
    with pytest.raises(RunError, match="no token"):
        Access(operator_password="secret").let_in("", "secret")


def test_a_record_of_an_older_version_is_shown_to_nobody_else() -> None:
    text = record().to_json().replace('"shared": false', '"unknown": 1')
    assert read_record(text).shared is False
    odd = dataclasses.replace(record(), shared="false")  # type: ignore[arg-type] - as a hand may have written it
    assert not Access(owned=True).may_see(odd, "ben")


def test_limits_say_their_number(tmp_path: Path) -> None:
    limits = class_limits()
    limits.check_rows(100_000, 3)
    with pytest.raises(RunError, match="300,003 rows to go through, and here a run may have 300,000"):
        limits.check_rows(100_001, 3)
    limits.set("free_bytes", 2**62)
    with pytest.raises(RunError, match="MB are kept free"):
        limits.check_disk(tmp_path / "not" / "there yet", 0)
    assert set(LIMITS) == {field.name for field in dataclasses.fields(Limits)}
    with pytest.raises(SettingsError, match="choose one of waiting"):
        limits.set("__class__", 1)
    Limits().check_rows(10**9, 10**6)  # on this machine's own page there is none


def test_a_key_opens_one_thing_once_within_a_minute() -> None:
    now = [0.0]
    keys = OneTimeKeys(lambda: now[0])
    key = keys.make("this")
    assert keys.opens(key, "this")
    assert not keys.opens(key, "this")
    assert not keys.opens(keys.make("this"), "that")
    late = keys.make("this")
    now[0] = 61.0
    assert not keys.opens(late, "this")
    assert not keys.opens("", "")


def test_a_log_names_no_run() -> None:
    assert short_id("20261122-1130-my-secret-reviews-ab12") == "20261122-1130-ab12"
    assert short_id("../../x") == "?"
