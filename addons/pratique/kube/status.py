"""`metav1.Status` bodies: what clients get instead of an answer of the cluster.

Belongs here: the JSON, and making text harmless. Not here: the HTTP status line and headers (the adapter), what to
say. kubectl and client-go show `message` raw, also escape sequences, and `unknown` for JSON that is no Status: so
every refusal is one. For a 422 with details kubectl shows the causes and not the message: fill both.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from pratique.errors import Cause, PratiqueError, Refused

CONTENT_TYPE = "application/json"
# client-go reads 64 KiB of an answer to a failed upgrade; a Status must fit with its details.
MESSAGE_CHARACTERS = 8192


def harmless(value: str) -> str:
    r"""`value` on one line, harmless on a terminal.

    Control characters, escape sequences, bidi marks and lone surrogates become `\xNN` or `\uNNNN`.
    """
    if value.isascii() and value.isprintable():
        return value
    return "".join(c if c.isprintable() else " " if c in "\n\t" else _escaped(c) for c in value)


def _escaped(character: str) -> str:
    point = ord(character)
    return f"\\x{point:02x}" if point < 0x100 else f"\\u{point:04x}" if point < 0x10000 else f"\\U{point:08x}"


def status(
    code: int,
    reason: str,
    message: str,
    *,
    details: Mapping[str, Any] | None = None,
    causes: Iterable[Cause] = (),
    retry_after: int | None = None,
) -> bytes:
    """A Failure Status as JSON.

    `details`: name, group, kind, uid; `retry_after` in seconds (the header is the adapter's).
    """
    shown: dict[str, Any] = {key: harmless(str(value)) for key, value in (details or {}).items()}
    listed = [_cause(cause) for cause in causes]
    if listed:
        shown["causes"] = listed
    if retry_after is not None:
        shown["retryAfterSeconds"] = retry_after
    body: dict[str, Any] = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": harmless(message[:MESSAGE_CHARACTERS]),
        "reason": reason,
    }
    if shown:
        body["details"] = shown
    body["code"] = code
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _cause(cause: Cause) -> dict[str, str]:
    shown = {"reason": harmless(cause.reason), "message": harmless(cause.message[:MESSAGE_CHARACTERS])}
    if cause.field:
        shown["field"] = harmless(cause.field)
    return shown


def from_refused(error: Refused, *, details: Mapping[str, Any] | None = None) -> bytes:
    """The Status of a refusal; the rule of refusal is its first cause, in field `gateway`."""
    causes = error.causes
    if error.rule:
        causes = (Cause(error.rule, error.message, "gateway"), *causes)
    return status(
        error.code, error.reason, error.message, details=details, causes=causes, retry_after=error.retry_after
    )


def from_error(error: PratiqueError) -> bytes:
    """The Status of any other error of ours.

    Its code and reason, and none of its text, which is for the operator's log.
    """
    if isinstance(error, Refused):
        return from_refused(error)
    return status(error.code, error.reason, "the gateway cannot serve this request now. Ask its operator")
