"""I/O: reads one session for the exports of `pratique sessions export`. The shapes are `pratique.recorder`'s."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pratique import __version__
from pratique.cli import views
from pratique.masking.mask import MARK
from pratique.recorder import export, page
from pratique.recorder.chain import CheckSignature, Entry
from pratique.recorder.layout import FLOW
from pratique.recorder.sessions import Recordings
from pratique.recorder.timeline import rfc3339, rows, tally

MAX_STREAM_BYTES = 64 * 1024 * 1024
"""Of one streamed response in a HAR: as much as is recorded of it."""
SCRIPTS = ("terminal.js", "player.js", "page.js")


def exported(found: Recordings, session: str, form: str, check: CheckSignature, now: float) -> str:
    """The text of an export: `audit`, `har` or `html`. Ends with a newline."""
    match form:
        case "audit":
            return _audit(found, session)
        case "har":
            return _har(found, session)
        case _:
            return _html(found, session, check, now)


def _audit(found: Recordings, session: str) -> str:
    opened = found.opened(session)
    events = (export.audit_event(session, opened, entry) for entry in found.timeline(session))
    return "".join(json.dumps(event, ensure_ascii=False) + "\n" for event in events if event is not None)


def _har(found: Recordings, session: str) -> str:
    entries = [
        export.har_entry(_flow(found, session, entry), entry.record)
        for entry in found.timeline(session)
        if entry.part == FLOW
    ]
    return json.dumps(export.har(entries, __version__), ensure_ascii=False) + "\n"


def _flow(found: Recordings, session: str, entry: Entry) -> dict[str, Any]:
    """The decoded flow of an entry, with the body that was streamed."""
    flow: dict[str, Any] = found.flow(session, entry)
    record, response = entry.record, flow.get("response")
    if record and record.flow and response and not response.get("content"):
        body = b"".join(event.data for event in found.stream(session, record.flow))
        flow["response"] = response | {"content": body[:MAX_STREAM_BYTES]}
    return flow


def _html(found: Recordings, session: str, check: CheckSignature, now: float) -> str:
    entries = found.timeline(session)
    parts = [path.name.removeprefix(f"{session}.") for path in found.parts(session)]
    listed = rows(entries, parts)
    made = page.Page(_about(found, session, check, now) | {"tally": tally(listed)}, (MARK, views.BASE64_MARK))
    by_number = {entry.n: entry for entry in entries}
    for row in listed:
        entry = by_number[row.entry]
        made.add(row, found.flow(session, entry) if entry.part == FLOW else {})
        if row.stream:
            made.add_stream(row.flow, found.stream(session, row.flow))
        if row.cast:
            made.add_cast(row.cast, *found.cast_size(session, row.flow), found.cast(session, row.flow))
    files = resources.files("pratique.recorder") / "web"
    script = "".join((files / name).read_text("utf-8") for name in SCRIPTS)
    return page.render(made, (files / "page.css").read_text("utf-8"), script)


def _about(found: Recordings, session: str, check: CheckSignature, now: float) -> dict[str, Any]:
    opened, result = found.opened(session), found.verify(check, session=session)
    entries = found.entries(session)
    closed = next((entry.time for entry in entries if entry.reason), None)
    head = f"{result.head.n}:{result.head.hash}" if result.head else ""
    return {
        "session": session,
        "client": opened.client,
        "cluster": opened.cluster,
        "sourceIP": opened.source_ip,
        "claims": opened.claims,
        "continues": opened.continues,
        "opened": rfc3339(entries[0].time),
        "closed": rfc3339(closed) if closed else "",
        "exported": rfc3339(now),
        "version": __version__,
        "verification": {
            "ok": result.ok,
            "records": result.records,
            "head": head,
            "findings": [str(finding) for finding in result.findings],
        },
    }
