"""mitmproxy gets checked TLS files that only the gateway's user can read."""

from __future__ import annotations

import os
import stat

import pytest

from pratique.errors import StartError
from pratique.identity.secret import Secret
from pratique.identity.tls import ClientCertificate, certificates_only, write_tls_files
from tests.identity.helpers import certificate

CA, CA_KEY = certificate("ca")
LEAF, LEAF_KEY = certificate("leaf")
CLIENT = ClientCertificate(LEAF + CA, Secret(LEAF_KEY))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_ca_and_client_certificate_are_written_for_the_owner_only(tmp_path):
    folder = tmp_path / "state" / "tls"
    files = write_tls_files(folder, CA, CLIENT)
    assert files.certificate_authority.read_text() == CA
    assert files.client_certificate.read_text() == LEAF_KEY + LEAF + CA
    assert (mode(folder), mode(files.certificate_authority), mode(files.client_certificate)) == (0o700, 0o600, 0o600)
    assert sorted(entry.name for entry in folder.iterdir()) == ["upstream-ca.pem", "upstream-client.pem"]


def test_mitmproxys_tls_library_takes_the_client_file(tmp_path):
    from OpenSSL import SSL

    path = write_tls_files(tmp_path / "tls", CA, CLIENT).client_certificate
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.use_privatekey_file(str(path))
    context.use_certificate_chain_file(str(path))
    context.check_privatekey()


def test_writing_again_replaces_and_takes_an_old_client_certificate_away(tmp_path):
    folder = tmp_path / "tls"
    write_tls_files(folder, CA, CLIENT)
    files = write_tls_files(folder, LEAF)
    assert files.client_certificate is None
    assert [entry.name for entry in folder.iterdir()] == ["upstream-ca.pem"]
    assert files.certificate_authority.read_text() == LEAF


def test_of_a_bundle_the_certificates_only(tmp_path):
    bundle = f"# comment\n{CA_KEY}\n{CA}\nsubject=x\n{LEAF}"
    assert certificates_only(bundle) == CA + LEAF


@pytest.mark.parametrize(
    ("pem", "says"),
    [
        ("", "holds no certificate"),
        (CA_KEY, "holds no certificate"),
        (CA[:60], "holds no certificate"),
        ("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
    ],
)
def test_a_ca_bundle_without_a_good_certificate_stops_the_start(tmp_path, pem, says):
    with pytest.raises(StartError, match=says):
        write_tls_files(tmp_path / "tls", pem)
    assert not (tmp_path / "tls").exists()


def test_one_broken_certificate_of_a_bundle_stops_the_start(tmp_path):
    broken = CA + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    with pytest.raises(StartError, match="cannot be read"):
        write_tls_files(tmp_path / "tls", broken)


@pytest.mark.parametrize(
    ("key", "says"),
    [
        (CA_KEY, "not that of the client certificate"),
        ("s3cret", "cannot be read"),
        (LEAF_KEY.replace("M", "N", 1), "cannot be read|not that of"),
    ],
)
def test_a_key_that_does_not_fit_stops_the_start_and_is_not_shown(tmp_path, key, says):
    with pytest.raises(StartError, match=says) as raised:
        write_tls_files(tmp_path / "tls", CA, ClientCertificate(LEAF, Secret(key)))
    assert "s3cret" not in str(raised.value)
    assert "BEGIN" not in str(raised.value)


def test_an_encrypted_key_stops_the_start(tmp_path):
    from cryptography.hazmat.primitives import serialization as form

    key = form.load_pem_private_key(LEAF_KEY.encode(), None)
    encrypted = key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.BestAvailableEncryption(b"x"))
    with pytest.raises(StartError, match="unencrypted"):
        write_tls_files(tmp_path / "tls", CA, ClientCertificate(LEAF, Secret(encrypted.decode())))


def test_a_folder_that_others_can_write_to_stops_the_start(tmp_path):
    folder = tmp_path / "tls"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(StartError, match="chmod 700"):
        write_tls_files(folder, CA)


def test_a_folder_that_cannot_be_made_stops_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StartError, match="cannot be written"):
        write_tls_files(tmp_path / "file" / "tls", CA)


def test_a_link_in_the_way_is_replaced_not_followed(tmp_path):
    folder, elsewhere = tmp_path / "tls", tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    elsewhere.write_text("untouched")
    for name in ("upstream-ca.pem", f".upstream-ca.pem.{os.getpid()}"):
        (folder / name).symlink_to(elsewhere)
    files = write_tls_files(folder, CA)
    assert elsewhere.read_text() == "untouched"
    assert not files.certificate_authority.is_symlink()
