"""I/O: the admin listener's certificate, from the gateway's own CA, and the key that signs links; both in the state folder.

Belongs here: making and keeping them, 0600. Not here: the CA (mitmproxy's certificate store), what they are used for.
"""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from pratique.approvals.admin.links import KEY_BYTES
from pratique.errors import StartError

CERTIFICATE = "admin.pem"
LINK_KEY = "links.key"


def certificate_for(store: Any, host: str, state: Path) -> Path:
    """A PEM with a certificate for this name or address, its chain and its key. Raises StartError.

    `store` is mitmproxy's `CertStore`. Made anew at every start; it is good for half a year.
    """
    names: list[x509.GeneralName] = [x509.DNSName("localhost")]
    for name in sorted({host, "127.0.0.1", "::1"} - {"localhost"}):
        try:
            names.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            names.append(x509.DNSName(name))
    entry = store.get_cert(host, names)
    chain = b"".join(certificate.to_pem() for certificate in (entry.cert, *entry.chain_certs))
    key = entry.privatekey.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = state / "tls" / CERTIFICATE
    try:
        write_private(file, key + chain)
    except OSError as error:
        raise StartError(f"`{file}` cannot be written: {error.strerror}") from None
    return file


def link_key(state: Path) -> bytes:
    """The key that links are signed with; made once. Raises StartError."""
    file = state / LINK_KEY
    try:
        if not file.exists():
            write_private(file, os.urandom(KEY_BYTES))
        key = file.read_bytes()
    except OSError as error:
        raise StartError(f"`{file}` cannot be used: {error.strerror}") from None
    if len(key) < KEY_BYTES:
        raise StartError(f"`{file}` is damaged. Remove it; links that were sent are then void")
    return key


def write_private(file: Path, content: bytes) -> None:
    """Beside and renamed, 0600. OSError."""
    beside = file.with_name(f".{file.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    beside.replace(file)
