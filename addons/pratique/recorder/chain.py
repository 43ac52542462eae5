"""The hash chain: how entries are written, linked and walked again.

Belongs here: the entry, its line, the link to the entry before, the walk that names what is wrong with a journal. Not
here: the comparison of data files with their journal (`tamper`), keys and signatures (`keys`), files (`spool`). Pure.

A journal is JSON lines `{"entry":E,"hash":H}`, where E is the compact JSON of an `Entry`, exactly as written, and
H = SHA-256(previous H as 32 bytes ‖ E) in hex; the first line follows GENESIS. A checkpoint entry holds a signature
over the hash before it, so it vouches for every line above. Two kinds of journals: one per session (its records), and
one of all sessions (their opens, closes and retirements), so that a session that is gone is missed.

What the chain cannot prove: whoever holds the signing key and the disk can write a new history; whoever holds the disk
alone can cut *both* the journal of sessions and the newest sessions back to an older checkpoint. Keep heads elsewhere.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

import msgspec

from pratique.recorder.record import Opened, Record

GENESIS = hashlib.sha256(b"pratique recorder chain v1").hexdigest()
"""What the first entry of every journal follows."""

CHECKPOINT_DOMAIN = "pratique recorder checkpoint v1"
"""First word of what is signed: a signature made for anything else never fits."""

MAX_LINE_BYTES = 4 * 1024 * 1024
"""A longer line is damage: records are cut far below (request lines are at most 1 MiB in the API server)."""


class Kind(StrEnum):
    """What an entry says."""

    STARTED = "started"  # sessions.chain: a gateway began to write
    OPENED = "opened"
    RECORD = "record"
    CHECKPOINT = "checkpoint"
    CLOSED = "closed"
    RETIRED = "retired"  # sessions.chain: removed on purpose


class Entry(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One line of a journal. `time` is seconds since the epoch.

    `part`, `offset`, `length`, `sha256`: where the bytes of a record are. `recovered`: found complete but unchained
    after a crash, chained by the next start. In sessions.chain, `session` names the session, `head` and `count` are the
    last hash and the number of entries of its journal at that moment, `reason` says why it was closed or retired.
    """

    n: int
    kind: Kind
    time: float
    prev: str
    part: str = ""
    offset: int = 0
    length: int = 0
    sha256: str = ""
    recovered: bool = False
    record: Record | None = None
    opened: Opened | None = None
    session: str = ""
    head: str = ""
    count: int = 0
    reason: str = ""
    key: str = ""
    signature: str = ""


class _Line(msgspec.Struct, frozen=True):
    entry: msgspec.Raw
    hash: str


_encode = msgspec.json.Encoder().encode
_decode_line = msgspec.json.Decoder(_Line).decode
_decode_entry = msgspec.json.Decoder(Entry).decode


@dataclass(frozen=True, slots=True)
class Link:
    """An entry ready to be written: its line (with the newline) and the hash that the next entry follows."""

    line: bytes
    hash: str


def link(entry: Entry) -> Link:
    """The line of `entry`, which must carry the hash before it in `prev`."""
    body = _encode(entry)
    digest = hash_of(entry.prev, body)
    return Link(b'{"entry":%b,"hash":"%b"}\n' % (body, digest.encode()), digest)


def hash_of(prev: str, body: bytes) -> str:
    """SHA-256(prev as bytes ‖ entry as written), hex."""
    return hashlib.sha256(bytes.fromhex(prev) + body).hexdigest()


def to_sign(journal: str, n: int, prev: str, key: str) -> bytes:
    """What a checkpoint `n` signs. `journal` is the session id, or "sessions": a signature fits one journal only."""
    return _encode([CHECKPOINT_DOMAIN, journal, n, prev, key])


