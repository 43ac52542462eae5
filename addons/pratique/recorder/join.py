"""Recordings joined with the API server's own audit log: did both see the same requests, and the same in each?

Belongs here: matching by Audit-ID (the server adopts the one that the gateway sends, apiserver 1.36
pkg/endpoints/filters/audit_init.go), comparing, and what is left over on either side. Pure; reading is the caller's.

What this proves: a request under the gateway's user that no recording knows went around the gateway; a recorded request that
the server never saw was not executed. What it cannot: an audit log that was itself thinned out (audit policy, log loss).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pratique.recorder.record import Record, Stage

STAGE = "ResponseComplete"
"""One event per request; watches write theirs when they end."""
_REFERENCE = (
    ("api_group", "apiGroup"),
    ("api_version", "apiVersion"),
    ("resource", "resource"),
    ("subresource", "subresource"),
    ("namespace", "namespace"),
    ("name", "name"),
)


@dataclass(frozen=True, slots=True)
class Mismatch:
    """One request that both saw, and one thing that they saw differently."""

    audit_id: str
    field: str
    recorded: str
    audited: str

    def __str__(self) -> str:
        return (
            f"{self.audit_id}: {self.field} is `{self.recorded}` in the recording and `{self.audited}` in the audit log"
        )


@dataclass(slots=True)
class Join:
    """The report.

    `around` are audit events of the gateway's users that no recording knows, `unseen` the Audit-IDs of recorded requests
    that were sent and that the server's log does not have. `own` counts the gateway's own calls that recordings tell of.
    """

    joined: int = 0
    own: int = 0
    mismatches: list[Mismatch] = field(default_factory=list)
    around: list[Mapping[str, Any]] = field(default_factory=list)
    unseen: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        return not (self.mismatches or self.around or self.unseen)


KEY_SET = "/openid/v1/jwks"


def join(records: Iterable[Record], events: Iterable[Mapping[str, Any]], users: frozenset[str] = frozenset()) -> Join:
    """`users` are the names under which the gateway calls; empty means: those of the events that join."""
    last: dict[str, Record] = {}
    own: set[str] = set()
    for each in records:
        own.update(each.own_calls)
        if each.stage is not Stage.EVENT and each.audit_id:
            last[each.audit_id] = each
    sent = {audit_id: record for audit_id, record in last.items() if _may_be_sent(record)}
    report, unmatched, seen = Join(), list[Mapping[str, Any]](), set[str]()
    callers = set(users)
    for event in events:
        if event.get("stage") != STAGE:
            continue
        audit_id = str(event.get("auditID", ""))
        if audit_id in own:
            own.discard(audit_id)  # once: who repeats its Audit-ID went around
            report.own += 1
            continue
        record = sent.get(audit_id)
        if record is None and _fetches_keys(event):
            report.own += 1
            continue
        if record is None:
            unmatched.append(event)
            continue
        seen.add(record.audit_id)
        report.joined += 1
        report.mismatches += _differences(record, event)
        if not users:
            callers.add(_user(event))
    report.around = [event for event in unmatched if _user(event) in callers]
    report.unseen = sorted(
        audit_id for audit_id, record in sent.items() if audit_id not in seen and record.answered_by == "upstream"
    )
    return report


def _may_be_sent(record: Record) -> bool:
    """Refused requests never reach the server; one that nobody answered, as after a crash, may have.

    An answer that could not be masked or recorded is the gateway's, to a request that the server saw. Of a request with
    several records the last says how it ended.
    """
    return record.sent or record.answered_by != "gateway"


def _fetches_keys(event: Mapping[str, Any]) -> bool:
    """The gateway asks for the keys of ServiceAccount tokens, for no request in particular. They are public."""
    return event.get("verb") == "get" and event.get("requestURI") == KEY_SET


def _user(event: Mapping[str, Any]) -> str:
    return str((event.get("user") or {}).get("username", ""))


def _differences(record: Record, event: Mapping[str, Any]) -> Iterator[Mismatch]:
    reference = event.get("objectRef") or {}
    pairs = [("verb", record.verb, str(event.get("verb", "")))]
    if record.resource or reference:
        pairs += [(ours, str(getattr(record, ours)), str(reference.get(theirs, ""))) for ours, theirs in _REFERENCE]
    else:
        pairs.append(("path", record.path, str(event.get("requestURI", "")).partition("?")[0]))
    for name, recorded, audited in pairs:
        if recorded != audited and not _named_by_the_body(name, record, recorded):
            yield Mismatch(record.audit_id, name, recorded, audited)


def _named_by_the_body(name: str, record: Record, recorded: str) -> bool:
    """Of a create the server's log takes name and namespace from the object (apiserver pkg/audit/request.go)."""
    return name in {"name", "namespace"} and record.verb == "create" and not recorded
