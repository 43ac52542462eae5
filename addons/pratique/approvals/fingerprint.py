"""What an approval is bound to: SHA-256 over everything that makes a request this request.

Belongs here: the fields, their order, their framing. Not here: making a request canonical (`pratique.kube`), whose
output is what must come in. Relies on nothing.

One intent, one approval: kubectl's exec is a WebSocket GET, and after any refusal a SPDY POST with the same URL. For
`pods` `exec`, `attach` and `portforward` both methods are therefore one.
"""

from __future__ import annotations

import hashlib

_STREAMS = frozenset({"exec", "attach", "portforward"})
_CONNECT = "CONNECT"  # the API server's own name for the operation (admission `Operation: CONNECT`)


def is_stream(api_group: str, resource: str, subresource: str) -> bool:
    """Whether GET and POST are two transports of the same call. Other groups may have subresources of these names."""
    return (api_group, resource) == ("", "pods") and subresource in _STREAMS


def fingerprint(
    *,
    client: str,
    cluster: str,
    method: str,
    path: bytes,
    query: bytes,
    patch_type: str = "",
    body: bytes = b"",
    is_stream: bool = False,
) -> str:
    """64 hex characters. `path`, `query` and `body` are canonical, `patch_type` the media type of the body."""
    operation = _CONNECT if is_stream and method in {"GET", "POST"} else method
    digest = hashlib.sha256(b"pratique fingerprint 1")
    for field in (_text(client), _text(cluster), _text(operation), path, query, _text(patch_type.lower()), body):
        # With its length in front no field can be moved into the next: ("ab", "c") is not ("a", "bc").
        digest.update(len(field).to_bytes(8))
        digest.update(field)
    return digest.hexdigest()


def _text(value: str) -> bytes:
    return value.encode("utf-8", "surrogateescape")
