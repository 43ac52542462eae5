"""The queue in a table: rivals, lost answers, throttling and damage; each ends in one use, or in a refusal.

What it has in common with the file is in `test_stores`, `test_grants` and `test_model`.
"""

from __future__ import annotations

import contextlib
import os
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectTimeoutError

from pratique.approvals import ledger as ledgers
from pratique.approvals.deciding import Decision
from pratique.approvals.dynamodb_changes import ATTEMPTS
from pratique.approvals.dynamodb_rows import PIECE_BYTES
from pratique.approvals.grants import GrantKind, Scope, Wish
from pratique.approvals.transitions import State
from pratique.dynamodb.layout import KEEP_SECONDS
from pratique.errors import Refused, StoreError
from tests.approvals.helpers import HOUR, NOW, approved, in_threads, question, use
from tests.approvals.stores import Stores
from tests.dynamodb import service as dynamodb

TEN = Wish(GrantKind.DURATION, 600)
WRITE = "transact_write_items"


@pytest.fixture
def stores(tmp_path):
    made = Stores("dynamodb", tmp_path)
    yield made
    made.close()


@pytest.fixture
def store(stores):
    return stores.open()


def items(stores: Stores) -> list[dict[str, Any]]:
    return stores.service.scan(TableName=stores.table)["Items"]


def noise(count: int) -> str:
    """Text that cannot be compressed much."""
    return os.urandom(count).hex()


def once(stores: Stores, operation: str, work: Any, *, when: str = "before") -> None:
    """`work()` at the first call of this operation."""
    done: list[bool] = []

    def hook(called: str, _arguments: Any) -> None:
        if called == operation and not done:
            done.append(True)
            work()

    setattr(stores.service, when, hook)


def refusal(code: str, **more: Any) -> ClientError:
    return ClientError({"Error": {"Code": code, "Message": "quotes a value"}, **more}, "Operation")


# --- rivals ---


def test_a_rival_that_is_first_leaves_nothing_to_use(store, stores):
    approval, rival = approved(store), stores.open()
    won: list[bool] = []
    once(stores, WRITE, lambda: won.append(use(rival, approval)))
    assert not use(store, approval)
    assert won == [True]


def test_an_approval_that_was_ended_behind_the_ledgers_back_is_not_used(store, stores):
    """INVARIANT: the ledger alone is not believed; what is written over must still be what was read."""
    approval = approved(store)
    key = {"pk": {"S": f"A#{approval.id}"}, "sk": {"S": "A"}}

    def end():
        stores.service.update_item(
            TableName=stores.table,
            Key=key,
            UpdateExpression="SET #state = :denied",
            ExpressionAttributeNames={"#state": "state"},
            ExpressionAttributeValues={":denied": {"S": "denied"}},
        )

    once(stores, WRITE, end)
    assert not use(store, approval)
    assert store.get(approval.id, NOW).state is State.DENIED


def test_a_decision_between_reading_and_writing_is_seen(store, stores):
    approval, rival = store.ask(question(), NOW), stores.open()
    once(stores, WRITE, lambda: rival.decide(approval.id, Decision.DENY, "bob", "no", NOW))
    with pytest.raises(Refused, match="denied"):
        store.decide(approval.id, Decision.APPROVE, "alice", "", NOW)
    assert store.get(approval.id, NOW).decisions[0].reviewer == "bob"


def test_a_grant_that_is_revoked_meanwhile_is_not_used(store, stores):
    first = store.ask(question(), NOW)
    store.decide(first.id, Decision.APPROVE, "alice", "", NOW, wish=TEN)
    use(store, first)
    second, rival = store.ask(question(), NOW), stores.open()
    once(stores, WRITE, lambda: rival.revoke_grant(second.grant_id, "bob", NOW))
    assert not use(store, second)
    assert store.get(second.id, NOW).state is State.REVOKED


def test_the_quota_holds_for_questions_that_come_at_once(stores):
    both = [stores.open(max_pending=3), stores.open(max_pending=3)]

    def ask(index):
        try:
            return both[index % 2].ask(question(f"n{index}"), NOW).id
        except Refused as refused:
            return refused.code

    outcomes = in_threads(6, ask)
    assert outcomes.count(429) == 3


def test_whoever_always_loses_gives_up_with_nothing_written(store, stores):
    approval = approved(store)
    calls: list[str] = []

    def lose(operation, _arguments):
        if operation == WRITE:
            calls.append(operation)
            raise refusal("TransactionCanceledException", CancellationReasons=[{"Code": "TransactionConflict"}])

    stores.service.before = lose
    with pytest.raises(StoreError, match="too often at once"):
        use(store, approval)
    assert len(calls) == ATTEMPTS
    stores.service.before = lambda *_: None
    assert use(store, approval)


# --- no answer ---


