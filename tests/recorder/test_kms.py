"""Checkpoints are good when the KMS key says that the gateway's key of that run was; the disk holds no key to sign with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

from pratique.errors import RecordError
from pratique.recorder import keys, kms
from pratique.recorder.chain import Change
from pratique.recorder.disk import Disk
from pratique.recorder.sessions import Recordings
from pratique.recorder.spool import Spool
from tests.recorder.support import NOON, record_session

ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd"
PEM = (serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
DER = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


class FakeKms:
    """Two calls of boto3's client, with a key of its own."""

    def __init__(self, *, kind: str = "ec", algorithms: tuple[str, ...] = ()) -> None:
        self.key: Any = (
            rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP256R1())
        )
        self.algorithms = algorithms or (("RSASSA_PSS_SHA_256",) if kind == "rsa" else ("ECDSA_SHA_256",))
        self.signed: list[dict[str, Any]] = []
        self.spoil = b""
        self.error: Exception | None = None

    def get_public_key(self, **arguments: Any) -> dict[str, Any]:
        return {"PublicKey": self.key.public_key().public_bytes(*DER), "SigningAlgorithms": list(self.algorithms)}

    def sign(self, **arguments: Any) -> dict[str, Any]:
        if self.error:
            raise self.error
        self.signed.append(arguments)
        message, algorithm = arguments["Message"], hashes.SHA256()
        if isinstance(self.key, rsa.RSAPrivateKey):
            signature = self.key.sign(message, padding.PSS(padding.MGF1(algorithm), 32), algorithm)
        else:
            signature = self.key.sign(message, ec.ECDSA(algorithm))
        return {"Signature": signature + self.spoil}

    def public(self, path: Path) -> Path:
        path.write_bytes(self.key.public_key().public_bytes(*PEM))
        return path


def recorded(state: Path, service: FakeKms) -> str:
    with Spool(state, fsync=3600.0, signer=kms.signer(state, ARN, service), disk=Disk(), clock=lambda: NOON) as spool:
        session = record_session(spool, len(service.signed))
        spool.close_session(session)
    return session


@pytest.mark.parametrize("kind", ["ec", "rsa"])
def test_what_was_recorded_under_kms_is_verified_with_its_public_key_alone(tmp_path: Path, kind: str) -> None:
    service = FakeKms(kind=kind)
    recorded(tmp_path, service)
    public = service.public(tmp_path / "kms.pem")
    assert Recordings(tmp_path).verify(keys.verifier(tmp_path, public)).findings == ()
    assert Recordings(tmp_path).verify(keys.verifier(tmp_path)).findings == ()
    assert service.signed[0]["KeyId"] == ARN
    assert service.signed[0]["MessageType"] == "RAW"


def test_no_private_key_is_on_the_disk_and_each_start_asks_kms_once(tmp_path: Path) -> None:
    service = FakeKms()
    for _ in range(2):
        recorded(tmp_path, service)
    assert len(service.signed) == 2
    written = b"".join(path.read_bytes() for path in (tmp_path / keys.KEYS).iterdir())
    assert b"PRIVATE" not in written
    public = service.public(tmp_path / "kms.pem")
    assert Recordings(tmp_path).verify(keys.verifier(tmp_path, public)).ok


def test_a_key_that_kms_did_not_delegate_to_proves_nothing(tmp_path: Path) -> None:
    service = FakeKms()
    recorded(tmp_path, service)
    other = FakeKms().public(tmp_path / "other.pem")
    changes = {
        f.change for f in Recordings(tmp_path).verify(keys.verifier(tmp_path, other)).findings if f.proves_change
    }
    assert changes == {Change.FORGED}


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d | {"signature": "AAAA"},
        lambda d: d | {"key": ARN + "x"},
        lambda d: d | {"algorithm": "ECDSA_SHA_384"},
        lambda d: d | {"algorithm": "none"},
        lambda d: {},
        lambda d: [],
    ],
)
def test_a_changed_delegation_is_none(tmp_path: Path, change) -> None:
    service = FakeKms()
    recorded(tmp_path, service)
    (path,) = (tmp_path / keys.KEYS).glob("*.delegation")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    assert not Recordings(tmp_path).verify(keys.verifier(tmp_path, service.public(tmp_path / "k.pem"))).ok


class ClientError(Exception):
    response = {"Error": {"Code": "AccessDeniedException", "Message": "secret-CANARY"}}


def test_a_kms_that_refuses_stops_the_start(tmp_path: Path) -> None:
    service = FakeKms()
    service.error = ClientError("secret-CANARY")
    with pytest.raises(RecordError, match="cannot be used: AccessDeniedException") as raised:
        kms.signer(tmp_path, ARN, service)
    assert "CANARY" not in str(raised.value)
    service.error = ConnectionError("x")
    with pytest.raises(RecordError, match="ConnectionError"):
        kms.signer(tmp_path, ARN, service)


def test_a_key_that_cannot_sign_or_signs_wrongly_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RecordError, match="cannot sign"):
        kms.signer(tmp_path, ARN, FakeKms(algorithms=("SM2DSA",)))
    service = FakeKms()
    service.spoil = b"x"
    with pytest.raises(RecordError, match="does not hold"):
        kms.signer(tmp_path, ARN, service)
    assert not (tmp_path / keys.KEYS).exists()


@pytest.mark.parametrize("arn", ["", "alias/x", "arn:aws:s3:eu-west-1:1:key/x", "arn:aws:kms::1:key/x"])
def test_what_is_no_arn_of_a_kms_key_is_refused(tmp_path: Path, arn: str) -> None:
    with pytest.raises(RecordError, match="no ARN of a KMS key"):
        kms.client(arn)


def test_the_calls_are_those_of_botos_own_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.stub import ANY, Stubber

    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    client: Any = kms.client(ARN)
    assert client.meta.region_name == "eu-west-1"
    service = FakeKms()
    with Stubber(client) as stub:
        stub.add_response("get_public_key", service.get_public_key(), {"KeyId": ARN})
        signed = {"KeyId": ARN, "Message": ANY, "MessageType": "RAW", "SigningAlgorithm": "ECDSA_SHA_256"}
        stub.add_response("sign", {"Signature": b"x"}, signed)
        with pytest.raises(RecordError, match="does not hold"):
            kms.signer(tmp_path, ARN, client)
