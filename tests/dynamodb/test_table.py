"""The table: made once, its version read once for everybody, and what cannot be used says why."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pratique.dynamodb.items import from_wire, to_wire
from pratique.dynamodb.layout import TTL, VERSIONS
from pratique.dynamodb.setup import GATEWAY_ACTIONS, OPERATOR_ACTIONS, Wanted, create_table
from pratique.dynamodb.table import Table, client
from pratique.dynamodb.versions import APPROVALS, POLL_SECONDS, RENEW_SECONDS, REVOCATIONS, Versions
from pratique.errors import StartError, StoreError
from tests.dynamodb.service import Serial, new_table, service

ROOT = Path(__file__).parents[2]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def made() -> Iterator[Serial]:
    with service() as made:
        yield made


@pytest.fixture
def table(made: Serial) -> Table:
    return Table(new_table(made), made)


# --- items ---


@pytest.mark.parametrize("value", ["", "ü", b"\0\xff", 0, -3, 10**15, 0.1, 1e-6, 1764413394.1234567, 1e15 + 0.5])
def test_a_value_comes_back_as_it_was(table: Table, value: object) -> None:
    table.put({"pk": "p", "sk": "s", "value": value, "none": None})
    assert table.get({"pk": "p", "sk": "s"}) == {"pk": "p", "sk": "s", "value": value}


def test_what_has_no_attribute_is_refused() -> None:
    for value in (True, [], {}):
        with pytest.raises(TypeError):
            to_wire({"value": value})
    with pytest.raises(ValueError, match="not written by us"):
        from_wire({"value": {"L": []}})


def test_many_are_read_in_batches_and_in_full(made: Serial, table: Table) -> None:
    for number in range(7):
        table.put({"pk": "p", "sk": f"{number}"})
    batch, calls = made.__getattr__("batch_get_item"), []

    def in_part(**arguments):
        """As DynamoDB answers when it is short of capacity."""
        keys = arguments["RequestItems"][table.name]["Keys"]
        calls.append(len(keys))
        arguments["RequestItems"][table.name]["Keys"] = keys[:4]
        answer = batch(**arguments)
        return answer | {"UnprocessedKeys": {table.name: {"Keys": keys[4:]}} if keys[4:] else {}}

    made.batch_get_item = in_part
    assert len(table.get_many([("p", f"{number}") for number in range(9)])) == 7
    assert calls == [9, 5, 1]
    made.batch_get_item = lambda **arguments: {"UnprocessedKeys": arguments["RequestItems"]}
    with pytest.raises(StoreError, match="in part only"):
        table.get_many([("p", "1")])


# --- versions ---


def test_one_read_serves_everybody_for_a_moment(made: Serial, table: Table) -> None:
    clock, reads = Clock(), []
    made.before = lambda operation, _arguments: reads.append(operation)
    versions = Versions(table, clock=clock)
    for _ in range(100):
        versions.read(APPROVALS)
        versions.read(REVOCATIONS)
    assert reads == ["get_item"]
    clock.now += POLL_SECONDS
    versions.read(APPROVALS)
    assert reads == ["get_item"] * 2


def test_another_replicas_change_is_seen_at_the_next_poll_and_an_own_one_at_once(table: Table) -> None:
    clock = Clock()
    one, other = Versions(table, clock=clock), Versions(table, clock=clock)
    before = other.read(APPROVALS), other.read(REVOCATIONS)
    mine = one.read(APPROVALS)
    one.bump(APPROVALS)
    assert one.read(APPROVALS) != mine
    clock.now += POLL_SECONDS
    assert other.read(APPROVALS) != before[0]
    assert other.read(REVOCATIONS) == before[1]


def test_a_change_whose_counter_was_lost_in_a_crash_is_not_missed_for_ever(table: Table) -> None:
    clock = Clock()
    versions = Versions(table, clock=clock)
    before = versions.read(APPROVALS)
    clock.now += RENEW_SECONDS
    assert versions.read(APPROVALS) != before


# --- what cannot be used ---


def test_a_table_that_is_missing_says_how_to_make_it(made: Serial) -> None:
    with pytest.raises(StoreError, match="pratique store create"):
        Versions(Table("nowhere", made))


def test_a_table_of_a_later_release_is_not_touched(table: Table) -> None:
    table.put({**VERSIONS, "schema": 2})
    with pytest.raises(StoreError, match="version 2"):
        Versions(table)


def test_a_closed_table_is_a_store_error(table: Table) -> None:
    table.close()
    with pytest.raises(StoreError, match="closed"):
        table.get(VERSIONS)


def test_without_a_region_it_says_which_option(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    for name in ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreError, match="pratique_dynamodb_region"):
        client()


# --- permissions ---


def called(module: str) -> set[str]:
    """The IAM actions of the operations that a module calls."""
    source = (ROOT / "addons" / "pratique" / "dynamodb" / module).read_text()
    found = re.findall(
        r"""(?:_call\(|_batch\(|service\.)["']?((?:get|put|update|delete|batch|query|create|describe)[a-z_]*)""", source
    )
    return {"dynamodb:" + "".join(word.title() for word in name.split("_")) for name in found}


def test_the_readme_lists_what_the_gateway_may_do_and_no_more() -> None:
    parts = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:ConditionCheckItem"}
    assert called("table.py") | parts == set(GATEWAY_ACTIONS)
    assert called("setup.py") | {"dynamodb:TagResource"} == set(OPERATOR_ACTIONS)
    readme = (ROOT / "README.md").read_text()
    for action in (*GATEWAY_ACTIONS, *OPERATOR_ACTIONS):
        assert f"`{action.removeprefix('dynamodb:')}`" in readme


# --- making it ---


def test_it_is_made_once_and_brought_to_what_is_wanted(made: Serial) -> None:
    wanted = Wanted("state", recovery=False, protection=False)
    assert create_table(made, wanted)
    assert create_table(made, wanted) == []
    assert made.describe_time_to_live(TableName="state")["TimeToLiveDescription"]["AttributeName"] == TTL
    assert len(create_table(made, Wanted("state"))) == 2
    found = made.describe_table(TableName="state")["Table"]
    assert found["DeletionProtectionEnabled"]
    assert found["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert create_table(made, Wanted("state")) == []


def test_a_table_that_has_no_backups_yet_is_waited_for(made: Serial) -> None:
    waits: list[float] = []

    def refuse(operation: str, _arguments: object) -> None:
        if operation == "update_continuous_backups" and len(waits) < 2:
            raise made.exceptions.ContinuousBackupsUnavailableException({"Error": {"Code": "C"}}, operation)

    made.before = refuse
    assert "switched point-in-time recovery on" in create_table(made, Wanted("state"), sleep=waits.append)
    assert len(waits) == 2


def test_its_key_is_the_one_that_was_given(made: Serial) -> None:
    create_table(made, Wanted("state", key="arn:aws:kms:eu-west-1:111122223333:key/k"))
    found = made.describe_table(TableName="state")["Table"]["SSEDescription"]
    assert found["SSEType"] == "KMS"


def test_a_table_of_something_else_is_left_alone(made: Serial) -> None:
    key = {"AttributeName": "id", "AttributeType": "S"}
    made.create_table(
        TableName="other",
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[key],
        KeySchema=[{"AttributeName": "id", "KeyType": "HASH"}],
    )
    with pytest.raises(StartError, match="another name"):
        create_table(made, Wanted("other"))
    assert made.describe_time_to_live(TableName="other")["TimeToLiveDescription"]["TimeToLiveStatus"] == "DISABLED"


def test_what_aws_refuses_is_one_line(made: Serial) -> None:
    from botocore.exceptions import ClientError

    def refuse(_operation, _arguments):
        raise ClientError({"Error": {"Code": "AccessDeniedException", "Message": "secret"}}, "CreateTable")

    made.before = refuse
    with pytest.raises(StartError, match="AccessDeniedException") as raised:
        create_table(made, Wanted("state"))
    assert "secret" not in str(raised.value)
