"""What is looked at quicker is found, and told, as mitmproxy does."""

from __future__ import annotations

import dataclasses
import inspect
import types
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import http, optmanager
from mitmproxy.test import tutils

from pratique.launcher import messages

KINDS = {"request": tutils.treq().data, "response": tutils.tresp().data}
VALUES: dict[str, Any] = {
    "none": None, "text": "x", "bytes": b"x", "integer": 7, "float": 1.5, "boolean": True, "headers": http.Headers(),
    "list": [],
}  # fmt: skip
MITMPROXYS = messages.mitmproxy_headers


def _told(look: Any, *arguments: Any) -> Any:
    """What comes of it; an error as its class and, of a field, its text."""
    try:
        return look(*arguments)
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        return type(error), str(error) if look in (messages.check, messages.mitmproxy_check) else ""


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
    assert messages.check(message) is None


def test_no_message_is_taken_for_another_that_was_good() -> None:
    good, bad = KINDS["response"], _changed(KINDS["response"], "reason", "text")
    for _ in range(2):
        assert messages.check(good) is None
        with pytest.raises(TypeError, match="reason"):
            messages.check(bad)


def test_the_check_looks_at_classes_only() -> None:
    """Else what was good once would not be good for ever."""
    hints = [field.type for kind in (http.RequestData, http.ResponseData) for field in dataclasses.fields(kind)]
    for hint in hints:
        kinds = typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
        assert all(isinstance(kind, type) and typing.get_origin(kind) is None for kind in kinds), hint


def test_what_is_remembered_of_messages_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(messages, "_good", set())
    for _ in range(messages.MAX_GOOD + 10):
        made = type("Text", (bytes,), {})
        assert messages.check(_changed(KINDS["response"], "reason", made(b"x"))) is None
    assert len(messages._good) == messages.MAX_GOOD


NAMES = st.sampled_from([b"Host", b"host", b"HOST", b"x-\xff", b"X-\xff", b"a", b""])
FIELDS = st.lists(st.tuples(NAMES, st.binary(max_size=4)), max_size=6)


@given(FIELDS, NAMES, st.booleans())
def test_headers_are_found_as_mitmproxy_finds_them(fields: Any, name: bytes, as_text: bool) -> None:
    asked = name.decode("utf-8", "surrogateescape") if as_text else name
    headers = http.Headers(fields)
    for look in ("__getitem__", "__contains__", "get", "get_all"):
        assert _told(messages.HEADERS[look], headers, asked) == _told(MITMPROXYS[look], headers, asked), look
    assert messages.get(headers, asked, 7) == MITMPROXYS["get"](headers, asked, 7)


@pytest.mark.parametrize(
    "fields", [[], [[b"a", b"b"]], ((b"a", b"b"), (b"a", b"c")), [("a", b"b")], [(b"a", "b")], [(b"a",)], [b"ab"], 7]
)
@pytest.mark.parametrize("more", [{}, {"content_type": "x"}], ids=["alone", "with-more"])
def test_headers_are_made_as_mitmproxy_makes_them(fields: Any, more: dict[str, str]) -> None:
    def made(make: Any) -> Any:
        headers = object.__new__(http.Headers)
        make(headers, fields, **more)
        return headers.fields

    assert _told(made, messages.make_headers) == _told(made, MITMPROXYS["__init__"])


@pytest.mark.parametrize(
    "value",
    [True, 7, 1.5, "text", None, ["a", "b"], optmanager.unset],
    ids=["true", "integer", "float", "text", "none", "list", "unset"],
)
def test_an_option_is_what_it_was_set_to_and_never_the_same_list(value: Any) -> None:
    option = optmanager._Option("name", Any, ["by default"], "", None)  # type: ignore[no-untyped-call]
    option.value = value
    found = messages.current(option)
    assert found == messages.mitmproxy_option(option)
    if isinstance(found, list):
        found.append("changed")
        assert messages.current(option) == messages.mitmproxy_option(option) != found


def test_once_installed_every_message_and_option_is_looked_at_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, usual in MITMPROXYS.items():
        monkeypatch.setattr(http.Headers, name, usual, raising=False)
    monkeypatch.setattr(http.MessageData, "__post_init__", messages.mitmproxy_check)
    monkeypatch.setattr(optmanager._Option, "current", messages.mitmproxy_option)
    messages.install()
    with pytest.raises(TypeError, match="status_code"):
        http.Response(b"HTTP/1.1", "200", b"", http.Headers(), b"", None, 0.0, 0.0)  # type: ignore[arg-type]
    response = http.Response.make(200, b"x", {"Content-Type": "text/plain"})
    response.headers.add("warning", "a")
    response.headers.add("Warning", "b")
    assert response.headers["wArning"] == "a, b"
    assert "content-type" in response.headers
    del response.headers["Warning"]
    assert response.headers.get("warning") is None
    assert http.Headers.get_all is messages.get_all
    assert optmanager._Option.current is messages.current


def test_what_is_replaced_is_what_this_was_written_against() -> None:
    """mitmproxy 12.2.3. Another release: read what has changed, then change this."""
    assert [line.strip() for line in inspect.getsource(messages.mitmproxy_check).splitlines()] == [
        "def __post_init__(self):",
        "for field in fields(self):",
        "val = getattr(self, field.name)",
        "typecheck.check_option_type(field.name, val, field.type)",
    ]
    sources = (MITMPROXYS["__init__"], MITMPROXYS["get_all"], messages.mitmproxy_option)
    assert [len(inspect.getsource(each).splitlines()) for each in sources] == [25, 12, 6]
