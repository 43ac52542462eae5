"""One session as a page that people can open from a file and send: timeline, bodies, terminals, in one HTML document.

Belongs here: what of a session is in the page, the document around it. Pure: values in, text out. Not here: reading
(`sessions`), the page's script and style (`web/`), which come in as text.

INVARIANT: no recorded value is interpreted. The data is JSON in a block that is no script, without `<`; the script sets it
as text; the policy of the page allows its own script and style (by hash), and no address at all.

The player is our own, some 400 lines: asciinema-player brings 300 KiB and WebAssembly, which the policy of the page would
have to allow.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pratique.recorder.casts import Event
from pratique.recorder.events import StreamEvent
from pratique.recorder.timeline import Row

MAX_BODY = 64 * 1024
"""Bytes of one body in the page; the recording has the rest."""
MAX_STREAM = 1024 * 1024
"""Bytes of one stream in the page."""
MAX_CAST = 8 * 1024 * 1024
"""Characters of one terminal in the page."""

_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; script-src '{script_hash}'; style-src '{style_hash}'; base-uri 'none'; form-action 'none'">
<meta name="referrer" content="no-referrer">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<script type="application/json" id="recording">{data}</script>
<script>{script}</script>
</body>
</html>
"""


@dataclass(slots=True)
class Page:
    """What is in the page. `about` are the facts of the session, JSON-ready; `marks` begin what a mask replaced."""

    about: Mapping[str, Any]
    marks: Sequence[str]
    requests: list[dict[str, Any]] = field(default_factory=list)
    messages: dict[str, dict[str, Any]] = field(default_factory=dict)
    streams: dict[str, dict[str, Any]] = field(default_factory=dict)
    casts: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, row: Row, flow: Mapping[str, Any]) -> None:
        """A request with the decoded flow of its record."""
        self.requests.append(row.as_json() | {"seconds": row.time})
        messages = {name: message(flow[name]) for name in ("request", "response") if flow.get(name)}
        if messages:
            self.messages[row.flow] = messages

    def add_stream(self, flow: str, events: Iterable[StreamEvent]) -> None:
        """What a streamed response sent."""
        lines: list[dict[str, Any]] = []
        size = left = 0
        for event in events:
            size += len(event.data)
            if size > MAX_STREAM:
                left += len(event.data)
            elif event.marker:
                lines.append({"time": event.time, "marker": event.marker})
            else:
                texts = event.data.decode("utf-8", "replace").splitlines()
                lines += [{"time": event.time, "text": text} for text in texts]
        self.streams[flow] = {"lines": lines, "left": left}

    def add_cast(self, part: str, width: int, height: int, events: Iterable[Event]) -> None:
        """A terminal."""
        shown: list[list[Any]] = []
        size = left = 0
        for event in events:
            size += len(event.data)
            if size > MAX_CAST and event.code != "m":
                left += len(event.data)
            else:
                shown.append([event.time, event.code, event.data])
        self.casts[part] = {"width": width, "height": height, "events": shown, "left": left}

    def data(self) -> dict[str, Any]:
        """Everything, JSON-ready."""
        return {
            **self.about, "marks": list(self.marks), "requests": self.requests, "messages": self.messages,
            "streams": self.streams, "casts": self.casts,
        }  # fmt: skip


def message(state: Mapping[str, Any]) -> dict[str, Any]:
    """A request or response of a decoded flow: headers, and the body as text as far as it is in the page."""
    body = state.get("content") or b""
    headers = [[_text(name), _text(value)] for name, value in state.get("headers") or ()]
    return {
        "headers": headers,
        "body": body[:MAX_BODY].decode("utf-8", "replace"),
        "left": max(len(body) - MAX_BODY, 0),
    }


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _inert(data: Mapping[str, Any]) -> str:
    """JSON that ends no script block and is no markup."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def render(page: Page, style: str, script: str) -> str:
    """The document. `style` and `script` are ours and may not end their own element: ValueError."""
    if "</" in style or "</" in script or "<!--" in script:
        raise ValueError("the page's own script or style would end its element")
    title = f"pratique session {page.about['session']}"
    parts = {
        "script_hash": _hash(script),
        "style_hash": _hash(style),
        "title": html.escape(title),
        "style": style,
        "script": script,
    }
    return _DOCUMENT.format(**parts, data=_inert(page.data()))
