"""Query strings and write options, parsed as Go's net/url and the API server's conversions do.

Pure. Pairs that hold `;` are dropped whole, broken escapes are dropped (Go's `URL.Query()`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from pratique.sandbox import status

JSON = dict[str, Any]
_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")


class Query:
    """First value, all values, or a bool by apimachinery's rule of one query."""

    def __init__(self, raw: str) -> None:
        self.pairs: list[tuple[str, str]] = []
        for part in raw.split("&"):
            if not part or ";" in part or _BROKEN.search(part):
                continue
            name, _, value = part.partition("=")
            self.pairs.append((unquote_plus(name), unquote_plus(value)))

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.pairs if key == name]

    def first(self, name: str, default: str = "") -> str:
        return next(iter(self.all(name)), default)

    def flag(self, name: str, *, default: bool = False) -> bool:
        """Absent is `default`; `false` and `0` are false; all else, also empty, is true."""
        values = self.all(name)
        return values[0].lower() not in {"false", "0"} if values else default

    def number(self, name: str) -> int | None:
        text = self.first(name)
        if not text:
            return None
        try:
            return int(text)
        except ValueError as error:
            parse = f'strconv.ParseInt: parsing "{text}": invalid syntax'
            raise status.bad_request(f"unable to decode query parameter `{name}`: {parse}") from error


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """The common part of CreateOptions, UpdateOptions and PatchOptions."""

    dry_run: bool = False
    manager: str = "unknown"
    force: bool = False
    validation: str = "Warn"


def check_dry_run(values: list[str]) -> bool:
    """True for exactly `All`; no value is False; anything else is 422, as in the real server."""
    if not values:
        return False
    if values == ["All"]:
        return True
    bad = next((value for value in values if value != "All"), "")
    message = f'Unsupported value: "{bad}": supported values: "All"'
    details = {"causes": [status.cause("FieldValueNotSupported", message, "dryRun")]}
    raise status.StatusError(422, "Invalid", f' "" is invalid: dryRun: {message}', details)


def write_options(query: Query, user_agent: str) -> WriteOptions:
    manager = query.first("fieldManager") or user_agent.split("/", maxsplit=1)[0] or "unknown"
    validation = query.first("fieldValidation") or "Warn"
    if validation not in {"Ignore", "Warn", "Strict"}:
        text = f'fieldValidation: Unsupported value: "{validation}": supported values: "Ignore", "Strict", "Warn"'
        raise status.StatusError(422, "Invalid", text)
    return WriteOptions(check_dry_run(query.all("dryRun")), manager, query.flag("force"), validation)


@dataclass(frozen=True, slots=True)
class DeleteOptions:
    dry_run: bool = False
    grace_seconds: int | None = None
    propagation: str = ""
    uid: str = ""
    version: str = ""


def delete_options(query: Query, body: JSON | None) -> DeleteOptions:
    """A body that is there, even `{}`, hides the options of the query (apiserver endpoints/handlers/delete.go)."""
    if body is not None:
        return _from_body(body)
    propagation = query.first("propagationPolicy")
    if not propagation and query.flag("orphanDependents"):
        propagation = "Orphan"
    return DeleteOptions(check_dry_run(query.all("dryRun")), query.number("gracePeriodSeconds"), propagation)


def _from_body(body: JSON) -> DeleteOptions:
    if body.get("kind") not in {None, "", "DeleteOptions"}:
        raise status.bad_request(f"decoded object cannot be converted to DeleteOptions: got {body.get('kind')}")
    needs = body.get("preconditions") or {}
    propagation = body.get("propagationPolicy") or ("Orphan" if body.get("orphanDependents") else "")
    if propagation not in {"", "Orphan", "Background", "Foreground"}:
        raise status.bad_request(f'invalid DeleteOptions: propagationPolicy: Invalid value: "{propagation}"')
    return DeleteOptions(
        check_dry_run(body.get("dryRun") or []),
        body.get("gracePeriodSeconds"),
        propagation,
        needs.get("uid", ""),
        needs.get("resourceVersion", ""),
    )
