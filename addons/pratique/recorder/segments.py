"""What of the recordings is copied to a bucket, under which names, and when it is tried again.

Belongs here: names of objects, the signed pieces of sessions.chain, the pause after a failure, what may be removed here.
Pure. Not here: S3 (`s3`), files and threads (`uploader`).

A closed session is a segment: its files are copied as they are, its journal last, so that a journal in the bucket means
that all of it is there. sessions.chain goes in pieces that end with a signature. Put together again (pieces in the order of
their names), it is a folder that `pratique sessions verify` takes, and its head cannot be cut back by whoever has the disk.

::

    PREFIX/CLUSTER/2026-01-31/<session>.flow, .<flow>.events, .<flow>.cast, .chain
    PREFIX/CLUSTER/sessions/000000000000-000000000041.chain
    PREFIX/CLUSTER/keys/recorder-<id>.pub, recorder-<id>.delegation, kms-<id>.pem
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from pratique.recorder import layout
from pratique.recorder.chain import Entry, Kind, parse_line

FIRST_PAUSE_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 300.0
"""Between two tries: a bucket that was away for hours is found again within five minutes."""
DAY_SECONDS = 86400.0


@dataclass(frozen=True, slots=True)
class Destination:
    """Where to: `prefix` without slashes at its ends, may be empty. `lock` is "", GOVERNANCE or COMPLIANCE."""

    bucket: str
    prefix: str = ""
    cluster: str = ""
    kms_key: str = ""
    lock: str = ""
    lock_days: int = 0

    def key(self, *names: str) -> str:
        """The name of an object."""
        return "/".join(name for name in (self.prefix.strip("/"), self.cluster, *names) if name)

    def file_key(self, session: str, file: str) -> str:
        """The name of one file of a session."""
        return self.key(layout.day_of(session), file)


def upload_order(files: Iterable[str]) -> list[str]:
    """The journal last."""
    return sorted(files, key=lambda name: (name.endswith(layout.CHAIN_SUFFIX), name))


@dataclass(frozen=True, slots=True)
class Piece:
    """Lines of sessions.chain that end with a checkpoint: `data` of the entries `first` to `last`."""

    data: bytes
    first: int
    last: int

    @property
    def name(self) -> str:
        """Sorts by entry number."""
        return f"{self.first:012d}-{self.last:012d}{layout.CHAIN_SUFFIX}"


def signed_piece(data: bytes) -> Piece | None:
    """The lines of `data` up to the last checkpoint in it; None when there is none (yet)."""
    first = last = -1
    end = at = 0
    for line in data.split(b"\n")[:-1]:
        at += len(line) + 1
        parsed = parse_line(line)
        if parsed is None:
            break
        first = parsed[0].n if first < 0 else first
        if parsed[0].kind is Kind.CHECKPOINT:
            last, end = parsed[0].n, at
    return Piece(data[:end], first, last) if end else None


def pause(failures: int, jitter: float) -> float:
    """Seconds until the next try after so many failures in a row; `jitter` in [0, 1) spreads gateways apart."""
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(failures - 1, 20), LONGEST_PAUSE_SECONDS) * (0.5 + jitter / 2)


def closed_sessions(entries: Sequence[Entry]) -> dict[str, float]:
    """Session → when it was closed, of those that were closed and not removed, in that order."""
    closed: dict[str, float] = {}
    for entry in entries:
        if entry.kind is Kind.CLOSED and entry.reason != "missing":
            closed[entry.session] = entry.time
        elif entry.kind is Kind.RETIRED:
            closed.pop(entry.session, None)
    return {session: when for session, when in closed.items() if layout.is_session_id(session)}


def outlived(closed: dict[str, float], now: float, days: int) -> list[str]:
    """The sessions that were closed more than `days` ago; none where `days` is 0."""
    return [session for session, when in closed.items() if days > 0 and now - when > days * DAY_SECONDS]
