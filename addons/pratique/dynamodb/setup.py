"""I/O: making the table, or bringing it to what it should be. For operators and tests; the gateway never does it.

Belongs here: its definition, and the calls that make it. Not here: the gateway's calls (`table`), what it holds (`layout`).
Idempotent: what is there already stays, what is missing is added, and nothing is removed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pratique.dynamodb.layout import AT, INDEX, PARTITION, SHELF, SORT, TTL
from pratique.dynamodb.table import failure
from pratique.errors import StartError

GATEWAY_ACTIONS = (
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:UpdateItem",
    "dynamodb:DeleteItem",
    "dynamodb:ConditionCheckItem",
    "dynamodb:BatchWriteItem",
)
"""What the gateway's role needs of the table, and of its index Query only. A transaction needs those of its parts."""
OPERATOR_ACTIONS = (
    "dynamodb:CreateTable",
    "dynamodb:DescribeTable",
    "dynamodb:UpdateTable",
    "dynamodb:DescribeTimeToLive",
    "dynamodb:UpdateTimeToLive",
    "dynamodb:DescribeContinuousBackups",
    "dynamodb:UpdateContinuousBackups",
    "dynamodb:TagResource",
)
"""What `create_table` needs."""
WAIT_SECONDS = 120.0
STEP_SECONDS = 1.0
"""Between looks at a table that is being made: it takes some 10 s."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """`key` is a KMS key's ARN or alias; empty means the key that AWS owns."""

    name: str
    recovery: bool = True
    protection: bool = True
    key: str = ""


def definition(wanted: Wanted) -> dict[str, Any]:
    """The arguments of CreateTable."""
    arguments: dict[str, Any] = {
        "TableName": wanted.name,
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": [
            {"AttributeName": PARTITION, "AttributeType": "S"},
            {"AttributeName": SORT, "AttributeType": "S"},
            {"AttributeName": SHELF, "AttributeType": "S"},
            {"AttributeName": AT, "AttributeType": "N"},
        ],
        "KeySchema": [
            {"AttributeName": PARTITION, "KeyType": "HASH"},
            {"AttributeName": SORT, "KeyType": "RANGE"},
        ],
        "GlobalSecondaryIndexes": [
            {
                "IndexName": INDEX,
                "KeySchema": [
                    {"AttributeName": SHELF, "KeyType": "HASH"},
                    {"AttributeName": AT, "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        "DeletionProtectionEnabled": wanted.protection,
        "Tags": [{"Key": "pratique", "Value": "shared-state"}],
    }
    if wanted.key:
        arguments["SSESpecification"] = {"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": wanted.key}
    return arguments


def create_table(service: Any, wanted: Wanted, *, sleep: Callable[[float], None] = time.sleep) -> list[str]:
    """What was done, a line each; nothing if the table is as wanted. Raises StartError: another table has this name."""
    try:
        return [*_made(service, wanted, sleep), *_brought_forward(service, wanted, sleep)]
    except StartError:
        raise
    except Exception as error:  # noqa: BLE001 - boto3's errors have no common base
        raise StartError(str(failure(f"the table `{wanted.name}`", error))) from None


def _made(service: Any, wanted: Wanted, sleep: Callable[[float], None]) -> list[str]:
    found = _described(service, wanted.name)
    done = []
    if not found:
        service.create_table(**definition(wanted))
        done.append(f"created the table `{wanted.name}`, billed on demand")
    for _ in range(int(WAIT_SECONDS / STEP_SECONDS)):
        found = _described(service, wanted.name)
        if found.get("TableStatus") == "ACTIVE":
            _check(wanted, found)
            return done
        sleep(STEP_SECONDS)
    raise StartError(f"the table `{wanted.name}` is not active after {WAIT_SECONDS:g} s. Look at it in the AWS console")


def _described(service: Any, name: str) -> dict[str, Any]:
    try:
        table: dict[str, Any] = service.describe_table(TableName=name)["Table"]
    except service.exceptions.ResourceNotFoundException:
        return {}
    return table


def _check(wanted: Wanted, found: dict[str, Any]) -> None:
    ours = definition(wanted)
    indexes = {index["IndexName"]: index["KeySchema"] for index in found.get("GlobalSecondaryIndexes", ())}
    if found["KeySchema"] != ours["KeySchema"] or indexes.get(INDEX) != ours["GlobalSecondaryIndexes"][0]["KeySchema"]:
        raise StartError(f"`{wanted.name}` is a table of something else. Choose another name")


def _brought_forward(service: Any, wanted: Wanted, sleep: Callable[[float], None]) -> list[str]:
    done = []
    ttl = service.describe_time_to_live(TableName=wanted.name)["TimeToLiveDescription"]
    if ttl.get("TimeToLiveStatus") not in {"ENABLED", "ENABLING"}:
        service.update_time_to_live(
            TableName=wanted.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": TTL}
        )
        done.append(f"items go when their `{TTL}` has passed")
    if wanted.recovery and not _has_recovery(service, wanted.name):
        _recover(service, wanted.name, sleep)
        done.append("switched point-in-time recovery on")
    if wanted.protection and not _described(service, wanted.name).get("DeletionProtectionEnabled"):
        service.update_table(TableName=wanted.name, DeletionProtectionEnabled=True)
        done.append("protected it against deletion")
    return done


def _has_recovery(service: Any, name: str) -> bool:
    found = service.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    status = found.get("PointInTimeRecoveryDescription", {}).get("PointInTimeRecoveryStatus")
    return bool(status == "ENABLED")


def _recover(service: Any, name: str, sleep: Callable[[float], None]) -> None:
    """A table that was made a moment ago has no backups yet (API reference, ContinuousBackupsUnavailableException)."""
    tries = int(WAIT_SECONDS / STEP_SECONDS)
    for left in reversed(range(tries)):
        try:
            service.update_continuous_backups(
                TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
            )
        except service.exceptions.ContinuousBackupsUnavailableException:
            if not left:
                raise
            sleep(STEP_SECONDS)
        else:
            return
