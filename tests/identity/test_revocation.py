"""Revocations: the contract on SQLite, the set in force, what is told."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from pratique.approvals.revoking import new_id
from pratique.errors import Refused, StoreError
from pratique.identity.revoking.sqlite_store import SqliteRevocations
from pratique.revocation import Kind, RevocationStore, Revoked, check
from tests.identity.revocation_contract import CONTRACT, NOW, revocation


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_the_store_keeps_its_promises(promise: Callable[[RevocationStore], None], tmp_path: Path) -> None:
    store = SqliteRevocations(tmp_path / "revocations.sqlite")
    promise(store)
    store.close()


def test_another_process_sees_it_at_once_and_it_survives(tmp_path: Path) -> None:
    here, there = (SqliteRevocations(tmp_path / "revocations.sqlite") for _ in range(2))
    before = there.version()
    here.revoke(revocation())
    assert there.version() != before
    assert there.in_force(NOW) == (revocation(),)
    here.close()
    there.close()
    assert SqliteRevocations(tmp_path / "revocations.sqlite").in_force(NOW) == (revocation(),)


def test_the_number_in_force_is_bounded_and_lifted_ones_do_not_count(tmp_path: Path) -> None:
    store = SqliteRevocations(tmp_path / "revocations.sqlite", max_in_force=2)
    store.revoke(revocation(1))
    store.revoke(revocation(2))
    with pytest.raises(Refused) as refused:
        store.revoke(revocation(3))
    assert refused.value.code == 429
    store.lift("rev-1", "bob", NOW + 3)
    store.revoke(revocation(3))


def test_a_store_that_is_none_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "revocations.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError):
        SqliteRevocations(tmp_path / "revocations.sqlite")


def test_a_row_that_was_not_written_by_us_is_an_error_not_nothing(tmp_path: Path) -> None:
    """An unknown kind must not read as "nobody is revoked"."""
    store = SqliteRevocations(tmp_path / "revocations.sqlite")
    store.revoke(revocation())
    with sqlite3.connect(tmp_path / "revocations.sqlite") as db:
        db.execute("UPDATE revocations SET kind = 'planet'")
    with pytest.raises(StoreError):
        store.in_force(NOW)


@pytest.mark.parametrize(
    ("kind", "name", "client", "sessions", "hit"),
    [
        (Kind.CLIENT, "agent", "agent", [], True),
        (Kind.CLIENT, "agent", "agent-2", [], False),
        (Kind.CLIENT, "s-1", "agent", ["s-1"], False),
        (Kind.SESSION, "s-1", "agent", ["s-0", "s-1"], True),
        (Kind.SESSION, "s-1", "agent", ["s-2"], False),
        (Kind.SESSION, "agent", "agent", [], False),
        (Kind.ALL, "", "whoever", [], True),
        (Kind.ALL, "", "", [], True),
    ],
)
def test_whom_it_hits(kind: Kind, name: str, client: str, sessions: list[str], hit: bool) -> None:
    made = revocation(kind=kind, name=name, until=NOW + 60)
    revoked = Revoked([made])
    assert revoked.hits(client, sessions, NOW + 10) == (made if hit else None)
    assert revoked.hits(client, sessions, NOW + 60) is None
    assert revoked.is_stopped(NOW + 10) is (kind is Kind.ALL)
    assert not revoked.is_stopped(NOW + 60)


def test_of_two_the_one_that_still_stands_counts() -> None:
    ended, stands = revocation(1, until=NOW + 5), revocation(2)
    assert Revoked([ended, stands]).hits("agent", [], NOW + 9) == stands
    assert Revoked().hits("agent", [], NOW) is None


def test_the_refusal_says_who_why_and_that_repeating_is_useless() -> None:
    told = revocation(reason="key \x1b[31mleaked").refusal()
    assert (told.code, told.reason, told.rule) == (403, "Revoked", "identity/revoked")
    assert "client `agent` was revoked by alice: key \\x1b[31mleaked." in told.message
    assert "until an operator lifts it (rev-1). Do not repeat the request" in told.message
    assert "for some time (rev-1)" in revocation(until=NOW + 9).refusal().message
    assert (
        "access of every client was revoked by alice."
        in revocation(kind=Kind.ALL, name="", reason="").refusal().message
    )


def test_new_ids_are_ids() -> None:
    assert check(revocation(until=None)) == revocation()
    assert len({new_id() for _ in range(100)}) == 100
    store_form = revocation()
    for _ in range(20):
        check(type(store_form)(new_id(), Kind.CLIENT, "agent", "", "alice", NOW))
