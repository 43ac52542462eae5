"""I/O: one request out of a recorded flow file, as bytes that can be judged again.

Belongs here: finding the request. Not here: the format (`pratique.recorder.flowfile`), sessions and their chain. The
bodies of a recording are masked and its credentials gone: a policy sees neither anyway.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pratique.kube.forms import RawRequest
from pratique.policy.cases import FlowReference
from pratique.recorder.flowfile import decode, scan

MAX_FILE_BYTES = 1 << 30  # a segment of the recorder is smaller by far
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})


def recorded_request(file: Path, reference: FlowReference) -> RawRequest:
    """Raises OSError, FramingError; ValueError: no such request in the file."""
    if file.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"`{file}` is larger than {MAX_FILE_BYTES} bytes")
    for number, request in enumerate(_requests(file.read_bytes()), 1):
        if reference.audit_id:
            if _header(request, b"audit-id") == reference.audit_id.encode():
                return _raw(request)
        elif number == max(reference.index, 1):
            return _raw(request)
    wanted = f"with Audit-ID `{reference.audit_id}`" if reference.audit_id else f"number {max(reference.index, 1)}"
    raise ValueError(f"`{file}` has no request {wanted}")


def _requests(data: bytes) -> Iterator[Mapping[str, Any]]:
    for offset, length in scan(data):
        flow = decode(data[offset : offset + length])
        request = flow.get("request") if isinstance(flow, dict) else None
        if isinstance(request, dict):
            response = flow.get("response") or {}
            yield {**request, "answer": response.get("headers") or ()}


def _header(request: Mapping[str, Any], wanted: bytes) -> bytes | None:
    fields = [*request.get("headers", ()), *request["answer"]]
    return next((value for name, value in fields if name.lower() == wanted), None)


def _raw(request: Mapping[str, Any]) -> RawRequest:
    body = request.get("content") or b""
    fields = [(name, value) for name, value in request.get("headers", ()) if name.lower() not in _FRAMING]
    if body:
        fields.append((b"content-length", str(len(body)).encode()))
    version = request.get("http_version") or b"HTTP/1.1"
    return RawRequest(request["method"], request["path"], tuple(map(tuple, fields)), body, version.decode("ascii"))
