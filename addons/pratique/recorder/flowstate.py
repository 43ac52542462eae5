"""One recorded request as a mitmproxy flow, in bytes, without mitmproxy: a new flow of scrubbed parts only.

Belongs here: the state of `http.HTTPFlow` (mitmproxy 12.2.3, flow format 21), filled from a `Record` and two messages. Pure.
Not here: the encoding (`flowfile`), which mitmproxy itself would need five times as long for; tests read every flow back with
mitmproxy's own FlowReader.

INVARIANT: nothing of a flow is stored that is not named here.
"""

from __future__ import annotations

import functools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from pratique.recorder.flowfile import Encoded, encode
from pratique.recorder.record import Record, Stage, comment, marker

FLOW_FORMAT = 21
"""`mitmproxy.version.FLOW_FORMAT_VERSION`; newer releases convert what older ones wrote."""

_NO_TLS: dict[str, object] = {
    "alpn": None, "alpn_offers": [], "certificate_list": [], "cipher": None, "cipher_list": [], "sni": None,
    "timestamp_end": None, "timestamp_tls_setup": None, "tls": False, "tls_version": None, "transport_protocol": "tcp",
    "error": None,
}  # fmt: skip

type Address = tuple[str, int]
type Headers = Sequence[tuple[bytes, bytes]]


@dataclass(frozen=True, slots=True)
class Ends:
    """The connection of a client. `started` is seconds since the epoch; an address that is not known is ("", 0)."""

    id: str
    peer: Address
    local: Address
    started: float


@dataclass(frozen=True, slots=True)
class Message:
    """A request or an answer: headers scrubbed, the content as it may be stored. Times are seconds since the epoch."""

    headers: Headers
    content: bytes
    began: float
    ended: float | None


@dataclass(frozen=True, slots=True)
class Server:
    """Where the request went, or would have gone."""

    scheme: bytes
    host: str
    port: int


@functools.lru_cache(maxsize=1024)
def _client(ends: Ends) -> Encoded:
    """Encoded once per connection."""
    own = {
        "id": ends.id, "peername": ends.peer, "sockname": ends.local, "timestamp_start": ends.started, "mitmcert": None,
        "proxy_mode": "regular",
    }  # fmt: skip
    return Encoded(encode(_NO_TLS | own))


@functools.lru_cache(maxsize=64)
def _server(address: Address) -> Encoded:
    own = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{address[0]}:{address[1]}")), "address": address, "peername": None,
        "sockname": None, "timestamp_start": None, "timestamp_tcp_setup": None, "via": None,
    }  # fmt: skip
    return Encoded(encode(_NO_TLS | own))


def flow_id(record: Record) -> str:
    """Mitmweb shows the first of two flows with one id, and the end of a request is the one to see."""
    if record.stage is Stage.COMPLETE:
        return record.flow
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{record.flow}/{record.stage}"))


def flow_bytes(record: Record, ends: Ends, server: Server, request: Message, response: Message | None) -> bytes:
    """The record of a flow file."""
    target = record.path + (f"?{record.query}" if record.query else "")
    return encode(
        {
            "version": FLOW_FORMAT,
            "type": "http",
            "id": flow_id(record),
            "error": {"msg": record.note, "timestamp": record.ended} if record.note else None,
            "client_conn": _client(ends),
            "server_conn": _server((server.host, server.port)),
            "intercepted": False,
            "is_replay": None,
            "marked": marker(record),
            "comment": comment(record),
            "metadata": _metadata(record),
            "timestamp_created": record.started,
            "backup": None,
            "websocket": None,
            "request": {
                "host": server.host,
                "port": server.port,
                "method": record.method.encode(),
                "scheme": server.scheme,
                "authority": b"",
                "path": target.encode("utf-8", "surrogateescape"),
                **_message(request),
            },
            "response": {"status_code": record.status, "reason": b"", **_message(response)} if response else None,
        }
    )


def _message(message: Message) -> dict[str, object]:
    return {
        "http_version": b"HTTP/1.1",
        "headers": message.headers,
        "content": message.content,
        "trailers": None,
        "timestamp_start": message.began,
        "timestamp_end": message.ended,
    }


def _metadata(record: Record) -> dict[str, str]:
    return {
        "pratique.flow": record.flow,
        "pratique.audit_id": record.audit_id,
        "pratique.client": record.client,
        "pratique.verdict": record.verdict,
        "pratique.rules": ",".join(record.rules),
        "pratique.masks": ",".join(record.masks),
        "pratique.stage": str(record.stage),
    }
