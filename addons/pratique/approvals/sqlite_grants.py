"""I/O: the grants of a SQLite store; a part of `sqlite_store`, inside its transactions.

Belongs here: the SQL of grants. Not here: what a grant covers (`grants`), the tables (`sqlite_schema`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import msgspec

from pratique.approvals.grants import Asked, Grant, GrantKind, Scope, Wish
from pratique.approvals.store import Approval, Decided
from pratique.sqlite_file import SqliteFile

_LIVE = """
SELECT * FROM grants WHERE client = ? AND cluster = ? AND expires_at > ? AND revoked_at IS NULL ORDER BY created_at DESC
"""
_FIND = """
SELECT * FROM grants WHERE :ended OR (expires_at > :now AND revoked_at IS NULL) ORDER BY created_at DESC LIMIT :limit
"""
_INSERT = """
INSERT INTO grants VALUES (:id, :approval_id, :client, :cluster, :kind, :rules, :created_at, :expires_at, :fingerprint,
  :scope, :session, :reviewers, :reason, 0, NULL, '')
"""
_REVOKE = "UPDATE grants SET revoked_at = ?, revoked_by = ? WHERE id = ? AND revoked_at IS NULL AND expires_at > ?"


class SqliteGrants:
    """Called with the store's lock held."""

    def __init__(self, file: SqliteFile) -> None:
        self._file = file

    def give(self, approval: Approval, decisions: Sequence[Decided], wish: Wish, now: float, grant_id: str) -> None:
        """Keeps what was granted beyond one use; nothing if nothing was."""
        if wish.kind is GrantKind.ONCE:
            return
        question = approval.question
        values = {
            "id": grant_id,
            "approval_id": approval.id,
            "client": question.client,
            "cluster": question.cluster,
            "kind": wish.kind.value,
            "rules": _json(question.summary.rules),
            "created_at": now,
            "expires_at": now + wish.seconds,
            "fingerprint": "" if wish.scope is not None else question.fingerprint,
            "scope": _json(wish.scope),
            "session": question.session if wish.kind is GrantKind.SESSION else "",
            "reviewers": _json([each.reviewer for each in decisions]),
            "reason": decisions[-1].reason,
        }
        self._file.db.execute(_INSERT, values)

    def covering(self, asked: Asked, now: float) -> Grant | None:
        """The newest live grant that covers a request."""
        rows = self._file.db.execute(_LIVE, (asked.client, asked.cluster, now))
        return next((grant for grant in map(_grant, rows) if grant.covers(asked, now)), None)

    def find(self, now: float, *, ended: bool, limit: int) -> list[Grant]:
        values = {"now": now, "ended": ended, "limit": limit}
        return [_grant(row) for row in self._file.db.execute(_FIND, values)]

    def revoke(self, grant_id: str, by: str, now: float) -> bool:
        return self._file.db.execute(_REVOKE, (now, by, grant_id, now)).rowcount == 1


def _grant(row: sqlite3.Row) -> Grant:
    return Grant(
        id=row["id"],
        approval_id=row["approval_id"],
        client=row["client"],
        cluster=row["cluster"],
        kind=GrantKind(row["kind"]),
        rules=tuple(msgspec.json.decode(row["rules"], type=list[str])),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        fingerprint=row["fingerprint"],
        scope=msgspec.json.decode(row["scope"], type=Scope | None),
        session=row["session"],
        reviewers=tuple(msgspec.json.decode(row["reviewers"], type=list[str])),
        reason=row["reason"],
        uses=row["uses"],
        revoked_at=row["revoked_at"],
        revoked_by=row["revoked_by"],
    )


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()