def test_an_answer_that_got_lost_uses_the_approval_up_and_allows_nothing(store, stores):
    """INVARIANT: a crash or a lost answer loses an approval, and never executes twice."""
    approval = approved(store)

    def lose():
        raise ConnectTimeoutError(endpoint_url="https://dynamodb.example")

    once(stores, WRITE, lose, when="after")
    with pytest.raises(StoreError):
        use(store, approval)
    assert store.get(approval.id, NOW).state is State.USED
    assert not use(store, approval)


def test_botocore_repeats_a_change_as_the_same_change(stores):
    """With one token for all its attempts, so that a repetition whose first attempt had succeeded is no second use."""
    model = dynamodb._client().meta.service_model.operation_model("TransactWriteItems")
    assert model.idempotent_members == ["ClientRequestToken"]


CALLS = {
    "ask": lambda store, approval: store.ask(question("db"), NOW),
    "is_new": lambda store, approval: store.is_new(question("db"), NOW),
    "get": lambda store, approval: store.get(approval.id, NOW),
    "find": lambda store, approval: store.find(NOW),
    "states": lambda store, approval: store.states([approval.id], NOW),
    "decide": lambda store, approval: store.decide(approval.id, Decision.DENY, "bob", "", NOW),
    "consume": use,
    "cancel": lambda store, approval: store.cancel(approval.id, NOW),
    "withdraw": lambda store, approval: store.withdraw(approval.id, NOW),
    "withdrawn": lambda store, approval: store.withdrawn([approval.id]),
    "grants": lambda store, approval: store.grants(NOW),
    "revoke_grant": lambda store, approval: store.revoke_grant("grt-1", "bob", NOW),
    "expire": lambda store, approval: store.expire(NOW + 2 * HOUR),
    "prune": lambda store, approval: store.prune(NOW + HOUR),
    "version": lambda store, approval: store.version(),
}
FAILURES = [
    refusal("ProvisionedThroughputExceededException"),
    refusal("TransactionCanceledException", CancellationReasons=[{"Code": "ThrottlingError"}, {"Code": "None"}]),
    ConnectTimeoutError(endpoint_url="https://dynamodb.example"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=["throttled", "cancelled", "timeout"])
def test_a_table_that_does_not_answer_is_a_store_error_without_aws_text(store, stores, failure):
    approval = approved(store)

    def fail(_operation, _arguments):
        raise failure

    stores.service.before = fail
    for name, call in CALLS.items():
        with pytest.raises(StoreError) as raised:
            call(store, approval)
        assert "quotes a value" not in str(raised.value), name
    stores.service.before = lambda *_: None
    assert use(store, approval)


def test_everything_that_decides_is_read_consistently(store, stores):
    reads: list[dict[str, Any]] = []

    def look(operation, arguments):
        if operation == "batch_get_item":
            reads.append(arguments["RequestItems"][stores.table])
        elif operation == "get_item" or (operation == "query" and "IndexName" not in arguments):
            reads.append(arguments)

    stores.service.before = look
    approval = approved(store)
    for call in CALLS.values():
        with contextlib.suppress(Refused):  # it is approved already
            call(store, approval)
    assert len(reads) > 10
    assert all(arguments.get("ConsistentRead") is True for arguments in reads)


# --- what is large ---


def test_a_large_question_comes_back_in_pieces_and_goes_with_its_expiry(store, stores):
    asked = question(body=noise(PIECE_BYTES))
    approval = store.ask(asked, NOW)
    assert approval.question == asked
    assert len([each for each in items(stores) if each["sk"]["S"].startswith("D#")]) >= 2
    assert store.find(NOW)[0].question.summary.body == ""
    store.expire(NOW + HOUR)
    assert [each for each in items(stores) if each["sk"]["S"].startswith("D#")] == []


def test_a_piece_that_is_missing_is_a_store_error(store, stores):
    approval = store.ask(question(body=noise(PIECE_BYTES)), NOW)
    piece = next(each for each in items(stores) if each["sk"]["S"].startswith("D#"))
    stores.service.delete_item(TableName=stores.table, Key={"pk": piece["pk"], "sk": piece["sk"]})
    with pytest.raises(StoreError):
        store.get(approval.id, NOW)
    with pytest.raises(StoreError):
        store.ask(approval.question, NOW)


def test_items_are_kept_by_the_table_longer_than_they_count(store, stores):
    approval = approved(store, question(body=noise(10)))
    use(store, approval, NOW + 1)
    store.decide(store.ask(question("b"), NOW).id, Decision.APPROVE, "alice", "", NOW, wish=TEN)
    ends = {each["pk"]["S"]: int(each["expiresAt"]["N"]) for each in items(stores) if "expiresAt" in each}
    assert {name.partition("#")[0] for name in ends} == {"A", "GRANTS"}
    assert min(ends.values()) >= NOW + KEEP_SECONDS


def test_many_are_expired_and_found_though_an_answer_has_an_end(store, stores):
    ids = [store.ask(question(f"n{number}", f"agent-{number % 2}"), NOW + number).id for number in range(6)]
    queries = stores.service.__getattr__("query")

    def paged(**arguments):
        return queries(**arguments, Limit=2)

    stores.service.query = paged
    assert [found.id for found in store.find(NOW + 10)] == ids[::-1]
    assert store.expire(NOW + 2 * HOUR) == 6
    assert {found.state for found in store.find(NOW + 2 * HOUR)} == {State.EXPIRED}


# --- bounds of a ledger ---


def test_more_open_approvals_than_a_ledger_holds_are_429(store, monkeypatch):
    monkeypatch.setattr(ledgers, "MAX_OPEN", 2)
    store.decide(store.ask(question(), NOW).id, Decision.APPROVE, "alice", "", NOW, wish=TEN)
    store.ask(question("a"), NOW)
    with pytest.raises(Refused) as raised:
        store.ask(question("b"), NOW)
    assert raised.value.code == 429


def test_more_grants_than_a_ledger_holds_are_409_and_approve_nothing(store, monkeypatch):
    monkeypatch.setattr(ledgers, "MAX_GRANTS", 1)
    store.decide(store.ask(question("a"), NOW).id, Decision.APPROVE, "alice", "", NOW, wish=TEN)
    approval = store.ask(question("b"), NOW)
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, wish=TEN)
    assert raised.value.code == 409
    assert store.get(approval.id, NOW).state is State.PENDING


