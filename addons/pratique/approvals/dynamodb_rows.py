"""Approvals, grants and ledgers as items of DynamoDB, and back.

Belongs here: which attributes an item has, cutting what is large into pieces. Not here: calls (`pratique.dynamodb.table`),
keys (`pratique.dynamodb.layout`), when something is written (`dynamodb_store`). Pure.

An approval's attributes are the columns of SQLite's table (`sqlite_schema`), so that both stores read rows alike.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import msgspec

from pratique.approvals import sqlite_schema as schema
from pratique.approvals.grants import Grant
from pratique.approvals.ledger import Ledger
from pratique.approvals.store import MAX_QUESTION_BYTES, Approval, Decided, Summary
from pratique.approvals.transitions import State
from pratique.dynamodb import layout
from pratique.dynamodb.items import Item

PIECE_BYTES = 300_000
"""Of an item, which may have 400 KB with its names."""
_TIMES = ("created_at", "expires_at", "last_attempt_at", "closed_at", "withdrawn_at")
_NOTHING = '{"body":"","difference":[]}'

type Row = dict[str, Any]


# --- approvals ---


def pieces(approval_id: str, nonce: str, detail: str, expires_at: float) -> list[Item]:
    """The items that hold what is large. None if there is nothing. `nonce` keeps attempts apart."""
    if detail == _NOTHING:
        return []
    packed = zlib.compress(detail.encode())
    return [
        {
            layout.PARTITION: layout.approval_key(approval_id)[layout.PARTITION],
            layout.SORT: piece_sort(nonce, number),
            "piece": packed[start : start + PIECE_BYTES],
            layout.TTL: layout.ttl(expires_at),
        }
        for number, start in enumerate(range(0, len(packed), PIECE_BYTES))
    ]


def piece_sort(nonce: str, number: int) -> str:
    return f"D#{nonce}#{number:04}"


def piece_keys(row: Row) -> list[tuple[str, str]]:
    partition = layout.approval_key(row["id"])[layout.PARTITION]
    return [(partition, piece_sort(row["nonce"], number)) for number in range(row["pieces"])]


def item_of(row: Row) -> Item:
    """With its keys, its place in the index, and when it may go."""
    is_open = State(row["state"]).is_open
    return {
        **layout.approval_key(row["id"]),
        **row,
        layout.SHELF: layout.OPEN_SHELF if is_open else layout.CLOSED_SHELF,
        layout.AT: row["expires_at"] if is_open else row["created_at"],
        layout.TTL: layout.ttl(max(row["expires_at"], row["closed_at"] or 0.0)),
    }


def row_of(item: Item) -> Row:
    """Raises KeyError or TypeError: the item was not written by us."""
    ours = {"closed_at": None, "withdrawn_at": None, **item}
    for name in (layout.PARTITION, layout.SORT, layout.SHELF, layout.AT, layout.TTL):
        ours.pop(name, None)
    return ours | {name: None if ours[name] is None else float(ours[name]) for name in _TIMES}


def approval_of(row: Row, now: float, packed: Sequence[bytes] = ()) -> Approval:
    """Raises ValueError, KeyError or msgspec's: the item was not written by us."""
    return schema.approval_of({**row, "detail": _unpacked(packed)}, msgspec.json.decode(row["decisions"]), now)


def _unpacked(packed: Iterable[bytes]) -> str:
    whole = b"".join(packed)
    if not whole:
        return _NOTHING
    unpacking = zlib.decompressobj()
    detail = unpacking.decompress(whole, 2 * MAX_QUESTION_BYTES)
    if unpacking.unconsumed_tail or not unpacking.eof:
        raise ValueError("what is large of an approval is not whole")
    return detail.decode()


def decided(row: Row, decision: Decided) -> None:
    """Adds a decision."""
    decisions = [*msgspec.json.decode(row["decisions"]), schema.decision_row(row["id"], decision)]
    row["decisions"] = msgspec.json.encode(decisions).decode()


def without_effect(row: Row) -> None:
    """Drops what was shown of a question that nobody has decided."""
    summary = msgspec.json.decode(row["summary"], type=Summary)
    row["summary"] = msgspec.json.encode(replace(summary, effect=None)).decode()
    row["pieces"] = 0


# --- grants and ledgers ---


def grant_item(grant: Grant) -> Item:
    return {
        **layout.grant_key(sort_of(grant)),
        "id": grant.id,
        "grant": msgspec.json.encode(grant).decode(),
        "uses": grant.uses,
        "revoked_by": grant.revoked_by,
        layout.TTL: layout.ttl(grant.expires_at),
    }


def sort_of(grant: Grant) -> str:
    return layout.grant_sort(grant.id, grant.expires_at)


def grant_of(item: Item) -> Grant:
    """Raises ValueError, KeyError or msgspec's: the item was not written by us."""
    grant = msgspec.json.decode(item["grant"], type=Grant)
    revoked_at = item.get("revoked_at")
    return replace(
        grant,
        uses=item["uses"],
        revoked_at=None if revoked_at is None else float(revoked_at),
        revoked_by=item["revoked_by"],
    )


def ledger_item(client: str, ledger: Ledger, revision: int) -> Item:
    return {**layout.ledger_key(client), "ledger": msgspec.json.encode(ledger).decode(), "revision": revision}


def ledger_of(item: Item | None) -> tuple[Ledger, int]:
    """The ledger and its revision; a fresh one with 0. Raises msgspec's or KeyError: not written by us."""
    if item is None:
        return Ledger(), 0
    return msgspec.json.decode(item["ledger"], type=Ledger), int(item["revision"])
