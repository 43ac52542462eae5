"""What mitmproxy answers by itself (upstream down, malformed request), as a Kubernetes Status."""

from __future__ import annotations

from mitmproxy.http import Headers, Response
from mitmproxy.net.http import http1
from mitmproxy.proxy.layers.http._events import ResponseProtocolError

from pratique.errors import Refused
from pratique.interlock.upstream import TIMED_OUT
from pratique.kube import status

REASONS = {
    400: "BadRequest",
    413: "RequestEntityTooLarge",
    431: "RequestHeaderFieldsTooLarge",
    502: "BadGateway",
    504: "Timeout",
}


def refusal_of(code: int) -> Refused:
    """The refusal for an error that mitmproxy found. Its own text may quote bytes, so only a fixed text is shown."""
    texts = {
        400: "the request is not well-formed HTTP and was refused",
        413: "the request body is larger than the gateway (and the API server) accepts",
        502: "the cluster's API server could not be reached, or its answer was not usable",
        504: "the cluster's API server did not answer in time. It may still carry the request out: look before repeating it",
    }
    return Refused(code, REASONS.get(code, "InternalError"), texts.get(code, "refused"))


def error_status(code: int, message: str) -> bytes:
    """Its Status; mitmproxy's `message` is not shown."""
    del message
    return status.from_refused(refusal_of(code))


def status_code(event: ResponseProtocolError) -> int | None:
    """What a client is answered; None where the stream is cut."""
    code: int | None = 504 if event.message == TIMED_OUT else event.code.http_status_code()
    return code


def error_response(code: int, message: str) -> bytes:
    """A whole HTTP/1.1 response with that Status; the connection closes after it."""
    headers = Headers([(b"content-type", b"application/json"), (b"connection", b"close")])
    response: bytes = http1.assemble_response(Response.make(code, error_status(code, message), headers))
    return response
