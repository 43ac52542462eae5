"""A certificate authority for client certificates, good and bad ones."""

from __future__ import annotations

import datetime
import functools

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from cryptography.x509.oid import NameOID

from pratique.identity.certificates import PeerCertificates

SPIFFE = "spiffe://example.org/mcp/server"


@functools.cache
def key(name):
    if name.startswith("weak"):
        return rsa.generate_private_key(65537, 1024)
    return rsa.generate_private_key(65537, 2048) if name.startswith("rsa") else ec.generate_private_key(ec.SECP256R1())


def name(*common):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each) for each in common])


def built(subject, issuer, public, signing, now, days, extensions, ago=1.0, serial=0x1234ABCD):
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(serial)
        .not_valid_before(moment(now - ago * 86400))
        .not_valid_after(moment(now + days * 86400))
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(signing, hashes.SHA256())


def moment(now):
    return datetime.datetime.fromtimestamp(now, datetime.UTC).replace(microsecond=0)


def usage(*, sign):
    return x509.KeyUsage(not sign, False, False, False, False, sign, sign, False, False)


def authority(now, who="ca", days=3650.0, by=None, by_name=None, ca=True, length=None):
    """A CA certificate, self-signed or signed by another."""
    public = key(who).public_key()
    extensions = [
        (x509.BasicConstraints(ca, length if ca else None), True),
        (usage(sign=True), True),
        (x509.SubjectKeyIdentifier.from_public_key(public), False),
    ]
    if by:
        extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(key(by).public_key()), False))
    return built(name(who), name(by_name or by or who), public, key(by or who), now, days, extensions)


def client(now, who="client", ca="ca", days=1.0, uris=(SPIFFE,), dns=(), common=("mcp",), eku=(Usage.CLIENT_AUTH,), ago=1.0,
           more=()):  # fmt: skip
    """A client's certificate; without `uris` and `dns` it has no SAN, with `eku` None no such extension."""
    names = [*map(x509.UniformResourceIdentifier, uris), *map(x509.DNSName, dns)]
    extensions = [(x509.BasicConstraints(False, None), True), (usage(sign=False), True)]
    if names:
        extensions.append((x509.SubjectAlternativeName(names), not common))
    if eku is not None:
        extensions.append((x509.ExtendedKeyUsage(list(eku)), False))
    extensions.append((x509.AuthorityKeyIdentifier.from_issuer_public_key(key(ca).public_key()), False))
    return built(name(*common), name(ca), key(who).public_key(), key(ca), now, days, [*extensions, *more], ago)


def pem(*certificates):
    return b"".join(each.public_bytes(Encoding.PEM) for each in certificates)


def private_pem(who):
    return key(who).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def peer(*certificates):
    der = [each.public_bytes(Encoding.DER) for each in certificates]
    return PeerCertificates(der[0], tuple(der[1:]))
