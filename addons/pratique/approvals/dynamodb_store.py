"""I/O: the store of approvals in a DynamoDB table: for several replicas of the gateway.

Belongs here: what each method of `ApprovalStore` reads and writes. Not here: the transaction around it
(`dynamodb_changes`), what a client's ledger says (`ledger`), items (`dynamodb_rows`), keys (`pratique.dynamodb.layout`).

What is decided is decided by strongly consistent reads and one transaction. Only lists (`find`), finding what has expired,
and the sum of all open questions read the index, which may lag by moments. Times are the caller's: replicas whose clocks
differ by a second differ by a second about when something expires.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Collection

from pratique.approvals import dynamodb_rows as rows
from pratique.approvals import sqlite_schema as schema
from pratique.approvals.deciding import Decision, quorum_reached
from pratique.approvals.dynamodb_changes import Change, Changes, failures
from pratique.approvals.dynamodb_finding import Finding
from pratique.approvals.dynamodb_grants import DynamoGrants
from pratique.approvals.grants import Grant, Wish, narrowest
from pratique.approvals.ledger import Ledger, grant_of
from pratique.approvals.steps import after, check_quota, check_reason, grant_id_of, new_id, unknown
from pratique.approvals.store import (
    APPROVED_FOR_SECONDS,
    MAX_OPEN_BYTES,
    MAX_PENDING_PER_CLIENT,
    Approval,
    Decided,
    Question,
)
from pratique.approvals.transitions import Event, State, transition
from pratique.dynamodb.items import expression, names
from pratique.dynamodb.layout import approval_key
from pratique.dynamodb.table import Table
from pratique.dynamodb.versions import APPROVALS, Versions
from pratique.errors import Refused, StoreError

EXPIRED_AT_ONCE = 20
"""Written down in one transaction, which may have 100 items and 4 MB."""


class DynamoStore:
    """`ApprovalStore` in a table. Safe to use from several threads, processes and machines."""

    def __init__(
        self,
        table: Table,
        versions: Versions,
        *,
        new_id: Callable[[], str] = new_id,
        max_pending: int = MAX_PENDING_PER_CLIENT,
        max_open_bytes: int = MAX_OPEN_BYTES,
        changes: Changes | None = None,
    ) -> None:
        self._table = table
        self._versions = versions
        self._new_id = new_id
        self._max_pending = max_pending
        self._max_open_bytes = max_open_bytes
        self._changes = changes or Changes(table, versions)
        self._finding = Finding(table)
        self._grants = DynamoGrants(table, self._changes, self._finding)

    # --- asking ---

    def ask(self, question: Question, now: float) -> Approval:
        # Before the transaction: a body may have 3 MiB, and an attempt that is repeated writes the same.
        asked = _columns(question) | {"id": self._new_id(), "nonce": secrets.token_hex(4)}

        def work(change: Change) -> str:
            self._write_expired(change, now)
            change.ledger.forget(now)
            return self._joined(question, asked, change, now) or self._asked(question, asked, change, now)

        return self._got(self._changes.make(question.client, work), now)

    def is_new(self, question: Question, now: float) -> bool:
        asked = _columns(question)
        with failures():
            ledger = self._changes.ledger(question.client)
            if ledger.standing(question.fingerprint, now) or ledger.covering(question.asked, now):
                return False
            self._check_quota(question, int(asked["size"]), ledger, now)
            return True

    def _joined(self, question: Question, asked: rows.Row, change: Change, now: float) -> str:
        """The id of what a grant or an earlier question answers; "" if neither does."""
        standing = change.ledger.standing(question.fingerprint, now)
        row = self._finding.row(standing[0]) if standing is not None else None
        if row is None or row["state"] == State.PENDING:
            grant = change.ledger.covering(question.asked, now)
            if grant is not None:
                return self._granted(question, asked, grant, row, change, now)
        if row is None:
            return ""
        row |= {"attempts": row["attempts"] + 1, "last_attempt_at": now}
        change.ledger.attempted(row["id"], now)
        change.keep(row, State(row["state"]))
        return str(row["id"])

    def _granted(  # noqa: PLR0917 - what meets here
        self,
        question: Question,
        asked: rows.Row,
        grant: Grant,
        pending: rows.Row | None,
        change: Change,
        now: float,
    ) -> str:
        """A use of its own under the grant. Whoever waits for the same thing is told to repeat it, and is granted."""
        if pending is not None:
            change.close(pending, State.CANCELLED, now, f"grant {grant.id} covers it")
        given = {
            "state": State.APPROVED.value,
            "expires_at": min(grant.expires_at, now + APPROVED_FOR_SECONDS),
            "grant_id": grant.id,
            "grant_sort": rows.sort_of(grant),
        }
        return self._insert(question, asked | given, change, now)

    def _asked(self, question: Question, asked: rows.Row, change: Change, now: float) -> str:
        self._check_quota(question, int(asked["size"]), change.ledger, now)
        until = now + question.terms.expires_after
        given = {"state": State.PENDING.value, "expires_at": until, "grant_id": "", "grant_sort": None}
        return self._insert(question, asked | given, change, now)

    def _insert(self, question: Question, asked: rows.Row, change: Change, now: float) -> str:
        large = rows.pieces(asked["id"], asked["nonce"], asked.pop("detail"), asked["expires_at"])
        row = asked | {
            "created_at": now,
            "closed_at": None,
            "attempts": 1,
            "last_attempt_at": now,
            "supersedes": change.ledger.supersedes(question, now),
            "repeats": change.ledger.repeats(question, now),
            "note": "",
            "decisions": "[]",
            "pieces": len(large),
        }
        for piece in large:  # what is lost here, its TTL removes
            self._table.put(piece)
        change.open(row, question)
        return str(row["id"])

    def _check_quota(self, question: Question, size: int, ledger: Ledger, now: float) -> None:
        most, pending = min(self._max_pending, question.max_pending), ledger.pending(now)
        check_quota(question.client, pending, most, size, self._max_open_bytes)
        free = self._max_open_bytes - self._finding.open_bytes(now)
        check_quota(question.client, pending, most, size, free)

    # --- reading ---

    def get(self, approval_id: str, now: float) -> Approval | None:
        return self._finding.get(approval_id, now)

    def find(
        self, now: float, states: Collection[State] = (), client: str | None = None, limit: int = 100
    ) -> list[Approval]:
        return self._finding.find(now, states, client, limit)

    def states(self, approval_ids: Collection[str], now: float) -> dict[str, State]:
        return self._finding.states(approval_ids, now)

    def withdrawn(self, approval_ids: Collection[str]) -> set[str]:
        return self._finding.withdrawn(approval_ids)

    def grants(self, now: float, *, ended: bool = False, limit: int = 100) -> list[Grant]:
        return self._grants.find(now, ended=ended, limit=limit)

    def version(self) -> tuple[int, int]:
        return self._versions.read(APPROVALS)

    # --- deciding and using ---

    def decide(
        self,
        approval_id: str,
        decision: Decision,
        reviewer: str,
        reason: str,
        now: float,
        *,
        wish: Wish | None = None,
        person: str = "",
    ) -> Approval:
        check_reason(reason)
        decided = Decided(reviewer, decision, reason, now, person or reviewer, wish or Wish())

        def work(change: Change) -> None:
            row = self._finding.row(approval_id)
            if row is None:
                raise unknown(approval_id)
            self._decide(row, decided, change, now)

        self._changes.make(self._client_of(approval_id), work)
        return self._got(approval_id, now)

    def _decide(self, row: rows.Row, decided: Decided, change: Change, now: float) -> None:
        approval = rows.approval_of(row, now)
        state = after(approval, decided, now)
        rows.decided(row, decided)
        decisions = (*approval.decisions, decided)
        if state is State.DENIED:
            change.close(row, state, now)
            return
        if quorum_reached([each.person for each in decisions], approval.question.terms):
            agreed = narrowest([each.wish for each in decisions])
            row |= {"state": State.APPROVED.value, "expires_at": change.ledger.approve(row["id"], now)}
            grant = grant_of(approval, decisions, agreed, now, grant_id_of(self._new_id()))
            if grant is not None:
                self._grants.give(grant, change, now)
                row["gave_sort"] = rows.sort_of(grant)
        change.keep(row, State.PENDING)

    def consume(self, approval_id: str, fingerprint: str, client: str, now: float) -> bool:
        def work(change: Change) -> bool:
            entry = change.ledger.entries.get(approval_id)
            if entry is None or (entry.fingerprint, entry.state) != (fingerprint, State.APPROVED):
                return False
            grant = change.ledger.grant(entry.grant_id, now) if entry.grant_id else None
            if now >= entry.expires_at or (entry.grant_id and grant is None):
                return False
            row = self._finding.row(approval_id)
            if row is None or (row["state"], row["client"]) != (State.APPROVED, client):
                return False
            if grant is not None:
                self._grants.use(grant, change)
            change.close(row, State.USED, now)
            return True

        return self._changes.make(client, work)

    # --- ending ---

    def cancel(self, approval_id: str, now: float, note: str = "") -> bool:
        return self._end(approval_id, Event.CANCEL, now, note)

    def revoke(self, approval_id: str, now: float, note: str = "") -> bool:
        return self._end(approval_id, Event.REVOKE, now, note)

    def withdraw(self, approval_id: str, now: float) -> bool:
        approval = self.get(approval_id, now)
        if approval is None or approval.withdrawn_at is not None:
            return False
        return self._changes.touch(
            lambda: self._table.update(
                approval_key(approval_id),
                UpdateExpression="SET withdrawn_at = :now",
                ConditionExpression="#state = :used AND attribute_not_exists(withdrawn_at)",
                **names("state"),
                **expression(now=now, used=State.USED.value),
            )
        )

    def revoke_grant(self, grant_id: str, by: str, now: float) -> bool:
        return self._grants.revoke(grant_id, by, now)

    def expire(self, now: float) -> int:
        with failures():
            clients = self._finding.clients_with_expired(now)
        return sum(self._expire(client, now) for client in clients)

    def prune(self, closed_before: float) -> int:
        with failures():
            old = self._finding.closed_before(closed_before)
            self._table.delete_many([key for row in old for key in rows.piece_keys(row)])
            self._table.delete_many([(key["pk"], key["sk"]) for key in (approval_key(row["id"]) for row in old)])
        if old:
            self._changes.touch(lambda: None)
        return len(old)

    def close(self) -> None:
        self._table.close()

    def _end(self, approval_id: str, event: Event, now: float, note: str) -> bool:
        def work(change: Change) -> bool:
            row = self._finding.row(approval_id)
            if row is None or approval_id not in change.ledger.entries:
                return False
            try:
                state = transition(State(row["state"]), event, row["expires_at"], now)
            except Refused:
                return False
            change.close(row, state, now, note)
            return True

        found = self._finding.row(approval_id)
        return found is not None and self._changes.make(found["client"], work)

    def _expire(self, client: str, now: float) -> int:
        """Writes down what of a client has expired; how many."""
        count = 0
        while written := self._changes.make(client, lambda change: self._write_expired(change, now)):
            count += written
        return count

    def _write_expired(self, change: Change, now: float) -> int:
        """Nobody decided about an expired pending one; its body goes, or refused floods would fill the table."""
        overdue = change.ledger.overdue(now)[:EXPIRED_AT_ONCE]
        found = self._finding.some([entry.id for entry in overdue])
        for entry in overdue:
            row = found.get(entry.id)
            if row is None:
                raise StoreError(f"the approval `{entry.id}` is not in the store")
            if row["state"] == State.PENDING:
                change.gone += rows.piece_keys(row)
                rows.without_effect(row)
            change.close(row, State.EXPIRED, now)
        return len(overdue)

    # --- helpers ---

    def _client_of(self, approval_id: str) -> str:
        found = self._finding.row(approval_id)
        if found is None:
            raise unknown(approval_id)
        return str(found["client"])

    def _got(self, approval_id: str, now: float) -> Approval:
        found = self.get(approval_id, now)
        if found is None:
            raise StoreError(f"the approval `{approval_id}` is not in the store")
        return found


def _columns(question: Question) -> rows.Row:
    try:
        return schema.row_of(question)
    except UnicodeEncodeError as error:
        raise StoreError("the question holds text that cannot be stored") from error
