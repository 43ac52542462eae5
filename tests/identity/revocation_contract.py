"""What every `RevocationStore` promises, as functions that take one: each store's tests call all of `CONTRACT`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from pratique.errors import Refused
from pratique.revocation import Kind, Revocation, RevocationStore

NOW = 1_700_000_000.0


def revocation(number: int = 1, kind: Kind = Kind.CLIENT, name: str = "agent", **fields: object) -> Revocation:
    given = {"reason": "it was stolen", "by": "alice", "at": NOW + number} | fields
    return Revocation(id=f"rev-{number}", kind=kind, name=name, **given)  # type: ignore[arg-type]


def is_in_force_when_it_is_kept(store: RevocationStore) -> None:
    made = [revocation(1), revocation(2, Kind.SESSION, "s-1"), revocation(3, Kind.ALL, "", reason="")]
    for each in made:
        store.revoke(each)
    assert set(store.in_force(NOW + 10)) == set(made)
    assert store.find() == made[::-1]


def lifts_once(store: RevocationStore) -> None:
    store.revoke(revocation())
    assert store.lift("rev-1", "bob", NOW + 5) is True
    assert store.lift("rev-1", "carol", NOW + 6) is False
    assert store.lift("rev-none", "bob", NOW + 6) is False
    assert store.in_force(NOW + 7) == ()
    assert store.find() == [replace(revocation(), lifted_at=NOW + 5, lifted_by="bob")]


def ends_by_its_time(store: RevocationStore) -> None:
    store.revoke(revocation(until=NOW + 60))
    assert len(store.in_force(NOW + 59)) == 1
    assert store.in_force(NOW + 60) == ()
    assert store.lift("rev-1", "bob", NOW + 60) is False


def keeps_both_of_two_for_the_same(store: RevocationStore) -> None:
    store.revoke(revocation(1))
    store.revoke(revocation(2))
    assert store.lift("rev-1", "bob", NOW + 5)
    assert [each.id for each in store.in_force(NOW + 5)] == ["rev-2"]


def finds_the_newest(store: RevocationStore) -> None:
    for number in range(1, 6):
        store.revoke(revocation(number))
    assert [each.id for each in store.find(limit=2)] == ["rev-5", "rev-4"]


def has_a_new_version_after_each_change(store: RevocationStore) -> None:
    seen = [store.version()]
    store.revoke(revocation())
    seen.append(store.version())
    store.lift("rev-1", "bob", NOW + 5)
    seen.append(store.version())
    assert len(set(seen)) == 3
    assert store.version() == seen[-1]


def takes_no_id_twice(store: RevocationStore) -> None:
    store.revoke(revocation())
    with pytest.raises(Refused) as refused:
        store.revoke(revocation(name="other"))
    assert refused.value.code == 409
    assert [each.name for each in store.in_force(NOW + 5)] == ["agent"]


def refuses_what_is_none(store: RevocationStore) -> None:
    good = revocation()
    bad = [
        replace(good, id="apr-1"),
        replace(good, name=""),
        replace(good, name="a\nb"),
        replace(good, name="a" * 254),
        replace(good, kind=Kind.ALL),
        replace(good, reason="x" * 501),
        replace(good, by=""),
        replace(good, until=good.at),
    ]
    for each in bad:
        with pytest.raises(Refused) as refused:
            store.revoke(each)
        assert refused.value.code == 400
    assert store.find() == []


CONTRACT: tuple[Callable[[RevocationStore], None], ...] = (
    is_in_force_when_it_is_kept,
    lifts_once,
    ends_by_its_time,
    keeps_both_of_two_for_the_same,
    finds_the_newest,
    has_a_new_version_after_each_change,
    takes_no_id_twice,
    refuses_what_is_none,
)
