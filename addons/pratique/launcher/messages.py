"""Looks at mitmproxy's messages and options that cost less and find the same.

The types of a message's fields are checked once for each combination, headers are looked up without a call for each of them, an
option that cannot be changed in place is not copied for whoever reads it. Whatever is unusual is left to mitmproxy's own
code. Relies on mitmproxy 12.2's `http.MessageData`, `http.Headers` and `optmanager`; the tests compare the two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from mitmproxy import http, optmanager

mitmproxy_check: Any = getattr(http.MessageData, "__post_init__", None)
"""None under `python -O`: mitmproxy then checks nothing."""
mitmproxy_option: Callable[[Any], Any] = optmanager._Option.current  # noqa: SLF001 - there is no other way to it

UNCHANGING = (str, int, float, bool, type(None))


_good: set[tuple[type, ...]] = set()
"""Classes of a message and of its fields' values that were found good: the check looks at nothing else."""
MAX_GOOD = 256
"""There are some ten; bounded, should somebody make classes as they go."""


def check(message: http.MessageData) -> None:
    """As mitmproxy's. Raises TypeError."""
    kinds = (type(message), *map(type, vars(message).values()))
    if kinds in _good:
        return
    mitmproxy_check(message)
    if len(_good) < MAX_GOOD:
        _good.add(kinds)


def make_headers(headers: http.Headers, fields: Iterable[tuple[bytes, bytes]] = (), **more: Any) -> None:
    """As `Headers.__init__`. Raises TypeError for what are no bytes."""
    if more:
        mitmproxy_headers["__init__"](headers, fields, **more)
        return
    headers.fields = tuple([(name, value) for name, value in fields])
    for field in headers.fields:
        if not all(isinstance(part, bytes) for part in field):
            raise TypeError("Header fields must be bytes.")


def get_all(headers: http.Headers, name: str | bytes) -> list[str]:
    """The values of a header in their order."""
    key = (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")).lower()
    return [value.decode("utf-8", "surrogateescape") for each, value in headers.fields if each.lower() == key]


def get(headers: http.Headers, name: str | bytes, default: Any = None) -> Any:
    """The values of a header, joined."""
    values = get_all(headers, name)
    return ", ".join(values) if values else default


def get_item(headers: http.Headers, name: str | bytes) -> str:
    """The same. Raises KeyError where there is none."""
    values = get_all(headers, name)
    if not values:
        raise KeyError(name)
    return ", ".join(values)


def contains(headers: http.Headers, name: str | bytes) -> bool:
    """Whether there is such a header."""
    return bool(get_all(headers, name))


def current(option: Any) -> Any:
    """The value of an option; a copy where somebody could change it."""
    value = option._default if option.value is optmanager.unset else option.value  # noqa: SLF001 - as mitmproxy's own method
    return value if type(value) in UNCHANGING else mitmproxy_option(option)


HEADERS: dict[str, Any] = {
    "__init__": make_headers,
    "__getitem__": get_item,
    "__contains__": contains,
    "get": get,
    "get_all": get_all,
}


mitmproxy_headers: dict[str, Any] = {name: getattr(http.Headers, name) for name in HEADERS}


def install() -> None:
    """For every message and option of this process from now on."""
    if mitmproxy_check is not None:
        http.MessageData.__post_init__ = check  # type: ignore[method-assign]  # the same check
    for name, quick in HEADERS.items():
        setattr(http.Headers, name, quick)
    optmanager._Option.current = current  # type: ignore[method-assign,assignment]  # noqa: SLF001 - as above
