"""The tables of approvals and grants, their statements, and rows as values.

Belongs here: SQL text and its translation. Not here: when it runs (`sqlite_store`, `sqlite_grants`). Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import msgspec

from pratique.approvals.deciding import Decision
from pratique.approvals.grants import Target, Wish
from pratique.approvals.store import Approval, Decided, Question, Summary
from pratique.approvals.transitions import State, state_at
from pratique.verdict import ApprovalTerms


class Row(Protocol):
    """`sqlite3.Row`, or a mapping."""

    def __getitem__(self, name: str, /) -> Any: ...


_VERSION_1 = """
CREATE TABLE approvals (
  id TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, client TEXT NOT NULL, cluster TEXT NOT NULL,
  state TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL,
  attempts INTEGER NOT NULL, last_attempt_at REAL NOT NULL, closed_at REAL,
  summary TEXT NOT NULL, terms TEXT NOT NULL, size INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX one_open ON approvals (fingerprint) WHERE state IN ('pending', 'approved');
CREATE INDEX by_state ON approvals (state, client);
CREATE INDEX by_fingerprint ON approvals (fingerprint, state);
CREATE TABLE decisions (
  approval_id TEXT NOT NULL REFERENCES approvals (id) ON DELETE CASCADE, person TEXT NOT NULL,
  reviewer TEXT NOT NULL, decision TEXT NOT NULL, reason TEXT NOT NULL, at REAL NOT NULL,
  PRIMARY KEY (approval_id, person)
) STRICT;
"""
# A use under a grant is an approval of its own, so that several of one fingerprint may be open then. What is large (the
# body, the difference) is kept apart: a list, which reviewers' pages ask for every two seconds, does not read it.
_VERSION_2 = """
ALTER TABLE approvals ADD COLUMN intent TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN session TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN target TEXT NOT NULL DEFAULT '{}';
ALTER TABLE approvals ADD COLUMN grant_id TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN supersedes TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN repeats TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN withdrawn_at REAL;
ALTER TABLE approvals ADD COLUMN note TEXT NOT NULL DEFAULT '';
ALTER TABLE approvals ADD COLUMN detail TEXT NOT NULL DEFAULT '{}';
UPDATE approvals SET detail = json_object('body', json_extract(summary, '$.body')), summary = json_set(summary, '$.body', '')
  WHERE json_extract(summary, '$.body') IS NOT NULL;
ALTER TABLE decisions ADD COLUMN wish TEXT NOT NULL DEFAULT '{}';
DROP INDEX one_open;
CREATE UNIQUE INDEX one_open ON approvals (fingerprint) WHERE state IN ('pending', 'approved') AND grant_id = '';
CREATE INDEX by_intent ON approvals (intent, created_at);
CREATE INDEX by_grant ON approvals (grant_id);
CREATE INDEX by_time ON approvals (created_at);
CREATE TABLE grants (
  id TEXT PRIMARY KEY, approval_id TEXT NOT NULL, client TEXT NOT NULL, cluster TEXT NOT NULL, kind TEXT NOT NULL,
  rules TEXT NOT NULL, created_at REAL NOT NULL, expires_at REAL NOT NULL, fingerprint TEXT NOT NULL, scope TEXT NOT NULL,
  session TEXT NOT NULL, reviewers TEXT NOT NULL, reason TEXT NOT NULL, uses INTEGER NOT NULL, revoked_at REAL,
  revoked_by TEXT NOT NULL
) STRICT;
CREATE INDEX live_grants ON grants (client, cluster, expires_at);
"""
MIGRATIONS = (_VERSION_1, _VERSION_2)


class _Detail(msgspec.Struct, frozen=True):
    """What of a summary is kept apart."""

    body: str = ""
    difference: tuple[str, ...] = ()


# Nobody decided about an expired pending one; its body goes, or refused floods would fill the disk. The rest stays.
EXPIRE = """
UPDATE approvals SET
  summary = CASE state WHEN 'pending' THEN json_remove(summary, '$.effect') ELSE summary END,
  detail = CASE state WHEN 'pending' THEN '{}' ELSE detail END,
  state = 'expired', closed_at = :now
WHERE state IN ('pending', 'approved') AND expires_at <= :now
"""
ATTEMPT = "UPDATE approvals SET attempts = attempts + 1, last_attempt_at = :now WHERE id = :id"
STANDING = """
SELECT id, state FROM approvals WHERE fingerprint = :fingerprint AND client = :client AND grant_id = ''
  AND (state IN ('pending', 'approved') OR (state = 'denied' AND closed_at > :denied_since))
ORDER BY state = 'denied', closed_at DESC
"""
SUPERSEDED = """
SELECT id FROM approvals WHERE intent = :intent AND intent <> '' AND client = :client AND fingerprint <> :fingerprint
  AND (state = 'pending' OR last_attempt_at > :since)
ORDER BY created_at DESC LIMIT 1
"""
REPEATED = """
SELECT id FROM approvals WHERE fingerprint = :fingerprint AND client = :client AND state = 'used' AND closed_at > :since
ORDER BY closed_at DESC LIMIT 1
"""
NEWEST = """
SELECT id, fingerprint, client, cluster, state, created_at, expires_at, attempts, last_attempt_at, closed_at, summary, terms,
  intent, session, target, grant_id, supersedes, repeats, withdrawn_at, note, '{}' AS detail
FROM approvals WHERE (:client IS NULL OR client = :client)
  AND (:states IS NULL OR state IN (SELECT value FROM json_each(:states))) ORDER BY created_at DESC, id
"""
STATES = "SELECT id, state, expires_at FROM approvals WHERE id IN (SELECT value FROM json_each(?))"
DECISIONS = "SELECT * FROM decisions WHERE approval_id = ? ORDER BY at, rowid"
DECISION = """
INSERT INTO decisions (approval_id, person, reviewer, decision, reason, at, wish)
VALUES (:approval_id, :person, :reviewer, :decision, :reason, :at, :wish)
"""
APPROVE = (
    "UPDATE approvals SET state = 'approved', expires_at = max(expires_at, :until) WHERE id = :id AND state = 'pending'"
)
# INVARIANT: the one statement that uses an approval up. It counts for one caller, and not after its grant has ended.
CONSUME = """
UPDATE approvals SET state = 'used', closed_at = :now
WHERE id = :id AND state = 'approved' AND expires_at > :now AND fingerprint = :fingerprint AND client = :client
  AND (grant_id = '' OR EXISTS (
    SELECT 1 FROM grants WHERE grants.id = grant_id AND revoked_at IS NULL AND grants.expires_at > :now))
"""
COUNT_USE = "UPDATE grants SET uses = uses + 1 WHERE id = (SELECT grant_id FROM approvals WHERE approvals.id = :id)"
CLOSE = "UPDATE approvals SET state = :state, closed_at = :now, note = :note WHERE id = :id"
WITHDRAW = "UPDATE approvals SET withdrawn_at = :now WHERE id = :id AND state = 'used' AND withdrawn_at IS NULL"
WITHDRAWN = "SELECT id FROM approvals WHERE withdrawn_at IS NOT NULL AND id IN (SELECT value FROM json_each(?))"
REVOKE_BY_GRANT = """
UPDATE approvals SET state = 'revoked', closed_at = :now, note = :note
WHERE grant_id = :grant_id AND state = 'approved'
"""
WITHDRAW_BY_GRANT = """
UPDATE approvals SET withdrawn_at = :now
WHERE state = 'used' AND withdrawn_at IS NULL
  AND (grant_id = :grant_id OR id = (SELECT approval_id FROM grants WHERE grants.id = :grant_id))
"""
PRUNE = "DELETE FROM approvals WHERE closed_at < ?"
QUOTA = """
SELECT coalesce(sum(state = 'pending' AND client = ?), 0), coalesce(sum(size), 0) FROM approvals
WHERE state IN ('pending', 'approved')
"""


type Columns = dict[str, Any]


def row_of(question: Question) -> Columns:
    """The columns that a question fills. `size` is in bytes. Raises UnicodeEncodeError: text that is none."""
    light, detail = _parted(question.summary)
    summary = msgspec.json.encode(light).decode()
    large = msgspec.json.encode(detail).decode()
    return {
        "fingerprint": question.fingerprint,
        "client": question.client,
        "cluster": question.cluster,
        "summary": summary,
        "terms": msgspec.json.encode(question.terms).decode(),
        "target": msgspec.json.encode(question.target).decode(),
        "session": question.session,
        "intent": question.intent,
        "detail": large,
        "size": len(summary.encode()) + len(large.encode()),
    }


def _parted(summary: Summary) -> tuple[Summary, _Detail]:
    effect = summary.effect
    light = replace(summary, body="", effect=None if effect is None else replace(effect, difference=()))
    return light, _Detail(summary.body, () if effect is None else effect.difference)


def _whole(summary: Summary, detail: _Detail) -> Summary:
    effect = summary.effect
    return replace(
        summary, body=detail.body, effect=None if effect is None else replace(effect, difference=detail.difference)
    )


def decision_row(approval_id: str, decided: Decided) -> Columns:
    return {
        "approval_id": approval_id,
        "person": decided.person.casefold(),
        "reviewer": decided.reviewer,
        "decision": decided.decision.value,
        "reason": decided.reason,
        "at": decided.at,
        "wish": msgspec.json.encode(decided.wish).decode(),
    }


def approval_of(row: Row, decisions: Sequence[Row], now: float) -> Approval:
    """Raises msgspec.MsgspecError or ValueError: the row was not written by us."""
    question = Question(
        row["fingerprint"],
        row["client"],
        row["cluster"],
        _whole(msgspec.json.decode(row["summary"], type=Summary), msgspec.json.decode(row["detail"], type=_Detail)),
        msgspec.json.decode(row["terms"], type=ApprovalTerms),
        msgspec.json.decode(row["target"], type=Target),
        row["session"],
        row["intent"],
    )
    return Approval(
        id=row["id"],
        question=question,
        state=state_at(State(row["state"]), row["expires_at"], now),
        created_at=row["created_at"],
        expires_at=row["expires_at"],
        attempts=row["attempts"],
        last_attempt_at=row["last_attempt_at"],
        closed_at=row["closed_at"],
        decisions=tuple(_decided(decision) for decision in decisions),
        grant_id=row["grant_id"],
        supersedes=row["supersedes"],
        repeats=row["repeats"],
        withdrawn_at=row["withdrawn_at"],
        note=row["note"],
    )


def _decided(row: Row) -> Decided:
    wish = msgspec.json.decode(row["wish"], type=Wish)
    return Decided(row["reviewer"], Decision(row["decision"]), row["reason"], row["at"], row["person"], wish)
