"""A state folder with recordings as a gateway leaves them: flows that mitmproxy reads, a watch, a terminal, an attack."""

from __future__ import annotations

import io
import json
import uuid
from pathlib import Path
from typing import Any

from mitmproxy import http
from mitmproxy.connection import Client, Server
from mitmproxy.io import FlowWriter

from pratique.masking.mask import Mask
from pratique.recorder import layout
from pratique.recorder.casts import Cast, Header
from pratique.recorder.events import StreamEvents
from pratique.recorder.record import Opened, Record, Stage, comment
from pratique.recorder.spool import Spool
from tests.recorder.support import NOON, make_spool, record, session_id

SESSION = session_id(1)
OTHER = session_id(2)
MASK = Mask()
ATTACK = "<img src=x onerror=alert(1)></script><script>alert(2)</script>"
ESCAPES = "\x1b]0;owned\x07\x1b[31mred\x9b2J\u202e"
"""What a terminal would obey; never printed as it is."""


def flow_id(number: int) -> str:
    return str(uuid.UUID(int=number))


def flow_bytes(meta: Record, answer: bytes = b"", content_type: str = "application/json", body: bytes = b"") -> bytes:
    """The flow of `meta` as the recorder writes it."""
    flow = http.HTTPFlow(
        Client(peername=("10.0.0.9", 1234), sockname=("127.0.0.1", 8443)), Server(address=("api", 6443))
    )
    target = meta.path + (f"?{meta.query}" if meta.query else "")
    headers = http.Headers([(b"accept", b"application/json"), (b"authorization", b"**scrubbed**")])
    flow.request = http.Request(
        "api", 6443, meta.method.encode(), b"https", b"", target.encode(), b"HTTP/1.1", headers, body, None,
        meta.started, meta.started,
    )  # fmt: skip
    if meta.status:
        given = http.Headers([(b"content-type", content_type.encode())])
        flow.response = http.Response(b"HTTP/1.1", meta.status, b"", given, answer, None, meta.started, meta.ended)
    flow.id = meta.flow
    flow.comment = comment(meta)
    buffer = io.BytesIO()
    FlowWriter(buffer).add(flow)
    return buffer.getvalue()


def meta(number: int, **changes: Any) -> Record:
    return record(number, **({"flow": flow_id(number)} | changes))


def add(spool: Spool, session: str, what: Record, answer: bytes = b"", **more: Any) -> None:
    spool.append(session, flow_bytes(what, answer, **more), what)


def watch_events(count: int = 3) -> list[bytes]:
    objects = [
        {
            "kind": "Secret",
            "metadata": {"namespace": "shop", "name": f"s{n}", "resourceVersion": str(n)},
            "data": {"p": MASK.base64},
        }
        for n in range(count)
    ]
    return [json.dumps({"type": "ADDED", "object": each}).encode() + b"\n" for each in objects]


def add_watch(spool: Spool, session: str, number: int) -> None:
    what = meta(number, verb="watch", resource="secrets", namespace="shop", query="watch=true",
                path="/api/v1/namespaces/shop/secrets", masks=("default/secret-data",))  # fmt: skip
    started = Record(**{name: getattr(what, name) for name in what.__struct_fields__} | {"stage": Stage.STARTED})
    spool.start(session, flow_bytes(started), started)
    events = StreamEvents()
    for index, event in enumerate(watch_events()):
        spool.event(session, layout.events_part(what.flow), events.feed(what.started + index / 10, event))
    add(spool, session, what)


def cast_lines(pieces: list[tuple[float, int, bytes]], *, tty: bool = True) -> bytes:
    cast = Cast(Header(int(NOON), command="sh"), 0.0, tty=tty)
    lines = b"".join(cast.event(time, channel, data) for time, channel, data in pieces)
    return lines + cast.end(pieces[-1][0])


def add_exec(spool: Spool, session: str, number: int, pieces: list[tuple[float, int, bytes]]) -> None:
    what = meta(number, verb="create", method="GET", resource="pods", subresource="exec", name="web", namespace="shop",
                path="/api/v1/namespaces/shop/pods/web/exec", query="command=sh&tty=true", argv=("sh",), status=101,
                rules=("mcp/exec",), verdict="RequireApproval", approval_id="apr-1")  # fmt: skip
    spool.event(session, layout.cast_part(what.flow), cast_lines(pieces))
    add(spool, session, what, content_type="")


TERMINAL = [
    (0.0, 4, b'{"Width":60,"Height":12}\n'),
    (0.1, 1, b"\x1b[1;32mroot@web\x1b[0m:\x1b[34m/app\x1b[0m# ls\r\n"),
    (0.9, 1, "README.md  ünïcode-漢字  ".encode() + ESCAPES.encode() + b"\x1b[0m\r\n"),
    (30.0, 1, ATTACK.encode() + b"\r\n"),
    (30.5, 3, b'{"metadata":{},"status":"Success"}'),
]


def make_state(state: Path) -> Path:
    """Two sessions: `SESSION` with everything in it, `OTHER` with one plain request. Closed and sealed."""
    with make_spool(state) as spool:
        claims = {"user_agent": f"kubectl {ATTACK}", "mcp_client": "claude-code/2.1"}
        spool.open_session(SESSION, Opened(session=SESSION, client="agent", cluster="prod", claims=claims))
        pods = {"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "web"}, "note": ATTACK}]}
        add(spool, SESSION, meta(1), json.dumps(pods).encode())
        secret = {"kind": "Secret", "metadata": {"name": "db"}, "data": {"password": MASK.base64}, "text": MASK.text}
        add(spool, SESSION, meta(2, verb="get", resource="secrets", name="db", masks=("default/secret-data",), rules=("mcp/read",)),
            json.dumps(secret).encode())  # fmt: skip
        status = {
            "kind": "Status",
            "status": "Failure",
            "code": 403,
            "reason": "Forbidden",
            "message": "namespaces stay",
        }
        denied = meta(3, verb="delete", method="DELETE", resource="namespaces", name="shop", verdict="Deny", status=403,
                      rules=("mcp/no-namespaces",), message="namespaces stay", answered_by="gateway",
                      path="/api/v1/namespaces/shop")  # fmt: skip
        add(spool, SESSION, denied, json.dumps(status).encode())
        bad = meta(4, verdict="", rules=(), verb="", resource="", status=400, path=f"/bad/{ATTACK}{ESCAPES}", query="",
                   message=f"a path {ESCAPES} {ATTACK}", answered_by="gateway")  # fmt: skip
        add(spool, SESSION, bad)
        add_watch(spool, SESSION, 5)
        add_exec(spool, SESSION, 6, TERMINAL)
        spool.close_session(SESSION)
        spool.open_session(OTHER, Opened(session=OTHER, client="robot", cluster="prod"))
        add(spool, OTHER, meta(1, client="robot"), b"{}")
        spool.close_session(OTHER)
    return state
