"""I/O: which messages to webhooks are due, in a DynamoDB table that several replicas share.

Belongs here: claiming. Not here: what is sent, when it is tried again (`webhooks`), sending (`notifying`).

Every replica notices what happens, and puts it in: the first one counts. Whoever finds a message due claims it by putting
its time forward, which succeeds for one. A replica that dies with a claim leaves it to the others when the claim has run
out, so that a message is sent at least once, always with the same idempotency key.
"""

from __future__ import annotations

from collections import OrderedDict

from pratique.approvals.outbox import Message
from pratique.approvals.webhooks import EventName
from pratique.dynamodb.items import Item, expression, names
from pratique.dynamodb.layout import AT, MESSAGE_SHELF, PARTITION, SHELF, SORT, TTL, Key, ttl
from pratique.dynamodb.table import ConflictError, Table

CLAIM_SECONDS = 60.0
"""Longer than sending takes (10 s) with some waiting for a thread."""
MAX_KNOWN = 20_000
"""Messages that this process knows to be in the table, so that it does not ask again; the oldest is forgotten."""
_ABSENT = {"ConditionExpression": f"attribute_not_exists({PARTITION})"}


class DynamoOutbox:
    """`Outbox` in a table. Forgets by the table's TTL. The table is closed by its store."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self._known: OrderedDict[str, None] = OrderedDict()

    def since(self, webhook: str, now: float) -> float:
        key = {PARTITION: f"RECEIVER#{webhook}", SORT: "R"}
        found = self._table.get(key)
        if found is None:
            try:
                self._table.put({**key, "since": now}, **_ABSENT)
            except ConflictError:
                return self.since(webhook, now)
            return now
        return float(found["since"])

    def add(self, messages: list[Message], now: float) -> int:
        wanted = {_key(each)[PARTITION]: each for each in messages}
        fresh = {partition: each for partition, each in wanted.items() if partition not in self._known}
        there = {partition for partition, _ in self._table.get_many([(partition, "M") for partition in fresh])}
        added = sum(self._put(each, now) for partition, each in fresh.items() if partition not in there)
        self._remember(list(fresh))
        return added

    def due(self, now: float, limit: int) -> list[Message]:
        """Claims them. The index may lag: a claim is a condition on the item itself."""
        claimed: list[Message] = []
        for item in self._table.shelf(MESSAGE_SHELF, until=now):
            if len(claimed) >= limit:
                break
            try:
                claimed.append(_message(self._claim(item, now)))
            except ConflictError:
                continue  # another replica's
        return claimed

    def end(self, message: Message, outcome: str, now: float) -> None:
        self._table.update(
            _key(message),
            UpdateExpression="SET ended_at = :now, outcome = :outcome, #ttl = :ttl ADD attempts :one REMOVE #shelf, #at",
            ExpressionAttributeNames={"#ttl": TTL, "#shelf": SHELF, "#at": AT},
            **expression(now=now, outcome=outcome, ttl=ttl(now), one=1),
        )

    def again(self, message: Message, outcome: str, next_at: float) -> None:
        self._table.update(
            _key(message),
            UpdateExpression="SET #at = :next, outcome = :outcome ADD attempts :one",
            **names(AT),
            **expression(next=next_at, outcome=outcome, one=1),
        )

    def prune(self, ended_before: float) -> int:  # noqa: ARG002 - the table forgets by itself
        return 0

    def close(self) -> None:
        """Nothing to end."""

    def _claim(self, item: Item, now: float) -> Item:
        return self._table.update(
            {PARTITION: item[PARTITION], SORT: item[SORT]},
            UpdateExpression="SET #at = :until",
            ConditionExpression="#at = :seen",
            **names(AT),
            **expression(until=now + CLAIM_SECONDS, seen=item[AT]),
        )

    def _put(self, message: Message, now: float) -> bool:
        item = {
            **_key(message),
            "webhook": message.webhook,
            "approval_id": message.approval_id,
            "event": message.event.value,
            "attempts": 0,
            "outcome": "",
            SHELF: MESSAGE_SHELF,
            AT: now,
            TTL: ttl(now),
        }
        try:
            self._table.put(item, **_ABSENT)
        except ConflictError:
            return False
        return True

    def _remember(self, partitions: list[str]) -> None:
        self._known |= dict.fromkeys(partitions)
        while len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)


def _key(message: Message) -> Key:
    return {PARTITION: f"MESSAGE#{message.webhook}#{message.approval_id}#{message.event.value}", SORT: "M"}


def _message(item: Item) -> Message:
    return Message(item["webhook"], item["approval_id"], EventName(item["event"]), int(item["attempts"]))
