"""A whole gateway in front of a real cluster, its recordings signed by KMS and copied to S3: moto's server stands for both.

PRATIQUE_MOTO names the program `moto_server` (`pip install 'moto[s3,kms,server]'`, in an environment of its own).
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import boto3
import pytest
from botocore.exceptions import ClientError

from pratique.sandbox.cluster import Sandbox
from tests.e2e import real
from tests.process.gateway import ROOT, Gateway, free_port

MOTO = os.environ.get("PRATIQUE_MOTO", "")
pytestmark = [
    pytest.mark.realcluster,
    pytest.mark.e2e,
    pytest.mark.skipif(not MOTO, reason="PRATIQUE_MOTO names no moto_server"),
]
BUCKET = "audit"
LIST = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[bytes]]:
    """moto's server, with a bucket that has Object Lock."""
    port = free_port()
    environment = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "AKIAEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_REGION": "eu-west-1",
        "AWS_DEFAULT_REGION": "eu-west-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    command = [MOTO, "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            real.eventually(_has_bucket)
            yield process
        finally:
            process.terminate()


def _has_bucket() -> bool:
    try:
        where: Any = {"LocationConstraint": "eu-west-1"}
        boto3.client("s3").create_bucket(
            Bucket=BUCKET, CreateBucketConfiguration=where, ObjectLockEnabledForBucket=True
        )
    except ClientError as error:
        return "AlreadyOwnedByYou" in str(error)
    except Exception:  # noqa: BLE001 - it has not started yet
        return False
    return True


def aws_environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name.startswith("AWS_")}


def gateway(folder: Path, **options: str) -> Gateway:
    cluster = cast("Sandbox", real.real_cluster(folder))
    given = {"pratique_segment_bucket": BUCKET, "pratique_segment_age": "1", **options}
    settings = [part for name, value in given.items() for part in ("--set", f"{name}={value}")]
    return Gateway(folder / "gateway", cluster, policy=real.EVERYTHING, options=settings, environment=aws_environment())


def copied() -> dict[str, Any]:
    """Key → what HEAD says."""
    s3 = boto3.client("s3")
    keys = [each["Key"] for each in s3.list_objects_v2(Bucket=BUCKET).get("Contents", [])]
    return {key: s3.head_object(Bucket=BUCKET, Key=key, ChecksumMode="ENABLED") for key in keys}


def verify(state: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pratique.cli", "sessions", "verify", "--state", str(state), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "addons")}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)


def test_what_is_in_the_bucket_is_locked_encrypted_and_verifies_with_the_public_half_of_the_key(
    aws: object, tmp_path: Path
) -> None:
    kms = boto3.client("kms")
    key = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]
    running = gateway(tmp_path, pratique_segment_lock="governance", pratique_record_key=key["Arn"]).start()
    for _ in range(5):
        assert running.call("GET", LIST).code == 200
    running.stop()
    found = copied()
    assert any(name.endswith(".chain") for name in found)
    assert any(name.endswith(".flow") for name in found)
    for head in found.values():
        assert head["ObjectLockMode"] == "GOVERNANCE"
        assert head["ServerSideEncryption"] == "aws:kms"
        assert head["ChecksumSHA256"]
    copy = _put_together(found, tmp_path / "copy")
    public = tmp_path / "public.pem"
    public.write_bytes(_pem(kms.get_public_key(KeyId=key["Arn"])["PublicKey"]))
    done = verify(copy, "--key", str(public))
    assert done.returncode == 0, done.stdout + done.stderr


def _put_together(found: dict[str, Any], state: Path) -> Path:
    """A state folder with what is in the bucket, as README says; its path."""
    pieces = b""
    for key in sorted(found):
        data = boto3.client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
        folder, _, file = key.split("/", 2)[2].partition("/")
        if folder == "sessions":
            pieces += data
            continue
        place = state / folder if folder == "keys" else state / "recordings" / folder
        place.mkdir(parents=True, exist_ok=True)
        (place / file).write_bytes(data)
    (state / "recordings" / "sessions.chain").write_bytes(pieces)
    return state


def _pem(der: bytes) -> bytes:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

    return load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def test_while_the_bucket_is_away_nothing_unrecorded_is_served(aws: subprocess.Popen[bytes], tmp_path: Path) -> None:
    running = gateway(tmp_path, pratique_spool_limit="200000").start()
    assert running.call("GET", LIST).code == 200
    aws.terminate()
    aws.wait(20)
    codes = [running.call("GET", LIST).code for _ in range(400)]
    running.stop()
    assert codes[0] == 200
    assert codes[-1] == 503
    assert set(codes) == {200, 503}
