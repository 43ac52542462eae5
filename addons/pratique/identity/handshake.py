"""I/O (OpenSSL): a TLS server side that asks for a client certificate, and what the client sent.

Belongs here: the context, what is set on a connection. Not here: whether the certificate is worth anything
(`certificates`), the gateway's own certificate (mitmproxy's).

The handshake accepts any certificate, and none: OpenSSL has then seen that the client has the key of the one that it
sent. What it is worth is answered as a Status, not as a TLS alert that clients report badly (kube-apiserver does the
same).

INVARIANT: a session is never resumed. A resumed one carries the certificate of an earlier handshake. OpenSSL does not
renegotiate (TLS 1.2) unless told to, and asks for no certificate after the handshake (TLS 1.3) by itself.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL, crypto

from pratique.identity.certificates import PeerCertificates

SESSION_CONTEXT = b"pratique-client-certificates"
"""Without one OpenSSL breaks off a handshake that would resume a session; with one it makes a whole handshake of it."""
CIPHERS = (
    b"ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    b"ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305"
)
"""Of TLS 1.2, in Mozilla's order; HTTP/2 forbids most others (RFC 9113, appendix A)."""

type Alpn = Callable[[SSL.Connection, list[bytes]], Any]


@functools.lru_cache(maxsize=8)
def server_context(least: int, most: int, ciphers: bytes, chain: Path | None, alpn: Alpn) -> SSL.Context:
    """`least` and `most` are versions of TLS as OpenSSL numbers them (0: any); `chain`: a PEM file that is sent along."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(least)
    context.set_max_proto_version(most)
    context.set_options(SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_COMPRESSION | SSL.OP_NO_TICKET)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(SESSION_CONTEXT)
    context.set_cipher_list(ciphers)
    if chain is not None:
        context.load_verify_locations(
            str(chain), None
        )  # OpenSSL sends what leads there; nothing is verified against it
    context.set_alpn_select_callback(alpn)
    context.set_verify(SSL.VERIFY_PEER, _accept)
    return context


def asking(context: SSL.Context, certificate: x509.Certificate, key: Any, app_data: Any) -> SSL.Connection:
    """A connection, before its handshake, that asks for a client certificate. `app_data` is for the ALPN callback."""
    connection = SSL.Connection(context)
    connection.use_certificate(certificate)
    connection.use_privatekey(key)
    connection.set_app_data(app_data)
    connection.set_accept_state()
    return connection


def peer_certificates(connection: SSL.Connection) -> PeerCertificates | None:
    """After the handshake: what the client sent; None for no certificate.

    Asked of OpenSSL: mitmproxy leaves out of its list what it cannot parse, so the first in there may be a certificate
    whose key nobody proved to have.
    """
    leaf = connection.get_peer_certificate()
    if leaf is None:
        return None
    try:
        others = connection.get_peer_cert_chain() or []
        return PeerCertificates(_der(leaf), tuple(map(_der, others)))
    except Exception:  # noqa: BLE001 - whatever it is: there was a certificate, and it proves nobody
        return PeerCertificates(b"")


def _der(certificate: crypto.X509) -> bytes:
    return certificate.to_cryptography().public_bytes(Encoding.DER)


def _accept(*_arguments: object) -> bool:
    return True
