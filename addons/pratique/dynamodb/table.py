"""I/O: the calls to one DynamoDB table, and what a failure is.

Belongs here: reading and writing items, time-outs, which errors mean "somebody else was first" and which "no answer". Not
here: what the items are (`layout`, the stores). Blocks; call it from a thread. boto3 is imported when it is needed.

Reads are strongly consistent, except those of the index. Every change is one TransactWriteItems whose conditions hold or
nothing is written; botocore gives each a ClientRequestToken, so that its own repetition after a lost answer is the same
change and not a second one (API reference, TransactWriteItems).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

from pratique.dynamodb.items import Item, from_wire, to_wire
from pratique.dynamodb.layout import AT, INDEX, PARTITION, SHELF, SORT, Key
from pratique.errors import StoreError

CONNECT_SECONDS = 1
READ_SECONDS = 2
"""Of one attempt: DynamoDB answers within 10 ms, and a thread waits meanwhile."""
ATTEMPTS = 3
"""By botocore, with its back-off, for what is worth repeating: throttling, a lost connection, a 5xx."""
CONNECTIONS = 32
BATCH_GET, BATCH_WRITE = 100, 25  # limits of BatchGetItem and BatchWriteItem
MAX_ROUNDS = 8
"""How often a batch is repeated for what DynamoDB left out of its answer."""
REMEDIES = {
    "ResourceNotFoundException": "Make the table with `pratique store create --table NAME`",
    "AccessDeniedException": "Give the gateway's role the permissions that README lists",
    "UnrecognizedClientException": "Check the gateway's AWS credentials",
    "NoCredentialsError": "Give the gateway AWS credentials",
    "NoRegionError": "Set `pratique_dynamodb_region`",
    "ProvisionedThroughputExceededException": "Give the table more capacity, or on-demand billing",
}
_LOST = {"ConditionalCheckFailed", "TransactionConflict"}


class ConflictError(Exception):
    """A condition did not hold, or somebody changed the same item at the same time: read again."""


def client(region: str = "") -> Any:
    """boto3's client of the default credential chain. Raises StoreError: no region.

    Without a region it is AWS_REGION, which other SDKs read and boto3 does not, else as boto3 finds it.
    """
    import boto3  # noqa: PLC0415 - 70 ms that only gateways with a table need
    from botocore.config import Config  # noqa: PLC0415 - as boto3
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - as boto3

    config = Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        retries={"total_max_attempts": ATTEMPTS, "mode": "standard"},
        max_pool_connections=CONNECTIONS,
    )
    try:
        return boto3.session.Session(region_name=region or os.environ.get("AWS_REGION")).client(
            "dynamodb", config=config
        )
    except BotoCoreError as error:
        raise failure("DynamoDB", error) from None


class Table:
    """One table. Every method raises StoreError when it gets no answer that it can rely on. Safe in several threads."""

    def __init__(self, name: str, service: Any) -> None:
        self.name = name
        self._service = service
        self._is_closed = False

    # --- reading ---

    def get(self, key: Key) -> Item | None:
        found = self._call("get_item", Key=to_wire(key), ConsistentRead=True).get("Item")
        return None if found is None else from_wire(found)

    def get_many(self, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Item]:
        """By (partition, sort); those that exist."""
        wanted = [to_wire({PARTITION: partition, SORT: sort}) for partition, sort in dict.fromkeys(keys)]
        found: dict[tuple[str, str], Item] = {}
        for start in range(0, len(wanted), BATCH_GET):
            left = wanted[start : start + BATCH_GET]
            for _ in range(MAX_ROUNDS):
                answer = self._batch("batch_get_item", {"Keys": left, "ConsistentRead": True})
                items = map(from_wire, answer.get("Responses", {}).get(self.name, ()))
                found |= {(item[PARTITION], item[SORT]): item for item in items}
                left = answer.get("UnprocessedKeys", {}).get(self.name, {}).get("Keys", [])
                if not left:
                    break
            if left:
                raise StoreError(f"the table `{self.name}` is read in part only. Give it more capacity")
        return found

    def partition(self, partition: str, *, since: str = "") -> Iterator[Item]:
        """The items of a partition in order of their sort keys, from `since` on."""
        condition = f"{PARTITION} = :p" + (f" AND {SORT} >= :s" if since else "")
        values = {":p": partition} | ({":s": since} if since else {})
        return self._pages(
            KeyConditionExpression=condition, ExpressionAttributeValues=to_wire(values), ConsistentRead=True
        )

    def shelf(
        self,
        shelf: str,
        *,
        after: float | None = None,
        until: float | None = None,
        newest_first: bool = False,
        attributes: Sequence[str] = (),
    ) -> Iterator[Item]:
        """Items of the index in order of `at`: `after` < at <= `until`. Eventually consistent; one of the two at most."""
        condition, values = "#shelf = :shelf", {":shelf": shelf, ":at": after if until is None else until}
        named = {"#shelf": SHELF}
        if values[":at"] is not None:
            condition, named = f"{condition} AND #at {'>' if until is None else '<='} :at", named | {"#at": AT}
        arguments: dict[str, Any] = {
            "IndexName": INDEX,
            "KeyConditionExpression": condition,
            "ScanIndexForward": not newest_first,
            "ExpressionAttributeValues": to_wire(values),
        }
        if attributes:
            named |= {f"#{name}": name for name in attributes}
            arguments["ProjectionExpression"] = ", ".join(f"#{name}" for name in attributes)
        return self._pages(**arguments, ExpressionAttributeNames=named)

    def _pages(self, **arguments: Any) -> Iterator[Item]:
        while True:
            answer = self._call("query", **arguments)
            yield from map(from_wire, answer.get("Items", ()))
            if not (last := answer.get("LastEvaluatedKey")):
                return
            arguments["ExclusiveStartKey"] = last

    # --- writing ---

    def put(self, item: Item, **condition: Any) -> None:
        """Raises ConflictError: the condition does not hold."""
        self._call("put_item", Item=to_wire(item), **condition)

    def update(self, key: Key, **arguments: Any) -> Item:
        """The item as it is now. Raises ConflictError: the condition does not hold."""
        answer = self._call("update_item", Key=to_wire(key), ReturnValues="ALL_NEW", **arguments)
        return from_wire(answer.get("Attributes", {}))

    def delete_many(self, keys: Sequence[tuple[str, str]]) -> None:
        requests = [{"DeleteRequest": {"Key": to_wire({PARTITION: p, SORT: s})}} for p, s in dict.fromkeys(keys)]
        for start in range(0, len(requests), BATCH_WRITE):
            left = requests[start : start + BATCH_WRITE]
            for _ in range(MAX_ROUNDS):
                left = self._batch("batch_write_item", left).get("UnprocessedItems", {}).get(self.name, [])
                if not left:
                    break
            if left:
                raise StoreError(f"the table `{self.name}` is written in part only. Give it more capacity")

    def transact(self, writes: Sequence[tuple[str, Mapping[str, Any]]]) -> None:
        """All of (`Put` | `Update` | `Delete` | `ConditionCheck`, its arguments) or nothing, which is a ConflictError."""
        items = [{kind: {"TableName": self.name, **arguments}} for kind, arguments in writes]
        self._do("transact_write_items", TransactItems=items)

    def close(self) -> None:
        """Every later call is a StoreError."""
        self._is_closed = True
        self._service.close()

    # --- calls ---

    def _batch(self, operation: str, requests: Any) -> Any:
        return self._do(operation, RequestItems={self.name: requests})

    def _call(self, operation: str, **arguments: Any) -> Any:
        return self._do(operation, TableName=self.name, **arguments)

    def _do(self, operation: str, **arguments: Any) -> Any:
        if self._is_closed:
            raise StoreError(f"the table `{self.name}` is closed")
        call: Callable[..., Any] = getattr(self._service, operation)
        try:
            return call(**arguments)
        except Exception as error:  # noqa: BLE001 - boto3's errors have no common base; in doubt nothing is approved
            if _is_conflict(error):
                raise ConflictError from None
            raise failure(f"the table `{self.name}`", error) from None


def failure(what: str, error: Exception) -> StoreError:
    """With AWS's code, or the class: the text may quote a value."""
    code = str(getattr(error, "response", {}).get("Error", {}).get("Code", "")) or type(error).__name__
    return StoreError(f"{what} cannot be used: {code}. {REMEDIES.get(code, 'Repeat the request later')}")


def _is_conflict(error: Exception) -> bool:
    response = getattr(error, "response", {})
    code = response.get("Error", {}).get("Code", "")
    if code in {"ConditionalCheckFailedException", "TransactionConflictException"}:
        return True
    reasons = {reason.get("Code", "None") for reason in response.get("CancellationReasons", ())} - {"None"}
    return code == "TransactionCanceledException" and bool(reasons) and reasons <= _LOST
