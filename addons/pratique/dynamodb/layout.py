"""The table's keys and items, in one place: a single table, whose items are told apart by their partition key.

Belongs here: names of attributes, partition and sort keys, how long what is over is kept. Not here: what is in an item (the
stores). Pure.

==================  ===============================  ============================================================
`pk`                `sk`                             what
==================  ===============================  ============================================================
`A#<id>`            `A`                              an approval, without what is large
`A#<id>`            `D#<nonce>#<number>`             a piece of its body and difference, compressed
`C#<client>`        `L`                              the client's ledger: what is open, live grants; with a revision
`GRANTS`            `<expiry>#<id>`                  a grant
`VERSIONS`          `V`                              counters, one for approvals and one for revocations
`MESSAGE#<key>`     `M`                              a message to a webhook
`RECEIVER#<name>`   `R`                              since when a webhook is known
`S#<session>`       `S`                              a recorded session: whose, when, on which replica
`COUNT#<client>`    `<day>`                          how much of its budget a client has used
`LINK-KEY`          `K`                              the key that links in messages are signed with
`REVOCATIONS`       `<id>`                           a revocation; those that were lifted are in `REVOCATIONS-ENDED`
==================  ===============================  ============================================================

The index `shelves` lists approvals (`open` by when they expire, `closed` by when they were asked), messages (by when they are due) and
sessions (by when they were opened). It is eventually consistent, so nothing is decided by it.
"""

from __future__ import annotations

PARTITION, SORT = "pk", "sk"
INDEX, SHELF, AT = "shelves", "shelf", "at"
TTL = "expiresAt"
"""Seconds since the epoch, whole: DynamoDB removes the item some time after it. Nothing that still counts has passed it."""
KEEP_SECONDS = 100 * 86400.0
"""After the end of an item's use. Longer than closed approvals are kept by their store (90 days)."""
OPEN_SHELF, CLOSED_SHELF, MESSAGE_SHELF, SESSION_SHELF = "open", "closed", "messages", "sessions"
SCHEMA = 1
"""Of this layout. A table with a higher one is of a later release, and is not touched."""

type Key = dict[str, str]


def approval_key(approval_id: str) -> Key:
    return {PARTITION: f"A#{approval_id}", SORT: "A"}


def ledger_key(client: str) -> Key:
    return {PARTITION: f"C#{client}", SORT: "L"}


GRANTS = "GRANTS"
VERSIONS: Key = {PARTITION: "VERSIONS", SORT: "V"}
LINK_KEY: Key = {PARTITION: "LINK-KEY", SORT: "K"}
"""Kept with what it leads to: whoever reads the table could read the approvals, and a link logs nobody in."""


def grant_sort(grant_id: str, expires_at: float) -> str:
    """Ordered by expiry, so that the live ones are one short range."""
    return f"{expires_at:017.6f}#{grant_id}"


def grant_key(sort: str) -> Key:
    return {PARTITION: GRANTS, SORT: sort}


def ttl(end: float) -> int:
    return int(end + KEEP_SECONDS)
