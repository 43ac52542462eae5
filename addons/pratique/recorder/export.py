"""Recordings in the shapes of others: audit.k8s.io/v1 Events and HAR 1.2.

Belongs here: the translation, pure: entries and decoded flows in, JSON-ready values out. Not here: reading
(`sessions`), writing files (the CLI). Both hold only what the recording holds, so what was scrubbed or masked stays so.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl

from pratique.recorder.chain import Entry
from pratique.recorder.record import Opened, Record, Stage, comment

ANNOTATION = "pratique/"
"""Prefix of the annotations that are ours in an audit Event."""


def timestamp(seconds: float) -> str:
    """`metav1.MicroTime`: RFC 3339 in UTC with six digits."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value not in ("", None, (), [], {}, 0)}


def _uri(record: Record) -> str:
    return f"{record.path}?{record.query}" if record.query else record.path


def audit_event(session: str, opened: Opened, entry: Entry) -> dict[str, Any] | None:
    """One `Event` of audit.k8s.io/v1 (level Metadata), joined with the API server's own by `auditID`.

    None for entries without a request. A request that was refused by the gateway never reached the API server: its
    Event is marked by the annotation `pratique/answered-by: gateway`.
    """
    record = entry.record
    if record is None or record.stage is Stage.EVENT:
        return None
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "level": "Metadata",
        "auditID": record.audit_id,
        "stage": str(record.stage),
        "requestURI": _uri(record),
        "verb": record.verb or record.method.lower(),
        "user": {"username": record.client or opened.client},
        **_filled(
            {
                "impersonatedUser": _filled({"username": record.impersonated}),
                "sourceIPs": [ip] if (ip := record.source_ip or opened.source_ip) else [],
                "userAgent": record.user_agent or opened.claims.get("user_agent", ""),
                "objectRef": _object_reference(record),
                "responseStatus": _status(record),
            }
        ),
        "requestReceivedTimestamp": timestamp(record.started or entry.time),
        "stageTimestamp": timestamp(record.ended or entry.time),
        "annotations": _annotations(session, entry.n, record),
    }


def _status(record: Record) -> dict[str, Any]:
    """`metav1.Status` as the API server writes it into an Event: nothing before there is an answer."""
    if not record.status:
        return {}
    failed = {"status": "Failure", "message": record.message} if record.status >= 400 else {}
    return {"metadata": {}, **_filled(failed), "code": record.status}


def _object_reference(record: Record) -> dict[str, Any]:
    if not record.resource:
        return {}
    return _filled(
        {
            "resource": record.resource,
            "namespace": record.namespace,
            "name": record.name,
            "apiGroup": record.api_group,
            "apiVersion": record.api_version,
            "subresource": record.subresource,
        }
    )


def _annotations(session: str, n: int, record: Record) -> dict[str, str]:
    ours = {
        "session": session,
        "entry": str(n),
        "credential": record.credential,
        "verdict": record.verdict,
        "rules": " ".join(record.rules),
        "approval": record.approval_id,
        "masks": " ".join(record.masks),
        "errors": "; ".join(record.errors),
        "observed": "; ".join(record.observed),
        "answered-by": record.answered_by,
    }
    return {ANNOTATION + name: value for name, value in ours.items() if value}


def _text(value: Any) -> str:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value or "")


def _headers(message: Mapping[str, Any]) -> list[dict[str, str]]:
    return [{"name": _text(name), "value": _text(value)} for name, value in message.get("headers") or ()]


def _content(message: Mapping[str, Any]) -> dict[str, Any]:
    body = message.get("content") or b""
    kind = next((h["value"] for h in _headers(message) if h["name"].lower() == "content-type"), "")
    content = {"size": len(body), "mimeType": kind}
    try:
        return content | {"text": body.decode()}
    except UnicodeDecodeError:
        return content | {"text": base64.b64encode(body).decode(), "encoding": "base64"}


def _request(state: Mapping[str, Any]) -> dict[str, Any]:
    target = _text(state.get("path"))
    path_query = target.partition("?")[2]
    request: dict[str, Any] = {
        "method": _text(state.get("method")),
        "url": f"{_text(state.get('scheme')) or 'https'}://{_text(state.get('host'))}:{state.get('port', 443)}{target}",
        "httpVersion": _text(state.get("http_version")),
        "cookies": [],
        "headers": _headers(state),
        "queryString": [{"name": n, "value": v} for n, v in parse_qsl(path_query, keep_blank_values=True)],
        "headersSize": -1,
        "bodySize": len(state.get("content") or b""),
    }
    if state.get("content"):
        content = _content(state)
        request["postData"] = {"mimeType": content["mimeType"], "text": content["text"]}
    return request


def _response(state: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "status": state.get("status_code") or 0,
        "statusText": _text(state.get("reason")),
        "httpVersion": _text(state.get("http_version")),
        "cookies": [],
        "headers": _headers(state),
        "content": _content(state),
        "redirectURL": "",
        "headersSize": -1,
        "bodySize": len(state.get("content") or b""),
    }


def har_entry(flow: Mapping[str, Any], record: Record | None) -> dict[str, Any]:
    """One entry of `log.entries` from a decoded flow. A flow without a response gets status 0, as browsers do."""
    request = flow.get("request") or {}
    response = flow.get("response") or {}
    began = float(request.get("timestamp_start") or 0.0)
    ended = float(response.get("timestamp_end") or request.get("timestamp_end") or began)
    spent = round(max(ended - began, 0.0) * 1000, 3)
    entry = {
        "startedDateTime": timestamp(began),
        "time": spent,
        "request": _request(request),
        "response": _response(response),
        "cache": {},
        "timings": {"send": 0, "wait": spent, "receive": 0},
    }
    if record is None:
        return entry
    ours = {"_auditID": record.audit_id, "_verdict": record.verdict, "_rules": list(record.rules)}
    return entry | _filled(ours | {"_approval": record.approval_id, "comment": comment(record)})


def har(entries: Iterable[dict[str, Any]], version: str) -> dict[str, Any]:
    """The HAR 1.2 document (http://www.softwareishard.com/blog/har-12-spec/) around entries of `har_entry`."""
    return {"log": {"version": "1.2", "creator": {"name": "pratique", "version": version}, "entries": list(entries)}}
