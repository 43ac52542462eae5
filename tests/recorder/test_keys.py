"""The signing key is private, stays, and only its own signatures hold."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, x25519

from pratique.errors import RecordError
from pratique.recorder import keys

PEM = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def test_a_key_is_made_once_and_is_private(tmp_path: Path) -> None:
    first = keys.signer(tmp_path)
    assert keys.signer(tmp_path).key_id == first.key_id
    assert (tmp_path / "keys" / "recorder.pem").stat().st_mode & 0o777 == 0o600


def test_a_signature_holds_for_its_key_and_bytes_only(tmp_path: Path) -> None:
    signer = keys.signer(tmp_path)
    check = keys.verifier(tmp_path)
    signature = signer.sign(b"data")
    assert check(signer.key_id, b"data", signature)
    assert not check(signer.key_id, b"other", signature)
    assert not check(signer.key_id, b"data", "zz")
    assert not check("unknown", b"data", signature)


def test_what_a_lost_key_signed_can_still_be_checked(tmp_path: Path) -> None:
    old = keys.signer(tmp_path)
    signature = old.sign(b"data")
    (tmp_path / "keys" / "recorder.pem").unlink()
    assert keys.signer(tmp_path).key_id != old.key_id
    assert keys.verifier(tmp_path)(old.key_id, b"data", signature)


def test_a_public_key_from_elsewhere_replaces_those_on_the_disk(tmp_path: Path) -> None:
    signer = keys.signer(tmp_path / "a")
    keys.signer(tmp_path / "b")
    other = next((tmp_path / "b" / "keys").glob("*.pub"))
    assert not keys.verifier(tmp_path / "a", other)(signer.key_id, b"data", signer.sign(b"data"))


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    keys.signer(tmp_path)
    (tmp_path / "keys" / "recorder.pem").chmod(0o640)
    with pytest.raises(RecordError, match="read by others"):
        keys.signer(tmp_path)


def test_other_keys_are_refused(tmp_path: Path) -> None:
    keys.signer(tmp_path)
    path = tmp_path / "keys" / "recorder.pem"
    path.write_bytes(b"no key")
    with pytest.raises(RecordError, match="cannot be used"):
        keys.signer(tmp_path)
    elliptic = ec.generate_private_key(ec.SECP256R1())
    path.write_bytes(elliptic.private_bytes(*PEM))
    with pytest.raises(RecordError, match="not an Ed25519"):
        keys.signer(tmp_path)
    public = tmp_path / "p.pub"
    public.write_bytes(
        x25519.X25519PrivateKey.generate()
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    with pytest.raises(RecordError, match="neither an Ed25519 public key nor one of a KMS key"):
        keys.verifier(tmp_path, public)
    with pytest.raises(RecordError, match="cannot be read"):
        keys.verifier(tmp_path, tmp_path / "none.pub")
    with pytest.raises(RecordError, match="no public key"):
        keys.verifier(tmp_path / "empty")
