"""Revocations in a table: the contract, and what another replica sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from pratique.errors import Refused, StoreError
from pratique.identity.revoking.dynamodb_store import DynamoRevocations
from pratique.revocation import RevocationStore
from tests.dynamodb.service import Serial, new_table, opened, service
from tests.identity.revocation_contract import CONTRACT, NOW, revocation


@pytest.fixture
def made() -> Iterator[Serial]:
    with service() as made:
        yield made


@pytest.fixture
def table(made: Serial) -> str:
    return new_table(made)


@pytest.mark.parametrize("promise", CONTRACT, ids=lambda promise: promise.__name__)
def test_the_store_keeps_its_promises(promise: Callable[[RevocationStore], None], made: Serial, table: str) -> None:
    promise(DynamoRevocations(*opened(made, table)))


def test_another_replica_sees_it_at_once(made: Serial, table: str) -> None:
    here, there = (DynamoRevocations(*opened(made, table)) for _ in range(2))
    before = there.version()
    here.revoke(revocation())
    assert there.version() != before
    assert there.in_force(NOW) == (revocation(),)
    assert there.lift("rev-1", "bob", NOW + 5)
    assert not here.lift("rev-1", "carol", NOW + 6)


def test_an_id_that_was_lifted_is_not_taken_again(made: Serial, table: str) -> None:
    store = DynamoRevocations(*opened(made, table))
    store.revoke(revocation())
    store.lift("rev-1", "bob", NOW + 5)
    with pytest.raises(Refused) as refused:
        store.revoke(revocation())
    assert refused.value.code == 409


def test_the_number_in_force_is_bounded(made: Serial, table: str) -> None:
    store = DynamoRevocations(*opened(made, table), max_in_force=1)
    store.revoke(revocation(1))
    with pytest.raises(Refused) as refused:
        store.revoke(revocation(2))
    assert refused.value.code == 429


def test_one_that_cannot_be_read_is_a_store_error_for_all(made: Serial, table: str) -> None:
    """INVARIANT: never a part of them."""
    store = DynamoRevocations(*opened(made, table))
    store.revoke(revocation())
    made.put_item(TableName=table, Item={"pk": {"S": "REVOCATIONS"}, "sk": {"S": "rev-2"}, "kind": {"S": "?"}})
    with pytest.raises(StoreError):
        store.in_force(NOW)
