"""Client certificates (X.509): whether one was issued by a CA that the operator named, for authenticating a client, now.

Belongs here: reading CA certificates, verifying a chain (by `cryptography`'s path validation), the names in a
certificate. Not here: the TLS handshake (`handshake`), whose certificate it is (`clients`). Pure; `now` in seconds.

As in kube-apiserver (`x509.Verify` with ExtKeyUsageClientAuth), the handshake proves the possession of the key, and
everything else is checked for each request: so a certificate that ends, or a CA that is withdrawn, ends what is open.
Revocation lists are not read: take the client out of the documents, or issue for hours.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import verification
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pratique.identity.proof import CertificateNames, NotProvedError

MAX_AUTHORITIES = 64  # CA certificates of one issuer
MAX_CHAIN_BYTES = 64 * 1024  # of what a client sends
MAX_INTERMEDIATES = 8
MIN_RSA_BITS = 2_048
SERIAL_DIGITS = 40  # hex digits of a serial that are recorded: 20 bytes, as RFC 5280 allows

type Authorities = Mapping[str, x509.Certificate]

_PEM = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_ANY = verification.Criticality.AGNOSTIC


@dataclass(frozen=True, slots=True)
class PeerCertificates:
    """DER of what the client sent in the TLS handshake, in which it proved to have the key of `leaf`.

    `leaf` is empty where it could not be read: then it is not known whose key was proved.
    """

    leaf: bytes
    others: tuple[bytes, ...] = ()


class AuthorityError(Exception):
    """Not CA certificates that can be used. For the operator."""


def read_authorities(pem: bytes) -> Authorities:
    """CA certificates by their SHA-256 (hex). Raises AuthorityError: none, too many, one that is no CA or unreadable."""
    blocks = _PEM.findall(pem)
    if not 0 < len(blocks) <= MAX_AUTHORITIES:
        raise AuthorityError(f"there are {len(blocks)} CA certificates in it, not 1 to {MAX_AUTHORITIES}")
    found: dict[str, x509.Certificate] = {}
    for block in blocks:
        try:
            certificate = x509.load_pem_x509_certificate(block)
            is_authority = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except (ValueError, x509.ExtensionNotFound, x509.UnsupportedGeneralNameType):
            raise AuthorityError("one of its certificates cannot be read, or does not say whether it is a CA") from None
        if not is_authority:
            raise AuthorityError("one of its certificates is no CA: every CA below it would have to be trusted")
        found[thumbprint(certificate)] = certificate
    return found


def verify(
    peer: PeerCertificates, issuer: str, authorities: Authorities, now: float
) -> tuple[CertificateNames, float, str]:
    """The names in a certificate that ends in one of these CAs, until when it is good, and the id to record.

    Raises NotProvedError: another CA, expired or not yet valid, not for client authentication, not readable.
    """
    try:
        return _verified(peer, issuer, authorities, now)
    except NotProvedError:
        raise
    except Exception:  # noqa: BLE001 - whatever the parsers raise over hostile bytes: they prove nobody
        raise NotProvedError("the certificate cannot be read") from None


def _verified(
    peer: PeerCertificates, issuer: str, authorities: Authorities, now: float
) -> tuple[CertificateNames, float, str]:
    leaf, others = _read(peer)
    verifier = (
        verification.PolicyBuilder()
        .store(verification.Store(list(authorities.values())))
        .time(datetime.fromtimestamp(now, UTC))
        .max_chain_depth(MAX_INTERMEDIATES)
        .extension_policies(ca_policy=_CA, ee_policy=_CLIENT)
        .build_client_verifier()
    )
    try:
        chain = verifier.verify(leaf, others).chain
    except verification.VerificationError:
        raise NotProvedError(f"the certificate is not a valid client certificate of Issuer `{issuer}`") from None
    public = leaf.public_key()
    if isinstance(public, RSAPublicKey) and public.key_size < MIN_RSA_BITS:  # validation looks at the CAs' keys only
        raise NotProvedError("the certificate's key is too weak")
    expires = min(certificate.not_valid_after_utc.timestamp() for certificate in chain)
    if now >= expires:  # RFC 5280 counts the last second in; what is open ends before it
        raise NotProvedError("the certificate, or one that it rests on, has expired")
    return _names(leaf, issuer, thumbprint(chain[-1])), expires, _id(leaf)


def thumbprint(certificate: x509.Certificate) -> str:
    """Hex SHA-256 of the certificate."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def _read(peer: PeerCertificates) -> tuple[x509.Certificate, list[x509.Certificate]]:
    if not peer.leaf or len(peer.leaf) + sum(map(len, peer.others)) > MAX_CHAIN_BYTES:
        raise NotProvedError("the certificate cannot be read, or is too large")
    if len(peer.others) > MAX_INTERMEDIATES:
        raise NotProvedError(f"there are more than {MAX_INTERMEDIATES} certificates beside the client's")
    return x509.load_der_x509_certificate(peer.leaf), [x509.load_der_x509_certificate(each) for each in peer.others]


def _names(leaf: x509.Certificate, issuer: str, root: str) -> CertificateNames:
    try:
        extension = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        uris = tuple(extension.get_values_for_type(x509.UniformResourceIdentifier))
        dns = tuple(extension.get_values_for_type(x509.DNSName))
    except x509.ExtensionNotFound:
        uris = dns = ()
    common = tuple(str(each.value) for each in leaf.subject.get_attributes_for_oid(NameOID.COMMON_NAME))
    return CertificateNames(issuer, root, uris, dns, common)


def _id(leaf: x509.Certificate) -> str:
    return f"{leaf.serial_number:x}"[:SERIAL_DIGITS] + f"/sha256:{thumbprint(leaf)[:32]}"


def _is_for_clients(_policy: verification.Policy, _leaf: x509.Certificate, usage: x509.ExtendedKeyUsage) -> None:
    """Demanded, where RFC 5280 takes a certificate without this extension for good at everything."""
    if ExtendedKeyUsageOID.CLIENT_AUTH not in usage:
        raise ValueError("it is not for client authentication")


# Of the WebPKI's rules two are relaxed that private CAs and kubeadm do not keep: a SAN, an Authority Key Identifier.
_CLIENT = (
    verification.ExtensionPolicy.webpki_defaults_ee()
    .may_be_present(x509.SubjectAlternativeName, _ANY, None)
    .may_be_present(x509.AuthorityKeyIdentifier, _ANY, None)
    .require_present(x509.ExtendedKeyUsage, _ANY, _is_for_clients)
)
_CA = (
    verification.ExtensionPolicy.webpki_defaults_ca()
    .may_be_present(x509.AuthorityKeyIdentifier, _ANY, None)
    .may_be_present(x509.SubjectKeyIdentifier, _ANY, None)
)
