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

from pratique.recorder.flowfile import SLOT, Encoded, Form, encode, encode_pairs
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


_FLOW = Form({
    "version": FLOW_FORMAT, "type": "http", "id": SLOT, "error": SLOT, "client_conn": SLOT, "server_conn": SLOT,
    "intercepted": False, "is_replay": None, "marked": SLOT, "comment": SLOT, "metadata": SLOT,
    "timestamp_created": SLOT, "backup": None, "websocket": None, "request": SLOT, "response": SLOT,
})  # fmt: skip
_REQUEST = Form({
    "host": SLOT, "port": SLOT, "method": SLOT, "scheme": SLOT, "authority": b"", "path": SLOT,
    "http_version": b"HTTP/1.1", "headers": SLOT, "content": SLOT, "trailers": None, "timestamp_start": SLOT,
    "timestamp_end": SLOT,
})  # fmt: skip
_RESPONSE = Form({
    "status_code": SLOT, "reason": b"", "http_version": b"HTTP/1.1", "headers": SLOT, "content": SLOT, "trailers": None,
    "timestamp_start": SLOT, "timestamp_end": SLOT,
})  # fmt: skip
_METADATA = Form({
    "pratique.flow": SLOT, "pratique.audit_id": SLOT, "pratique.client": SLOT, "pratique.verdict": SLOT,
    "pratique.rules": SLOT, "pratique.masks": SLOT, "pratique.stage": SLOT,
})  # fmt: skip


def flow_bytes(record: Record, ends: Ends, server: Server, request: Message, response: Message | None) -> bytes:
    """The record of a flow file."""
    target = record.path + (f"?{record.query}" if record.query else "")
    return _FLOW.fill(
        flow_id(record),
        {"msg": record.note, "timestamp": record.ended} if record.note else None,
        _client(ends),
        _server((server.host, server.port)),
        marker(record),
        comment(record),
        _metadata(record),
        record.started,
        _REQUEST.fill(
            server.host,
            server.port,
            record.method.encode(),
            server.scheme,
            target.encode("utf-8", "surrogateescape"),
            *_message(request),
        ),
        _RESPONSE.fill(record.status, *_message(response)) if response else None,
    ).data


def _message(message: Message) -> tuple[Encoded, bytes, float, float | None]:
    return encode_pairs(message.headers), message.content, message.began, message.ended


def _metadata(record: Record) -> Encoded:
    return _METADATA.fill(
        record.flow,
        record.audit_id,
        record.client,
        record.verdict,
        ",".join(record.rules),
        ",".join(record.masks),
        str(record.stage),
    )
