"""What to look for in recordings, and whether one request is it.

Belongs here: the filters of `pratique sessions list` and `show`, the words for lengths and points of time. Pure. Not here:
the same question asked over many sessions (`index`, in SQL; a test holds the two together).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from pratique.recorder.record import Record

MAX_ROWS = 10_000
"""Rows of one answer: more is not read by a person."""

REFUSED = "refused"
"""Stands for the verdict of a request that was refused before it was judged (malformed, no credential)."""

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


@dataclass(frozen=True, slots=True)
class Filter:
    """What to look for; empty means any. Times are seconds since the epoch, `grep` is a plain substring, any case."""

    client: str = ""
    cluster: str = ""
    since: float = 0.0
    until: float = 0.0
    verb: str = ""
    resource: str = ""
    namespace: str = ""
    verdict: str = ""
    approval_id: str = ""
    audit_id: str = ""
    kubectl_session: str = ""
    grep: str = ""
    limit: int = MAX_ROWS

    @property
    def asks_requests(self) -> bool:
        """Whether it looks for requests, and not only for sessions."""
        return any((
            self.verb, self.resource, self.namespace, self.verdict, self.approval_id, self.audit_id, self.grep,
        ))  # fmt: skip


def text_of(record: Record) -> str:
    """What `grep` looks through."""
    return "\n".join((
        record.path, record.query, " ".join(record.argv), record.message, record.note, " ".join(record.rules),
        record.user_agent, *record.observed,
    ))  # fmt: skip


def matches(wanted: Filter, record: Record, time: float) -> bool:
    """Whether one request, recorded at `time`, is looked for. What concerns a whole session is not asked."""
    resource, _, subresource = wanted.resource.partition("/")
    began = record.started or time
    pairs = (
        (wanted.verb, record.verb),
        (resource, record.resource),
        (subresource, record.subresource),
        (wanted.namespace, record.namespace),
        (wanted.verdict, record.verdict or REFUSED),
        (wanted.approval_id, record.approval_id),
        (wanted.audit_id, record.audit_id),
        (wanted.client, record.client),
        (wanted.cluster, record.cluster),
    )
    return (
        all(not asked or asked == found for asked, found in pairs)
        and began >= wanted.since
        and (not wanted.until or began < wanted.until)
        and wanted.grep.lower() in text_of(record).lower()
    )


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of `30m`, `24h`, `7d` (before `now`), or of `2026-01-31`, `2026-01-31T09:30` (UTC).

    ValueError for anything else.
    """
    if text[-1:] in _UNITS and text[:-1].replace(".", "", 1).isdecimal():
        return now - float(text[:-1]) * _UNITS[text[-1]]
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"`{text}` is no time. Write 30m, 24h, 7d, 2026-01-31 or 2026-01-31T09:30") from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