def test_a_revoked_grant_ends_all_that_was_not_used_however_many(store, monkeypatch):
    from pratique.approvals import dynamodb_grants

    monkeypatch.setattr(dynamodb_grants, "REVOKED_AT_ONCE", 2)
    wish = Wish(GrantKind.DURATION, 600, Scope.of(question().target, name="*"))
    store.decide(store.ask(question(), NOW).id, Decision.APPROVE, "alice", "", NOW, wish=wish)
    (grant,) = store.grants(NOW)
    unused = [store.ask(question(f"n{number}"), NOW) for number in range(5)]
    assert store.revoke_grant(grant.id, "bob", NOW)
    assert set(store.states([each.id for each in unused], NOW).values()) == {State.REVOKED}
    assert not any(use(store, each) for each in unused)


def test_a_grant_is_over_though_its_end_was_written_down_in_part(store, stores, monkeypatch):
    """A replica that dies after it has revoked a grant leaves unused approvals of it: none of them can be used."""
    from pratique.approvals import dynamodb_grants

    monkeypatch.setattr(dynamodb_grants, "REVOKED_AT_ONCE", 1)
    store.decide(store.ask(question(), NOW).id, Decision.APPROVE, "alice", "", NOW, wish=TEN)
    use(store, store.ask(question(), NOW))
    unused = [store.ask(question(), NOW) for _ in range(3)]
    writes: list[int] = []

    def die(operation, _arguments):
        writes.extend([1] if operation == WRITE else [])
        if len(writes) > 1:
            raise ConnectTimeoutError(endpoint_url="https://dynamodb.example")

    stores.service.before = die
    with pytest.raises(StoreError):
        store.revoke_grant(unused[0].grant_id, "bob", NOW)
    stores.service.before = lambda *_: None
    assert State.APPROVED in store.states([each.id for each in unused], NOW).values()
    assert not any(use(store, each) for each in unused)


def test_a_ledger_does_not_grow_with_time(store, stores):
    def size():
        (ledger,) = [each["ledger"]["S"] for each in items(stores) if each["pk"]["S"].startswith("C#")]
        return len(ledger)

    sizes = []
    for day in range(4):
        at = NOW + day * 24 * HOUR
        store.decide(store.ask(question("a"), at).id, Decision.DENY, "alice", "", at)
        use(store, approved(store, question("b"), at), at)
        sizes.append(size())
    assert sizes == [sizes[0]] * 4


def test_a_ledger_keeps_few_traces():
    ledger = ledgers.Ledger()
    for number in range(100):
        ledger.open(f"apr-{number}", question(f"n{number}"), "", State.APPROVED, NOW + number, NOW + HOUR)
        ledger.close(f"apr-{number}", State.USED, NOW + number)
        ledger.forget(NOW + number)
    assert len(ledger.traces) == ledgers.MAX_TRACES
    ledger.forget(NOW + 10 * HOUR)
    assert ledger == ledgers.Ledger()


# --- the table ---


def test_a_damaged_item_is_a_store_error(store, stores):
    approval = approved(store)
    key = {"pk": {"S": "C#agent"}, "sk": {"S": "L"}}
    stores.service.put_item(TableName=stores.table, Item=key | {"ledger": {"S": "{"}, "revision": {"N": "1"}})
    with pytest.raises(StoreError, match="cannot read"):
        use(store, approval)
    key = {"pk": {"S": f"A#{approval.id}"}, "sk": {"S": "A"}}
    stores.service.put_item(TableName=stores.table, Item=key)
    with pytest.raises(StoreError, match="cannot read"):
        store.get(approval.id, NOW)
