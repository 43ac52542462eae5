"""I/O (logging): the log as JSON lines, one for everything that is said, for every request and for every decision.

Belongs here: the shape of a line. Not here: what was a secret (`Finished` and the texts of this program hold none); an
exception is its class and its place, never its text.

Fields: `time` (RFC 3339, UTC), `level`, `event` (`log`, `request`, `decision`), `message`; of a request and a decision the
ids of client, session, approval and audit, so that the line joins recordings and the audit log.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Any

from pratique.errors import StartError
from pratique.kube.status import harmless
from pratique.observing.finished import Finished

FIELDS = "pratique"
"""The attribute of a log record (`extra={FIELDS: {…}}`) that holds more fields of its line."""
FORMATS = ("text", "json")
logger = logging.getLogger("pratique.requests")


def wants_json(log_format: str) -> bool:
    """Of the option `pratique_log_format`. Raises StartError."""
    if log_format not in FORMATS:
        raise StartError(f"option `pratique_log_format` must be one of {', '.join(FORMATS)}, not `{log_format}`")
    return log_format == "json"


class JsonFormatter(logging.Formatter):
    """One line of JSON for one record."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "event": "log",
            "message": harmless(record.getMessage()),
        }
        line |= getattr(record, FIELDS, {})
        if isinstance(record.exc_info, tuple) and record.exc_info[1] is not None:
            line["exception"] = _place(record.exc_info[1])
        return json.dumps(line, ensure_ascii=True, separators=(",", ":"), default=str)


def _place(exc: BaseException) -> str:
    """Class and `file:line`."""
    trace = exc.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "?"
    return f"{type(exc).__name__} at {where}"


def request_fields(request: Finished) -> dict[str, Any]:
    """What a line about a request says; nothing that is empty."""
    fields: dict[str, Any] = {
        "event": "request",
        "client": request.client,
        "session": request.session,
        "approval": request.approval,
        "auditID": request.audit_id,
        "verb": request.verb,
        "resource": f"{request.resource}/{request.subresource}" if request.subresource else request.resource,
        "namespace": request.namespace,
        "name": request.name,
        "verdict": request.action,
        "rules": list(request.rules),
        "refusal": request.refusal,
        "code": request.code,
        "masked": sum(request.masked.values()),
        "stream": request.stream,
        "seconds": round(request.duration, 4),
        "held": _rounded(request.held),
        "upstream": _rounded(request.upstream),
    }
    always = {"code", "seconds"}
    return {name: value for name, value in fields.items() if value or name in always}


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 4)


def log_request(request: Finished) -> None:
    """One line; nobody formats it unless somebody listens."""
    logger.info("request", extra={FIELDS: request_fields(request)})


def decision(**fields: str) -> dict[str, Any]:
    """The `extra` of a line about a decision: who decided what, about which approval, grant or revocation."""
    return {FIELDS: {"event": "decision"} | {name: value for name, value in fields.items() if value}}
