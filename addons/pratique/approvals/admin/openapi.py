"""The description of the HTTP API (OpenAPI 3.1), made from the values that it answers with; `openapi.json` is its text.

Belongs here: paths, parameters, which shape is where. Not here: the shapes (`views`). `python -m
pratique.approvals.admin.openapi` writes the file anew; a test compares it with the code and with the routes.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import Any

import msgspec

from pratique.approvals.admin import playground_views, probed, views
from pratique.approvals.admin import revocation_views as revocations

FILE = Path(__file__).with_name("openapi.json")
_REF = "#/components/schemas/{name}"
_ID = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}


def _show(*values: str) -> dict[str, Any]:
    return {"name": "show", "in": "query", "schema": {"type": "string", "enum": list(values), "default": values[0]}}


# (method, path, what it does, parameters, shape of the body, status, shape of the answer, who may)
_CALLS: tuple[tuple[str, str, str, list[Any], type | None, int, type | None, bool], ...] = (
    ("get", "/healthz", "Whether the process is alive.", [], None, 200, probed.HealthView, False),
    ("get", "/readyz", "Whether it serves, check by check; 503 if not.", [], None, 200, probed.ReadyView, False),
    ("get", "/metrics", "Metrics, in Prometheus' text format.", [], None, 200, None, False),
    ("post", "/api/v1/login", "Opens a session: sets its cookie.", [], views.LoginInput, 200, views.MeView, False),
    ("post", "/api/v1/logout", "Ends the session.", [], None, 204, None, False),
    ("get", "/api/v1/me", "Who the caller is.", [], None, 200, views.MeView, True),
    ("get", "/api/v1/approvals", "The newest first, those in the caller's field.", [_show("open", "closed", "all")],
     None, 200, views.ApprovalList, True),
    ("get", "/api/v1/approvals/{id}", "One approval as it is now, with a nonce for one decision about it.", [_ID],
     None, 200, views.ApprovalView, True),
    ("post", "/api/v1/approvals/{id}/decision", "Approves or denies what was shown with the nonce.", [_ID],
     views.DecisionInput, 200, views.ApprovalView, True),
    ("post", "/api/v1/approvals/{id}/revocation", "Takes an approval back; ends the streams that it opened.", [_ID],
     views.RevocationInput, 200, views.ApprovalView, True),
    ("get", "/api/v1/grants", "What was granted beyond one use.", [_show("live", "all")], None, 200, views.GrantList,
     True),
    ("post", "/api/v1/grants/{id}/revocation", "Ends a grant, and the streams that it opened.", [_ID],
     views.RevocationInput, 204, None, True),
    ("get", "/api/v1/revocations", "Clients and sessions that are cut off, and the kill switch.",
     [_show("in-force", "all")], None, 200, revocations.RevocationList, True),
    ("post", "/api/v1/revocations", "Cuts off a client, a session or everything, within a second.", [],
     revocations.RevokeInput, 201, revocations.RevocationView, True),
    ("post", "/api/v1/revocations/{id}/lift", "Ends a revocation.", [_ID], revocations.LiftInput, 204, None, True),
    ("get", "/api/v1/playground", "What can be picked: policies, clients, recorded requests. 404 where it is switched off.", [],
     None, 200, None, True),
    ("post", "/api/v1/playground", "Tries out a request, a policy and an answer. Nothing is sent.", [], playground_views.TryInput,
     200, None, True),
    ("get", "/api/v1/playground/recorded/{id}", "One recorded request, `SESSION.ENTRY`, to be tried out.", [_ID], None, 200, None, True),
    ("post", "/api/v1/links", "The approval that a link from a message leads to, once.", [], views.LinkInput, 200,
     views.LinkView, True),
    ("get", "/api/v1/openapi.json", "This description.", [], None, 200, None, False),
)  # fmt: skip
PATHS = frozenset((method, path) for method, path, *_ in _CALLS)


def document() -> dict[str, Any]:
    """The whole description."""
    shapes = {shape for call in _CALLS for shape in (call[4], call[6]) if shape is not None} | {views.ErrorView}
    ordered = sorted(shapes, key=lambda shape: shape.__name__)
    _, components = msgspec.json.schema_components(ordered, ref_template=_REF)
    for component in components.values():
        if "description" in component:  # Python 3.13 takes the indent off docstrings, 3.12 does not
            component["description"] = inspect.cleandoc(component["description"])
    paths: dict[str, dict[str, Any]] = {}
    for method, path, summary, parameters, given, status, answer, needs_login in _CALLS:
        operation: dict[str, Any] = {"summary": summary, "responses": _responses(status, answer)}
        if parameters:
            operation["parameters"] = parameters
        if given is not None:
            operation["requestBody"] = {"required": True, "content": _json(given)}
        if needs_login:
            operation["security"] = [{"key": []}, {"session": []}]
        paths.setdefault(path, {})[method] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "pratique: approvals",
            "version": "1",
            "description": "For reviewers. Times are seconds since the epoch; unknown fields in a body are refused. "
            "A caller with a session cookie must send `Origin`.",
        },
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A reviewer's key."},
                "session": {"type": "apiKey", "in": "cookie", "name": "__Host-pratique-reviewer"},
            },
        },
    }


def _responses(status: int, answer: type | None) -> dict[str, Any]:
    done: dict[str, Any] = {"description": "Done."}
    if answer is not None:
        done["content"] = _json(answer)
    return {str(status): done, "default": {"description": "Refused.", "content": _json(views.ErrorView)}}


def _json(shape: type) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": _REF.format(name=shape.__name__)}}}


def text() -> str:
    return json.dumps(document(), indent=1, ensure_ascii=False) + "\n"


DOCUMENT = FILE.read_bytes() if FILE.exists() else b"{}"

if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
