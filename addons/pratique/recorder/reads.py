"""Which recorded requests are reads that may be sent again, and how.

Belongs here: the choice, pure: rows of a timeline in, targets or reasons out. Not here: sending (`pratique.cli.resend`).

A GET is not always a read: exec, attach, port-forward and proxy are connections, through which anything may be written.
So only the verbs get, list and watch pass, never those subresources, and nothing of which a part was scrubbed.
"""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, urlencode

from pratique.recorder.argv import SCRUBBED
from pratique.recorder.timeline import Row

VERBS = frozenset({"get", "list", "watch"})
CONNECTIONS = frozenset({"exec", "attach", "portforward", "proxy"})
WATCH_SECONDS = 1
"""A watch is asked to end after it; its status is what is compared."""


@dataclass(frozen=True, slots=True)
class Read:
    """A recorded request. `target` is what to send, empty where it is not sent, for `reason`."""

    row: Row
    target: str = ""
    reason: str = ""


def read(row: Row) -> Read:
    """Whether `row` is sent again. What is not known to be harmless is not."""
    reason = _reason(row)
    return Read(row, "", reason) if reason else Read(row, _target(row))


def _reason(row: Row) -> str:
    subresource = row.resource.partition("/")[2]
    segments = row.path.partition("?")[0].split("/")
    if row.method != "GET" or row.verb not in VERBS:
        return "not a read"
    if subresource in CONNECTIONS or not CONNECTIONS.isdisjoint(segments[-1:]) or "proxy" in segments:
        return "a connection"
    if SCRUBBED in row.path or quote(SCRUBBED) in row.path:
        return "a part was not recorded"
    if row.approval:
        return "needs an approval"
    if not row.path.startswith("/"):
        return "no path"
    return "" if row.status else "no answer is recorded"


def _target(row: Row) -> str:
    path, _, query = row.path.partition("?")
    pairs = [(name, value) for name, value in parse_qsl(query, keep_blank_values=True) if name != "timeoutSeconds"]
    if row.verb == "watch":
        pairs.append(("timeoutSeconds", str(WATCH_SECONDS)))
    return f"{path}?{urlencode(pairs)}" if pairs else path
