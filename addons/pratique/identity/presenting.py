"""Which one credential a call presents: a bearer token in `Authorization`, or a client certificate, and not both.

Belongs here: finding it. Not here: what it is worth (`authenticating`), taking it off the request (`strip`). Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pratique.identity.certificates import PeerCertificates
from pratique.identity.proof import NotProvedError
from pratique.identity.tokens import MAX_TOKEN_CHARACTERS

MAX_CREDENTIAL_BYTES = MAX_TOKEN_CHARACTERS + 64  # of the header's value; refused before it is looked at
_BEARER = re.compile(rb"[Bb][Ee][Aa][Rr][Ee][Rr] +(?P<token>[!-~]+) *")


def presented(headers: Sequence[tuple[bytes, bytes]], peer: PeerCertificates | None) -> str | PeerCertificates:
    """The bearer token, or the certificates. Raises NotProvedError: none, several, or malformed."""
    values = [value for name, value in headers if name.strip().lower() == b"authorization"]
    if peer is not None:
        if values:
            raise NotProvedError("a certificate and `Authorization` at once: it is not clear who calls")
        return peer
    if len(values) != 1:
        raise NotProvedError("no credential" if not values else "several `Authorization` headers")
    match = _BEARER.fullmatch(values[0]) if len(values[0]) <= MAX_CREDENTIAL_BYTES else None
    if match is None:
        raise NotProvedError("`Authorization` is no bearer token")
    return match["token"].decode("ascii")
