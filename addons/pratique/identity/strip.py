"""Which request headers are credentials, and a request without them.

Belongs here: the names, and the one function that removes them. Not here: hop-by-hop headers and the allow-list of what
is forwarded (`pratique.kube`), the upstream credential (`gate`). Relies on nothing.

Everything in here was sent by the client and means nothing upstream: the gateway authenticates the client by `clients`,
and the API server must see the gateway's identity alone. `_` counts as `-` in a name: some proxies fold them.

Sources: apiserver `pkg/authentication/request/{bearertoken,headerrequest,websocket,x509}` and
`transport/round_trippers.go` of client-go (Kubernetes 1.36), RFC 9110 section 11, RFC 9440 (`Client-Cert`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Header = tuple[bytes, bytes]

CREDENTIAL_NAMES = frozenset({
    b"authorization",
    b"proxy-authorization",
    b"cookie",
    b"cookie2",
    b"client-cert",
    b"client-cert-chain",
    b"x-forwarded-client-cert",
    b"x-client-cert",
    b"x-api-key",
    b"x-auth-token",
    b"x-amz-security-token",
    b"x-access-token",
    b"x-csrf-token",
})  # fmt: skip
CREDENTIAL_PREFIXES = (
    b"impersonate-",
    b"x-remote-",  # front-proxy identity: User, Group, Uid, Extra-*
    b"x-ssl-",
    b"ssl-client-",
    b"x-forwarded-user",
    b"x-forwarded-email",
    b"x-forwarded-group",
    b"x-forwarded-access-token",
    b"x-auth-request-",
)
# Honoured when Authorization is absent, is not Bearer, or carries a token that is not valid.
BEARER_SUBPROTOCOL = b"base64url.bearer.authorization.k8s.io."


def strip_credentials(headers: Iterable[Header]) -> list[Header]:
    """`headers` in their order without any credential; of sub-protocols and `Connection` only those options are cut.

    A `Connection: Authorization` would make a standards-minded hop drop the header that the gate writes.
    """
    kept: list[Header] = []
    for name, value in headers:
        if is_credential(name):
            continue
        unwanted = LISTS.get(_fold(name))
        rest = value if unwanted is None else _without(value, unwanted)
        if rest is not None:
            kept.append((name, rest))
    return kept


def is_credential(name: bytes) -> bool:
    """Whether a header of this name (any case) identifies or authenticates a caller."""
    folded = _fold(name)
    return folded in CREDENTIAL_NAMES or folded.startswith(CREDENTIAL_PREFIXES)


def credentials_in(headers: Sequence[Header]) -> tuple[str, ...]:
    """Sorted lower-case names of what `strip_credentials` removes or cuts: for the record, without values."""
    kept = strip_credentials(headers)
    return tuple(sorted({_fold(name).decode("latin-1") for name, value in headers if (name, value) not in kept}))


def _fold(name: bytes) -> bytes:
    return name.strip().lower().replace(b"_", b"-")


def _is_bearer_subprotocol(option: bytes) -> bool:
    return option.lower().startswith(BEARER_SUBPROTOCOL)


# Headers that are lists: which of their options are credentials.
LISTS: dict[bytes, Callable[[bytes], bool]] = {
    b"sec-websocket-protocol": _is_bearer_subprotocol,
    b"connection": is_credential,
}


def _without(value: bytes, unwanted: Callable[[bytes], bool]) -> bytes | None:
    """A comma-separated value without the unwanted options; as it was when there are none, None if nothing is left."""
    options = [option.strip() for option in value.split(b",")]
    kept = [option for option in options if not unwanted(option)]
    if len(kept) == len(options):
        return value
    return b", ".join(kept) or None
