"""Answers of the API server that are not objects: `metav1.Status`, as kube-apiserver words them.

Belongs here: the constructors of each refusal (apimachinery pkg/api/errors 1.34). Does not belong here: when to refuse.
"""

from __future__ import annotations

from typing import Any

from pratique.sandbox.resources import Resource

JSON = dict[str, Any]


class StatusError(Exception):
    """A refusal by the sandbox API server: `code`, `reason`, `message` and `details` of the Status body."""

    def __init__(self, code: int, reason: str, message: str, details: JSON | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.details = details or {}

    def body(self) -> JSON:
        return failure(self.code, self.reason, self.message, self.details)


def failure(code: int, reason: str, message: str, details: JSON | None = None) -> JSON:
    status: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message}
    if reason:
        status["reason"] = reason
    if details:
        status["details"] = details
    return {**status, "code": code}


def success(details: JSON | None = None) -> JSON:
    status: JSON = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        status["details"] = details
    return status


def _details(resource: Resource, name: str, **more: Any) -> JSON:
    details: JSON = {}
    if name:
        details["name"] = name
    if resource.group:
        details["group"] = resource.group
    return {**details, "kind": resource.plural, **more}


def bad_request(message: str) -> StatusError:
    return StatusError(400, "BadRequest", message)


def unauthorized() -> StatusError:
    return StatusError(401, "Unauthorized", "Unauthorized")


def forbidden(resource: Resource, name: str, message: str) -> StatusError:
    text = f'{resource.qualified} "{name}" is forbidden: {message}'
    return StatusError(403, "Forbidden", text, _details(resource, name))


def not_found(resource: Resource, name: str) -> StatusError:
    return StatusError(404, "NotFound", f'{resource.qualified} "{name}" not found', _details(resource, name))


def unknown_path() -> StatusError:
    return StatusError(404, "NotFound", "the server could not find the requested resource", {})


def method_not_allowed(resource: Resource, method: str) -> StatusError:
    text = f"the server does not allow this method on the requested resource ({method} {resource.qualified})"
    return StatusError(405, "MethodNotAllowed", text, _details(resource, ""))


def not_acceptable() -> StatusError:
    text = "only the following media types are accepted: application/json, application/yaml"
    return StatusError(406, "NotAcceptable", text)


def already_exists(resource: Resource, name: str) -> StatusError:
    return StatusError(409, "AlreadyExists", f'{resource.qualified} "{name}" already exists', _details(resource, name))


def conflict(resource: Resource, name: str, message: str) -> StatusError:
    text = f'Operation cannot be fulfilled on {resource.qualified} "{name}": {message}'
    return StatusError(409, "Conflict", text, _details(resource, name))


def modified(resource: Resource, name: str) -> StatusError:
    message = "the object has been modified; please apply your changes to the latest version and try again"
    return conflict(resource, name, message)


def expired(message: str) -> StatusError:
    return StatusError(410, "Expired", message)


def too_large() -> StatusError:
    text = "Request entity too large: limit is 3145728"
    return StatusError(413, "RequestEntityTooLarge", text)


def unsupported_media(got: str, accepted: tuple[str, ...]) -> StatusError:
    listed = ", ".join(accepted)
    text = f"the body of the request was in an unknown format - accepted media types include: {listed} (got {got})"
    return StatusError(415, "UnsupportedMediaType", text)


def cause(reason: str, message: str, field: str) -> JSON:
    return {"reason": reason, "message": message, "field": field}


def invalid(resource: Resource, name: str, causes: list[JSON]) -> StatusError:
    lines = [f"{item['field']}: {item['message']}" for item in causes]
    joined = lines[0] if len(lines) == 1 else f"[{', '.join(lines)}]"
    details = _details(resource, name, causes=causes)
    details["kind"] = resource.kind
    qualified = f"{resource.kind}.{resource.group}" if resource.group else resource.kind
    return StatusError(422, "Invalid", f'{qualified} "{name}" is invalid: {joined}', details)


def too_many_requests(message: str, retry_after: int) -> StatusError:
    return StatusError(429, "TooManyRequests", message, {"retryAfterSeconds": retry_after})


def internal(message: str) -> StatusError:
    return StatusError(500, "InternalError", f"Internal error occurred: {message}")
