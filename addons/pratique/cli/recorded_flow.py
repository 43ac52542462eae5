"""Recorded flows as requests: a flow file of mitmproxy or of pratique, or a session of a state folder.

Belongs here: from a flow record to `Asked`. Not here: the file format (`pratique.recorder.flowfile`). mitmproxy is not
imported. A recording is scrubbed: masked values stand for the originals, and credentials are gone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from pratique.cli.asked import Asked, request
from pratique.errors import FramingError, RecordError
from pratique.recorder.flowfile import decode, scan
from pratique.recorder.layout import FLOW
from pratique.recorder.sessions import located

_LENGTH = re.compile(rb"[0-9]{1,12}:")
# They spoke of the bytes on the wire; what is kept is the content.
OF_THE_WIRE = frozenset({"content-length", "transfer-encoding", "host"})
SCRUBBED = "recorded: masks stand for what was scrubbed, credentials are gone"


def looks_like_flows(data: bytes) -> bool:
    """Whether a file begins as a flow file does; JSON lines begin with a brace."""
    return _LENGTH.match(data) is not None


def of_file(data: bytes, name: str) -> Iterator[tuple[str, Asked]]:
    """(client, request) of each HTTP flow, in order. UsageError for a malformed file, after the good records."""
    number = 0
    try:
        for number, (offset, length) in enumerate(scan(data), 1):
            flow = decode(data[offset : offset + length])
            if isinstance(flow, dict) and isinstance(flow.get("request"), dict):
                yield _asked(flow, f"{name}:{number}")
    except (FramingError, KeyError, TypeError, AttributeError, ValueError) as error:
        text = error.message if isinstance(error, FramingError) else type(error).__name__
        raise click.UsageError(f"{name}: flow {number + 1}: {text}. The records before it were read") from None


def of_session(state: Path, prefix: str) -> Iterator[tuple[str, Asked]]:
    """Each request of the one session whose id begins with `prefix`, once. RecordError."""
    found, session = located(state, prefix)
    entries = [entry for entry in found.timeline(session) if entry.part == FLOW]
    if not entries:
        raise RecordError(f"session `{session}` has no requests")
    for entry in entries:
        yield _asked(found.flow(session, entry), f"{session}:{entry.n}")


def _asked(flow: dict[str, Any], place: str) -> tuple[str, Asked]:
    sent, metadata = flow["request"], flow.get("metadata") or {}
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent["headers"]]
    kept = [pair for pair in headers if pair[0].lower() not in OF_THE_WIRE]
    target = sent["path"].decode("utf-8", "surrogateescape")
    raw = request(sent["method"].decode("latin-1"), target, kept, sent.get("content") or b"")
    ours = any(key.startswith("pratique.") for key in metadata)
    label = f"{place} {flow.get('id', '')}".strip()
    return str(metadata.get("pratique.client", "")), Asked(label, raw, assumed=(SCRUBBED,) if ours else ())
