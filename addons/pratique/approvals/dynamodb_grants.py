"""I/O: the grants of the store in DynamoDB; a part of `dynamodb_store`, mostly inside its transactions.

Belongs here: writes and reads of grants. Not here: what a grant covers (`grants`), which are live (`ledger`).
"""

from __future__ import annotations

from pratique.approvals import dynamodb_rows as rows
from pratique.approvals.dynamodb_changes import Change, Changes, failures
from pratique.approvals.dynamodb_finding import Finding
from pratique.approvals.grants import Grant
from pratique.approvals.transitions import State
from pratique.dynamodb.items import expression, names, to_wire
from pratique.dynamodb.layout import GRANTS, PARTITION, grant_key, grant_sort
from pratique.dynamodb.table import Table

REVOKED_AT_ONCE = 50
"""Unused approvals of a grant that end in one transaction, which may have 100 items and 4 MB."""


class DynamoGrants:
    def __init__(self, table: Table, changes: Changes, finding: Finding) -> None:
        self._table = table
        self._changes = changes
        self._finding = finding

    @staticmethod
    def give(grant: Grant, change: Change, now: float) -> None:
        change.ledger.give(grant, now)
        condition = {"ConditionExpression": f"attribute_not_exists({PARTITION})"}
        change.writes.append(("Put", {"Item": to_wire(rows.grant_item(grant)), **condition}))

    @staticmethod
    def use(grant: Grant, change: Change) -> None:
        """INVARIANT: counted in the same transaction, and nothing is used after the grant has ended."""
        update = {
            "Key": to_wire(grant_key(rows.sort_of(grant))),
            "UpdateExpression": "ADD #uses :one",
            "ConditionExpression": f"attribute_exists({PARTITION}) AND attribute_not_exists(revoked_at)",
            **names("uses"),
            **expression(one=1),
        }
        change.writes.append(("Update", update))

    def find(self, now: float, *, ended: bool, limit: int) -> list[Grant]:
        with failures():
            since = "" if ended else grant_sort("", now)
            found = [rows.grant_of(item) for item in self._table.partition(GRANTS, since=since)]
            found = [grant for grant in found if ended or grant.is_live(now)]
            return sorted(found, key=lambda grant: grant.created_at, reverse=True)[:limit]

    def revoke(self, grant_id: str, by: str, now: float) -> bool:
        live = self.find(now, ended=False, limit=1 << 30)
        grant = next((each for each in live if each.id == grant_id), None)
        if grant is None:
            return False
        note = f"{by} revoked grant {grant_id}"

        def work(change: Change) -> bool:
            if change.ledger.grant(grant_id, now) is None:
                return False
            change.ledger.take(grant_id)
            change.writes.append(("Update", _end(grant, by, now)))
            self._end_unused(grant_id, note, change, now)
            return True

        if not self._changes.make(grant.client, work):
            return False
        # The grant has ended, so that none of its approvals can be used; the others are written down as revoked.
        while self._changes.make(grant.client, lambda change: self._end_unused(grant_id, note, change, now)):
            pass
        return True

    def _end_unused(self, grant_id: str, note: str, change: Change, now: float) -> int:
        entries = change.ledger.entries.values()
        unused = [entry.id for entry in entries if entry.grant_id == grant_id and now < entry.expires_at]
        found = self._finding.some(unused[:REVOKED_AT_ONCE])
        for row in found.values():
            change.close(row, State.REVOKED, now, note)
        return len(found)


def _end(grant: Grant, by: str, now: float) -> dict[str, object]:
    return {
        "Key": to_wire(grant_key(rows.sort_of(grant))),
        "UpdateExpression": "SET revoked_at = :now, revoked_by = :by",
        "ConditionExpression": "attribute_not_exists(revoked_at)",
        **expression(now=now, by=by),
    }
