"""An `https://host[:port]` endpoint, as a value.

Belongs here: what counts as one. Not here: connecting to it. Relies on nothing.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, urlsplit

from pratique.errors import PratiqueError

_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?", re.IGNORECASE)
_DEFAULT_PORTS = {"https": 443, "http": 80}
MAX_HOST_CHARACTERS = 253  # RFC 1035 section 2.3.4


class ServerError(PratiqueError):
    """An endpoint that cannot be used; the caller knows its place in a file and raises a DocumentError from it."""

    def __init__(self, message: str, remedy: str) -> None:
        super().__init__(message)
        self.remedy = remedy


@dataclass(frozen=True, slots=True)
class Server:
    """`host` without brackets, lower case; `str()` is the URL with the port, as mitmproxy's reverse mode takes it."""

    scheme: str
    host: str
    port: int

    @classmethod
    def parse(cls, text: str, schemes: tuple[str, ...] = ("https",)) -> Self:
        """Raises ServerError: another scheme, a path prefix, user, query or fragment, no host, no port number."""
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ServerError("the endpoint has characters that no URL has", "Write `https://HOST[:PORT]`")
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError:
            raise ServerError(f"`{text}` is no URL", "Write `https://HOST[:PORT]`") from None
        _check(text, parts, schemes)
        host = (parts.hostname or "").lower()
        if not cls.is_host(host) or port == 0:
            raise ServerError(f"`{text}` names no host and port", "Write `https://HOST[:PORT]`")
        return cls(parts.scheme, host, port or _DEFAULT_PORTS[parts.scheme])

    @staticmethod
    def is_host(text: str) -> bool:
        """Whether a DNS name, an IPv4 or an IPv6 address (without brackets)."""
        try:
            ipaddress.ip_address(text)
        except ValueError:
            labels = text.removesuffix(".").split(".")
            return len(text) <= MAX_HOST_CHARACTERS and all(_LABEL.fullmatch(label) for label in labels)
        return "%" not in text  # a zone id is for one machine only

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"


def _check(text: str, parts: SplitResult, schemes: tuple[str, ...]) -> None:
    if parts.scheme not in schemes:
        raise ServerError(f"`{text}` is not `{schemes[0]}`", f"Write `{schemes[0]}://HOST[:PORT]`")
    if parts.username is not None or parts.password is not None:
        raise ServerError("a user or password stands in the endpoint", "Remove it; credentials have their own fields")
    if parts.path not in {"", "/"}:
        raise ServerError(
            f"`{parts.path}` is a path prefix, which the gateway does not forward",
            "Give the API server's own endpoint, not that of a proxy in front of it",
        )
    if parts.query or parts.fragment or "?" in text or "#" in text:
        raise ServerError(f"`{text}` has a query or a fragment", "Write `https://HOST[:PORT]`")
