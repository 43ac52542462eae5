"""I/O: counts in a DynamoDB table: one daily budget for all replicas of the gateway.

Belongs here: the item. Not here: what is counted, and what happens at the limit (`limits`), the table (`pratique.dynamodb`).
"""

from __future__ import annotations

from datetime import UTC, datetime

from pratique.dynamodb.items import expression
from pratique.dynamodb.layout import PARTITION, SORT, TTL, ttl
from pratique.dynamodb.table import ConflictError, Table


class DynamoCounters:
    """`Counters` in a table, which forgets earlier days by its TTL; its owner closes the table.

    One conditional write. An answer that got lost may have counted one: the budget is never exceeded.
    """

    def __init__(self, table: Table) -> None:
        self._table = table

    def spend(self, client: str, day: str, limit: int) -> bool:
        if limit <= 0:
            return False
        try:
            self._table.update(
                {PARTITION: f"COUNT#{client}", SORT: day},
                UpdateExpression="ADD used :one SET #ttl = :ttl",
                ConditionExpression="attribute_not_exists(used) OR used < :limit",
                ExpressionAttributeNames={"#ttl": TTL},
                **expression(one=1, limit=limit, ttl=ttl(_midnight(day))),
            )
        except ConflictError:
            return False
        return True

    def close(self) -> None:
        """Nothing to end."""


def _midnight(day: str) -> float:
    return datetime.strptime(day, "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
