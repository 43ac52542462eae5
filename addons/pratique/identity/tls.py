"""I/O: the upstream's TLS material, checked and written where mitmproxy's options want files.

Belongs here: CA bundle (`ssl_verify_upstream_trusted_ca`) and client certificate with its key (`client_certs`), 0600
in a 0700 folder, replaced atomically. Not here: where they come from (`upstream`), the gateway's own certificate.
"""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from pratique.errors import StartError
from pratique.identity.secret import Secret

CA_FILE = "upstream-ca.pem"
CLIENT_FILE = "upstream-client.pem"
PRIVATE_FILE = 0o600
PRIVATE_FOLDER = 0o700
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM of the certificate chain (leaf first) and of its unencrypted key."""

    certificate: str
    key: Secret


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """What mitmproxy's options are set to."""

    certificate_authority: Path
    client_certificate: Path | None


def write_tls_files(folder: Path, certificate_authority: str, client: ClientCertificate | None = None) -> TlsFiles:
    """Checks the PEM and writes it into `folder` (made if missing). A client file left from before is removed.

    Raises:
        StartError: no certificate in the CA bundle, a key that is not the certificate's, a folder that others can
        write.
    """
    bundle = certificates_only(certificate_authority)
    combined = _combined(client) if client is not None else None
    try:
        _private_folder(folder)
        _replace(folder / CA_FILE, bundle)
        client_file = folder / CLIENT_FILE
        if combined is None:
            client_file.unlink(missing_ok=True)
            return TlsFiles(folder / CA_FILE, None)
        _replace(client_file, combined.reveal())
    except OSError as error:
        raise StartError(f"TLS files cannot be written to `{folder}`: {error.strerror}") from None
    return TlsFiles(folder / CA_FILE, client_file)


def certificates_only(pem: str) -> str:
    """The certificates of a PEM text, each parsed; keys and prose are left out. Raises StartError: none, or broken."""
    blocks = _CERTIFICATE.findall(pem)
    if not blocks:
        raise StartError("the cluster's CA bundle holds no certificate. Check `certificateAuthority`")
    for block in blocks:
        try:
            x509.load_pem_x509_certificate(block.encode())
        except ValueError:
            raise StartError("a certificate of the cluster's CA bundle cannot be read. Copy it again") from None
    return "\n".join(blocks) + "\n"


def _combined(client: ClientCertificate) -> Secret:
    """Key and chain in one PEM, as `client_certs` takes it."""
    chain = certificates_only(client.certificate)
    leaf = x509.load_pem_x509_certificate(_CERTIFICATE.findall(chain)[0].encode())
    key = client.key.reveal()
    try:
        public = load_pem_private_key(key.encode(), password=None).public_key()
    except (ValueError, TypeError):
        raise StartError("the client key for the cluster cannot be read. Give an unencrypted PEM key") from None
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if public.public_bytes(*form) != leaf.public_key().public_bytes(*form):
        raise StartError("the client key for the cluster is not that of the client certificate. Give a matching pair")
    return Secret(f"{key.strip()}\n{chain}")


def _private_folder(folder: Path) -> None:
    folder.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
    mode = folder.stat().st_mode
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise StartError(f"others can write to `{folder}`. Run `chmod 700` on it")


def _replace(path: Path, text: str) -> None:
    """Writes beside and renames, so that a reader sees the old or the new file and never a part."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.unlink(missing_ok=True)
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, PRIVATE_FILE)
    with os.fdopen(descriptor, "w", encoding="ascii") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
