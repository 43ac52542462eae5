"""I/O: the revocations in a DynamoDB table that several replicas share.

Belongs here: its items. Not here: what a revocation is (`pratique.revocation`), the table (`pratique.dynamodb`).

Those that were not lifted are one partition, read whole and consistently. A lifted one moves to another in one transaction.
"""

from __future__ import annotations

from collections.abc import Hashable
from itertools import chain
from typing import Any

from pratique.dynamodb.items import Item, to_wire
from pratique.dynamodb.layout import PARTITION, SORT, TTL, ttl
from pratique.dynamodb.table import ConflictError, Table
from pratique.dynamodb.versions import REVOCATIONS as VERSION
from pratique.dynamodb.versions import Versions
from pratique.errors import Refused, StoreError
from pratique.revocation import MAX_IN_FORCE, Kind, Revocation, check

STANDING, ENDED = "REVOCATIONS", "REVOCATIONS-ENDED"
_ABSENT = {"ConditionExpression": f"attribute_not_exists({PARTITION})"}
_PRESENT = {"ConditionExpression": f"attribute_exists({PARTITION})"}


class DynamoRevocations:
    """`RevocationStore` in a table. Safe to use from several threads, processes and machines; its owner closes the table."""

    def __init__(self, table: Table, versions: Versions, *, max_in_force: int = MAX_IN_FORCE) -> None:
        self._table = table
        self._versions = versions
        self._max_in_force = max_in_force

    def revoke(self, revocation: Revocation) -> None:
        check(revocation)
        standing = len(self.in_force(revocation.at))
        if standing >= self._max_in_force:
            message = f"{standing} revocations are in force already. Lift those that are not needed"
            raise Refused(429, "TooManyRequests", message, rule="revocation")
        ended = {"Key": to_wire({PARTITION: ENDED, SORT: revocation.id}), **_ABSENT}
        try:
            self._table.transact([("Put", {"Item": _item(STANDING, revocation), **_ABSENT}), ("ConditionCheck", ended)])
        except ConflictError:
            raise Refused(409, "Conflict", f"`{revocation.id}` exists already", rule="revocation") from None
        self._versions.bump(VERSION)

    def lift(self, revocation_id: str, by: str, now: float) -> bool:
        item = self._table.get({PARTITION: STANDING, SORT: revocation_id})
        found = None if item is None else _revocation(item)
        if found is None or not found.in_force(now):
            return False
        lifted = _item(ENDED, found, lifted_at=now, lifted_by=by)
        gone = {"Key": to_wire({PARTITION: STANDING, SORT: revocation_id}), **_PRESENT}
        try:
            self._table.transact([("Delete", gone), ("Put", {"Item": lifted})])
        except ConflictError:
            return False
        self._versions.bump(VERSION)
        return True

    def in_force(self, now: float) -> tuple[Revocation, ...]:
        found = map(_revocation, self._table.partition(STANDING))
        return tuple(each for each in found if each.in_force(now))

    def find(self, *, limit: int = 100) -> list[Revocation]:
        found = map(_revocation, chain(self._table.partition(STANDING), self._table.partition(ENDED)))
        return sorted(found, key=lambda each: each.at, reverse=True)[:limit]

    def version(self) -> Hashable:
        return self._versions.read(VERSION)

    def close(self) -> None:
        """Nothing to end."""


def _item(partition: str, revocation: Revocation, **changed: Any) -> dict[str, Any]:
    names = ("name", "reason", "by", "at", "until", "lifted_at", "lifted_by")
    fields: Item = {name: getattr(revocation, name) for name in names} | changed
    end = fields["lifted_at"] if fields["lifted_at"] is not None else fields["until"]
    keys = {PARTITION: partition, SORT: revocation.id, TTL: None if end is None else ttl(end)}
    return to_wire(keys | {"kind": revocation.kind.value} | fields)


def _revocation(item: Item) -> Revocation:
    """Raises StoreError: the item was not written by us."""
    try:
        times = {name: _time(item.get(name)) for name in ("until", "lifted_at")}
        texts = {name: str(item[name]) for name in ("name", "reason", "by", "lifted_by")}
        return Revocation(id=item[SORT], kind=Kind(item["kind"]), at=float(item["at"]), **times, **texts)  # type: ignore[arg-type]
    except (KeyError, ValueError, TypeError) as error:
        text = f"a revocation in the table cannot be read: {type(error).__name__}"
        raise StoreError(f"{text}. Use the release that wrote it") from error


def _time(value: Any) -> float | None:
    return None if value is None else float(value)
