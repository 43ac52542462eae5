"""One request of a session as people and programs are shown it.

Belongs here: the row of a timeline and its words, the tally of a session. Pure. Not here: colours, columns (`pratique.cli`),
the page (`page`). Texts come out as stored: whoever shows them makes them harmless.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from pratique.recorder.chain import Entry
from pratique.recorder.filters import REFUSED
from pratique.recorder.record import Record, Stage


@dataclass(frozen=True, slots=True)
class Row:
    """`time` is seconds since the epoch, `milliseconds` how long the client waited (a stream: how long it was open).

    `status` is 0 while there was no answer; `open` says that the end is not recorded; `cast` is the part that holds the
    terminal of an exec, `stream` whether the answer was streamed.
    """

    time: float
    milliseconds: int
    verdict: str
    status: int
    verb: str
    resource: str
    namespace: str
    name: str
    method: str
    path: str
    argv: tuple[str, ...]
    rules: tuple[str, ...]
    errors: tuple[str, ...]
    approval: str
    masks: tuple[str, ...]
    message: str
    note: str
    answered_by: str
    request_bytes: int
    response_bytes: int
    audit_id: str
    user_agent: str
    flow: str
    entry: int
    open: bool = False
    stream: bool = False
    cast: str = ""
    observed: tuple[str, ...] = ()

    @property
    def words(self) -> str:
        """`get pods/log web -n shop`, `exec web -n shop: ls /`, or method and path where it is no resource."""
        if not self.resource:
            return f"{self.method} {self.path}"
        where = f" -n {self.namespace}" if self.namespace and self.resource != "namespaces" else ""
        what = " ".join(word for word in (self.verb, self.resource, self.name) if word)
        return f"{what}{where}" + (f": {' '.join(self.argv)}" if self.argv else "")

    def as_json(self) -> dict[str, Any]:
        """For programs: stable camelCase keys, the time as RFC 3339."""
        values = asdict(self) | {"time": rfc3339(self.time), "request": self.words, "audit_i_d": self.audit_id}
        del values["audit_id"]
        return {_camel(name): value for name, value in values.items()}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def rfc3339(seconds: float) -> str:
    """UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _resource(record: Record) -> str:
    name = f"{record.resource}.{record.api_group}" if record.api_group and record.resource else record.resource
    return f"{name}/{record.subresource}" if record.subresource else name


def row(entry: Entry, record: Record, *, stream: bool = False, cast: str = "") -> Row:
    """The row of one request."""
    began = record.started or entry.time
    return Row(
        time=began,
        milliseconds=round(max((record.ended or began) - began, 0.0) * 1000),
        verdict=record.verdict or REFUSED,
        status=record.status,
        verb=record.verb,
        resource=_resource(record),
        namespace=record.namespace,
        name=record.name,
        method=record.method,
        path=f"{record.path}?{record.query}" if record.query else record.path,
        argv=record.argv,
        rules=record.rules,
        errors=record.errors,
        approval=record.approval_id,
        masks=record.masks,
        message=record.message,
        note=record.note,
        answered_by=record.answered_by,
        request_bytes=record.request_bytes,
        response_bytes=record.response_bytes,
        audit_id=record.audit_id,
        user_agent=record.user_agent,
        flow=record.flow,
        entry=entry.n,
        open=record.stage is not Stage.COMPLETE,
        stream=stream,
        cast=cast,
        observed=record.observed,
    )


def rows(entries: Iterable[Entry], parts: Iterable[str]) -> list[Row]:
    """The rows of a timeline. `parts` are the names of the session's data files: `<flow>.events`, `<flow>.cast`."""
    names = set(parts)
    return [
        row(
            entry,
            entry.record,
            stream=f"{entry.record.flow}.events" in names,
            cast=name if (name := f"{entry.record.flow}.cast") in names else "",
        )
        for entry in entries
        if entry.record is not None
    ]


def tally(found: Iterable[Row]) -> str:
    """`12 requests: 9 Allow, 2 Deny, 1 refused; 1 approval; values masked in 3`."""
    listed = list(found)
    verdicts = Counter(item.verdict for item in listed)
    said = [f"{len(listed)} request" + ("" if len(listed) == 1 else "s")]
    if verdicts:
        said[0] += ": " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(verdicts.items()))
    if approvals := len({item.approval for item in listed} - {""}):
        said.append(f"{approvals} approval" + ("" if approvals == 1 else "s"))
    if masked := sum(bool(item.masks) for item in listed):
        said.append(f"values masked in {masked}")
    if casts := sum(bool(item.cast) for item in listed):
        said.append(f"{casts} terminal" + ("" if casts == 1 else "s"))
    return "; ".join(said)
