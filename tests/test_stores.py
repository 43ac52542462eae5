"""Which stores a gateway uses, and what two of them share."""

from __future__ import annotations

from pathlib import Path

import pytest

from pratique.approvals.dynamodb_store import DynamoStore
from pratique.approvals.sqlite_store import SqliteStore
from pratique.errors import StoreError
from pratique.stores import SHARED_NOTE, Stores, shared_table
from tests.approvals.helpers import NOW, question
from tests.dynamodb.service import new_table, service


def test_without_a_table_everything_is_in_the_state_folder(tmp_path: Path) -> None:
    stores = Stores(tmp_path)
    opened = [stores.approvals(), stores.outbox(), stores.revocations()]
    assert isinstance(opened[0], SqliteStore)
    assert stores.link_key() == Stores(tmp_path).link_key()
    assert {"approvals.sqlite", "webhooks.sqlite", "revocations.sqlite", "links.key"} <= {
        path.name for path in tmp_path.iterdir()
    }
    for each in opened:
        each.close()


def test_with_a_table_only_its_name_is_in_the_state_folder(tmp_path: Path) -> None:
    with service() as made:
        name = new_table(made)
        one, other = (Stores(tmp_path, name, service=made) for _ in range(2))
        approvals = one.approvals()
        assert isinstance(approvals, DynamoStore)
        approval = approvals.ask(question(), NOW)
        assert other.approvals().get(approval.id, NOW) == approval
        assert one.link_key() == other.link_key()
        assert len(one.link_key()) == 32
        one.outbox()
        one.revocations()
    assert [path.name for path in tmp_path.iterdir()] == [SHARED_NOTE]
    assert shared_table(tmp_path) == name
    Stores(tmp_path)
    assert shared_table(tmp_path) == "", "it went back to its files"


def test_a_table_that_cannot_be_used_is_an_error_at_the_start(tmp_path: Path) -> None:
    with service() as made, pytest.raises(StoreError, match="pratique store create"):
        Stores(tmp_path, "nowhere", service=made)