class Change(StrEnum):
    """What happened to a recording. UNSEALED is no proof of a change: a crash or a running gateway leaves it."""

    FLIPPED = "flipped"
    DROPPED = "dropped"
    SWAPPED = "swapped"
    TRUNCATED = "truncated"
    INSERTED = "inserted"
    REPLACED = "replaced"
    DELETED = "deleted"
    FORGED = "forged"
    UNSEALED = "unsealed"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that verification found. `n` is the entry number in the journal, None when it concerns a whole file."""

    change: Change
    session: str
    file: str
    message: str
    n: int | None = None

    @property
    def proves_change(self) -> bool:
        """False for what an honest crash leaves."""
        return self.change is not Change.UNSEALED

    def __str__(self) -> str:
        where = self.file if self.n is None else f"{self.file} entry {self.n}"
        return f"{self.change}: {where}: {self.message}"


type CheckSignature = Callable[[str, bytes, str], bool]
"""(key id, signed bytes, signature as hex) → whether it holds. An unknown key is False."""


@dataclass(slots=True)
class Walk:
    """A journal as read: entries that could be parsed (with their hashes), the findings, and where it stands.

    `head`/`count` are of the last line; `whole` is the number of bytes of complete lines; `signed` is how many entries
    the last good checkpoint vouches for.
    """

    journal: str
    file: str
    entries: list[Entry] = field(default_factory=list)
    hashes: list[str] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    head: str = GENESIS
    count: int = 0
    whole: int = 0
    signed: int = 0

    def note(self, change: Change, message: str, n: int | None = None) -> None:
        """Adds a finding about this journal."""
        self.findings.append(Finding(change, self.journal, self.file, message, n))


def parse_line(line: bytes) -> tuple[Entry, str, str] | None:
    """(entry, hash as written, hash as computed) of one line without its newline; None when it is no such line."""
    if len(line) > MAX_LINE_BYTES:
        return None
    try:
        parsed = _decode_line(line)
        entry = _decode_entry(parsed.entry)
        return entry, parsed.hash, hash_of(entry.prev, bytes(parsed.entry))
    except (msgspec.MsgspecError, ValueError):
        return None


def walk(journal: str, file: str, data: bytes, check: CheckSignature) -> Walk:
    """Reads a whole journal and names what is wrong inside it. What is missing at its end only `seal` can know."""
    result = Walk(journal, file)
    body, newline, rest = data.rpartition(b"\n")
    result.whole = len(body) + len(newline)
    parsed = [parse_line(line) for line in body.split(b"\n")] if newline else []
    _number(result, parsed)
    previous: tuple[Entry, str, str] | None = None
    for index, item in enumerate(parsed):
        if item is not None:
            _take(result, item, previous, check, first=index == 0)
        previous = item
    if rest:
        result.note(Change.UNSEALED, f"{len(rest)} bytes of an unfinished line at the end", result.count)
    return result


def _number(result: Walk, parsed: list[tuple[Entry, str, str] | None]) -> None:
    """Checks that the entry numbers are 0, 1, 2, …, and sets `count`."""
    numbers = sorted(item[0].n for item in parsed if item)
    seen: set[int] = set()
    expected = 0
    for item in parsed:
        n = expected if item is None else item[0].n
        if item is None:
            result.note(Change.FLIPPED, "the line cannot be read", n)
        elif n in seen:
            result.note(Change.INSERTED, "the entry stands twice", n)
        elif n < expected:
            result.note(Change.SWAPPED, f"the entry stands after entry {expected - 1}", n)
        elif missing := n - expected - (bisect_left(numbers, n) - bisect_left(numbers, expected)):
            result.note(Change.DROPPED, f"{missing} entries before entry {n} are missing", expected)
        seen.add(n)
        expected = max(expected, n + 1)
    result.count = expected


def _take(
    result: Walk,
    item: tuple[Entry, str, str],
    previous: tuple[Entry, str, str] | None,
    check: CheckSignature,
    *,
    first: bool,
) -> None:
    """Checks one readable line against its own hash, the line above and, for a checkpoint, its signature."""
    entry, written, computed = item
    before = (-1, GENESIS) if first else (previous[0].n, previous[1]) if previous else None
    if written != computed:
        result.note(Change.FLIPPED, "the entry was changed: its hash does not fit", entry.n)
    if before and before[0] + 1 == entry.n and before[1] != entry.prev:
        result.note(Change.REPLACED, "the entry does not follow the one before it", entry.n)
    if entry.kind is Kind.CHECKPOINT:
        if not check(entry.key, to_sign(result.journal, entry.n, entry.prev, entry.key), entry.signature):
            result.note(Change.FORGED, f"the signature by key `{entry.key}` does not hold", entry.n)
        elif not result.findings:
            result.signed = entry.n + 1
    result.entries.append(entry)
    result.hashes.append(written)
    result.head = written


def seal(result: Walk, closed: Entry | None) -> None:
    """Notes what only the end can tell. `closed` is the closing entry in sessions.chain, None while open."""
    if closed is None:
        if result.signed < result.count:
            tail = result.count - result.signed
            result.note(Change.UNSEALED, f"{tail} entries after the last checkpoint; the session was not closed")
        return
    if result.count < closed.count:
        result.note(Change.TRUNCATED, f"{closed.count - result.count} of {closed.count} entries are missing at the end")
    elif result.count > closed.count:
        result.note(Change.INSERTED, f"{result.count - closed.count} entries were added after the session was closed")
    elif result.head != closed.head and not result.findings:
        result.note(Change.REPLACED, "the journal is not the one that was closed")
    if result.signed < result.count and not any(item.proves_change for item in result.findings):
        result.note(Change.FORGED, "the end of the journal is not signed")


def of_part(entries: Iterable[Entry], part: str) -> list[Entry]:
    """The records whose bytes are in `part`, in journal order."""
    return [entry for entry in entries if entry.kind is Kind.RECORD and entry.part == part]
