"""I/O: checkpoints under a key in AWS KMS: KMS signs the key of each run, and that key signs the checkpoints.

Belongs here: delegation, making and checking it. Not here: what is signed (`chain.to_sign`), the key on disk (`keys`).

A call to KMS takes some 10 to 100 ms and a checkpoint is written within a request, so KMS does not sign each of them. At
every start the gateway makes an Ed25519 key that only its memory holds, and KMS signs the statement that this key speaks
for it (`recorder-<id>.delegation` beside `recorder-<id>.pub`). Who takes the disk finds no key to sign with; who may call
kms:Sign as the gateway can delegate, and CloudTrail shows each time that somebody did: one Sign per start of the gateway.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from pratique.errors import RecordError
from pratique.recorder import keys

DOMAIN = "pratique recorder delegation v1"
"""First word of what KMS signs: a signature made for anything else never fits."""
DELEGATION = "recorder-{}.delegation"
KMS_PUBLIC = "kms-{}.pem"
ALGORITHMS = ("ECDSA_SHA_256", "ECDSA_SHA_384", "ECDSA_SHA_512", "RSASSA_PSS_SHA_256")
"""Of KMS keys with usage SIGN_VERIFY, by preference. Others (SM2, ED25519 in KMS) are refused."""
_HASHES: dict[str, hashes.HashAlgorithm] = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}


class Kms(Protocol):
    """Two calls of boto3's KMS client."""

    def get_public_key(self, **arguments: Any) -> dict[str, Any]: ...
    def sign(self, **arguments: Any) -> dict[str, Any]: ...


def client(key_arn: str) -> Kms:
    """boto3's client for the region of the key. RecordError for what is no ARN of a KMS key."""
    parts = key_arn.split(":", 5)
    if len(parts) < 6 or parts[0] != "arn" or parts[2] != "kms" or not parts[3]:
        raise RecordError(f"`{key_arn}` is no ARN of a KMS key. Give arn:aws:kms:REGION:ACCOUNT:key/ID")
    import boto3  # noqa: PLC0415 - 70 ms that only gateways with a KMS key need

    made: Kms = boto3.session.Session(region_name=parts[3]).client("kms")
    return made


def statement(public: bytes, key_arn: str) -> bytes:
    """What KMS signs: that the Ed25519 key `public` (32 bytes) speaks for `key_arn`."""
    return json.dumps([DOMAIN, key_arn, public.hex()], separators=(",", ":")).encode()


def signer(state: Path, key_arn: str, kms: Kms | None = None) -> keys.DiskSigner:
    """A signer whose private key is in memory only, delegated to by `key_arn`. RecordError when KMS refuses."""
    folder = state / keys.KEYS
    private = Ed25519PrivateKey.generate()
    public = private.public_key()
    name = keys.key_id(public)
    try:
        service = kms or client(key_arn)
        found = service.get_public_key(KeyId=key_arn)
        algorithm = next((each for each in ALGORITHMS if each in found.get("SigningAlgorithms", ())), "")
        if not algorithm:
            raise RecordError(f"the KMS key `{key_arn}` cannot sign. Make one with usage SIGN_VERIFY, ECC_NIST_P256")
        message = statement(_raw(public), key_arn)
        answer = service.sign(KeyId=key_arn, Message=message, MessageType="RAW", SigningAlgorithm=algorithm)
        authority = serialization.load_der_public_key(found["PublicKey"])
        if not _holds(authority, algorithm, answer["Signature"], message):
            raise RecordError(f"the signature of the KMS key `{key_arn}` does not hold")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        keys.write_new(folder / keys.PUBLIC.format(name), _pem(public), 0o644)
        keys.write_new(folder / KMS_PUBLIC.format(_short(authority)), _pem(authority), 0o644)
        delegation = {
            "key": key_arn,
            "algorithm": algorithm,
            "signature": base64.b64encode(answer["Signature"]).decode(),
        }
        keys.write_new(folder / DELEGATION.format(name), json.dumps(delegation).encode(), 0o644)
    except RecordError:
        raise
    except Exception as error:  # noqa: BLE001 - boto3's errors have no common base with the disk's
        raise RecordError(f"the KMS key `{key_arn}` cannot be used: {why(error)}") from None
    return keys.DiskSigner(private)


def public_files(folder: Path) -> list[Path]:
    """What of the folder of keys anybody may have, and who verifies needs. Never a private key."""
    patterns = (keys.PUBLIC, KMS_PUBLIC, DELEGATION)
    return sorted(path for pattern in patterns for path in folder.glob(pattern.format("*")))


def why(error: Exception) -> str:
    """AWS's error code, or the class: the text may quote a signed request."""
    code = getattr(error, "response", {}).get("Error", {}).get("Code", "")
    return str(code) or type(error).__name__


def _raw(public: Ed25519PublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def _pem(public: Any) -> bytes:
    pem: bytes = public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return pem


def _short(public: Any) -> str:
    digest = hashes.Hash(hashes.SHA256())
    digest.update(_pem(public))
    return digest.finalize().hex()[: keys.KEY_ID_LENGTH]


def _holds(authority: Any, algorithm: str, signature: bytes, message: bytes) -> bool:
    algorithm_hash = _HASHES.get(algorithm.rpartition("_")[2])
    if algorithm not in ALGORITHMS or algorithm_hash is None:
        return False
    try:
        if isinstance(authority, ec.EllipticCurvePublicKey) and algorithm.startswith("ECDSA"):
            authority.verify(signature, message, ec.ECDSA(algorithm_hash))
        elif isinstance(authority, rsa.RSAPublicKey) and algorithm.startswith("RSASSA_PSS"):
            salt = padding.PSS(padding.MGF1(algorithm_hash), algorithm_hash.digest_size)
            authority.verify(signature, message, salt, algorithm_hash)
        else:
            return False
    except InvalidSignature:
        return False
    return True


def delegated(state: Path, authority: Any) -> list[Ed25519PublicKey]:
    """The keys in `STATE/keys` that the KMS key `authority` (its public key) delegated to."""
    found: list[Ed25519PublicKey] = []
    for path in sorted((state / keys.KEYS).glob(DELEGATION.format("*"))):
        try:
            said = json.loads(path.read_bytes())
            public = serialization.load_pem_public_key(path.with_suffix(".pub").read_bytes())
            signature = base64.b64decode(said["signature"], validate=True)
            if isinstance(public, Ed25519PublicKey) and _holds(
                authority, said["algorithm"], signature, statement(_raw(public), said["key"])
            ):
                found.append(public)
        except (OSError, ValueError, KeyError, TypeError):
            continue  # what does not hold is no key
    return found
