"""The gateway's own answer to an upgrade, and the offer that then goes upstream. Pure.

Belongs here: which sub-protocol is chosen, the headers of the 101 (RFC 6455 4.2.2; SPDY as client-go 1.36 reads it). Not
here: which upgrades are forwarded at all (`headers`), when the gateway answers by itself (`pratique.approvals`).
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import replace

from pratique.kube.canonical import CanonicalRequest
from pratique.kube.channels import V4, V5

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_PREFERRED = {"websocket": (V5, V4), "SPDY/3.1": (V4,)}
"""Over SPDY the kubelet speaks no newer one than v4: what is chosen here must be what the cluster chooses later."""
_OFFERS = frozenset({b"sec-websocket-protocol", b"x-stream-protocol-version"})

type Header = tuple[bytes, bytes]


def chosen_protocol(request: CanonicalRequest) -> str:
    """The sub-protocol with which the gateway can answer this exec or attach by itself; "" if it cannot."""
    if request.attributes.subresource not in {"exec", "attach"}:
        return ""
    return next((each for each in _PREFERRED.get(request.upgrade, ()) if each in request.subprotocols), "")


def switching_headers(request: CanonicalRequest, chosen: str) -> tuple[Header, ...]:
    """Of the 101 that answers `request`."""
    if request.upgrade != "websocket":
        return (
            (b"Connection", b"Upgrade"),
            (b"Upgrade", b"SPDY/3.1"),
            (b"X-Stream-Protocol-Version", chosen.encode()),
        )
    key = next(value for name, value in request.headers if name.lower() == b"sec-websocket-key")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())
    return (
        (b"Connection", b"Upgrade"),
        (b"Upgrade", b"websocket"),
        (b"Sec-WebSocket-Accept", accept),
        (b"Sec-WebSocket-Protocol", chosen.encode()),
    )


def offering(request: CanonicalRequest, chosen: str) -> CanonicalRequest:
    """`request`, offering the cluster only what the client was promised already."""
    kept = [(name, value) for name, value in request.headers if name.lower() not in _OFFERS]
    name = b"Sec-WebSocket-Protocol" if request.upgrade == "websocket" else b"X-Stream-Protocol-Version"
    return replace(request, headers=(*kept, (name, chosen.encode())), subprotocols=(chosen,))
