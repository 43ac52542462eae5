"""The quick check of a message's fields finds what mitmproxy's own finds, and says the same."""

from __future__ import annotations

import dataclasses
import inspect
from typing import Any

import pytest
from mitmproxy import http
from mitmproxy.test import tutils

from pratique.launcher import messages

KINDS = {"request": tutils.treq().data, "response": tutils.tresp().data}
VALUES: dict[str, Any] = {
    "none": None, "text": "x", "bytes": b"x", "integer": 7, "float": 1.5, "boolean": True, "headers": http.Headers(),
    "list": [],
}  # fmt: skip


def _told(check: Any, message: Any) -> str:
    try:
        check(message)
    except TypeError as error:
        return str(error)
    return ""


def _changed(message: Any, name: str, value: Any) -> Any:
    """Past the check of its own class."""
    made = object.__new__(type(message))
    made.__dict__.update(vars(message) | {name: value})
    return made


@pytest.mark.parametrize("kind", sorted(KINDS))
@pytest.mark.parametrize("value", sorted(VALUES))
def test_each_field_with_each_kind_of_value(kind: str, value: str) -> None:
    message = KINDS[kind]
    for field in dataclasses.fields(message):
        changed = _changed(message, field.name, VALUES[value])
        assert _told(messages.check, changed) == _told(messages.mitmproxy_check, changed)
    assert _told(messages.check, message) == ""


def test_once_installed_every_new_message_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http.MessageData, "__post_init__", messages.mitmproxy_check)
    messages.install()
    with pytest.raises(TypeError, match="status_code"):
        http.Response(b"HTTP/1.1", "200", b"", http.Headers(), b"", None, 0.0, 0.0)  # type: ignore[arg-type]
    assert http.Response(b"HTTP/1.1", 200, b"", http.Headers(), b"", None, 0, None).status_code == 200


def test_what_is_replaced_is_what_this_was_written_against() -> None:
    """mitmproxy 12.2.3. Another release: read what has changed, then change this."""
    assert [line.strip() for line in inspect.getsource(messages.mitmproxy_check).splitlines()] == [
        "def __post_init__(self):",
        "for field in fields(self):",
        "val = getattr(self, field.name)",
        "typecheck.check_option_type(field.name, val, field.type)",
    ]
