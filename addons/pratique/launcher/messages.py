"""mitmproxy's check of the types of a message's fields, worked out once for each class instead of for each message.

What is wrong is still found, and told in mitmproxy's words: where the quick look sees something else than it expects,
mitmproxy's own check runs. Relies on mitmproxy 12.2's `http.MessageData.__post_init__`.
"""

from __future__ import annotations

import dataclasses
import functools
import typing
from types import UnionType
from typing import Any

from mitmproxy import http

mitmproxy_check: Any = getattr(http.MessageData, "__post_init__", None)
"""None under `python -O`: mitmproxy then checks nothing."""


@functools.cache
def expected(kind: type) -> tuple[tuple[str, tuple[type, ...]], ...]:
    """The fields of a message's class, each with the types that its values may have."""
    return tuple((each.name, _types(each.type)) for each in dataclasses.fields(kind))


def _types(hint: Any) -> tuple[type, ...]:
    return typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, UnionType) else (hint,)


def check(message: http.MessageData) -> None:
    """As mitmproxy's. Raises TypeError."""
    for name, types in expected(type(message)):
        if not isinstance(getattr(message, name), types):
            mitmproxy_check(message)
            return


def install() -> None:
    """For every message of this process from now on."""
    if mitmproxy_check is not None:
        http.MessageData.__post_init__ = check  # type: ignore[method-assign]  # the same check
