"""An issuer of tokens, good and bad, for tests: keys, key sets, ServiceAccount and OIDC tokens."""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import json

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pratique.identity.jwks import CURVES

ISSUER = "https://issuer.example/cluster"
AUDIENCE = "pratique"


@functools.cache
def private(kid):
    """A key for each id: its prefix says of which type."""
    if kid.startswith("ec384"):
        return ec.generate_private_key(ec.SECP384R1())
    if kid.startswith("ec"):
        return ec.generate_private_key(ec.SECP256R1())
    if kid.startswith("ed"):
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, 1024 if kid.startswith("weak") else 2048)


def algorithm(kid):
    key = private(kid)
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256"
    return "EdDSA" if isinstance(key, ed25519.Ed25519PrivateKey) else CURVES[f"P-{key.curve.key_size}"]


def jwk(name, **more):
    alg = algorithm(name)
    return jwt.get_algorithm_by_name(alg).to_jwk(private(name).public_key(), as_dict=True) | {"kid": name} | more


def key_set(*kids):
    return json.dumps({"keys": [jwk(kid) if isinstance(kid, str) else kid for kid in kids]}).encode()


def account_claims(now, namespace="mcp", name="server", **more):
    """As kube-apiserver writes them into a projected token."""
    return {
        "aud": [AUDIENCE],
        "exp": int(now) + 3600,
        "iat": int(now),
        "nbf": int(now),
        "iss": ISSUER,
        "jti": "6b0e5f0a-0000-4000-8000-000000000001",
        "kubernetes.io": {
            "namespace": namespace,
            "node": {"name": "node-1", "uid": "n-1"},
            "pod": {"name": "server-7d4-x2x", "uid": "p-1"},
            "serviceaccount": {"name": name, "uid": "sa-1"},
        },
        "sub": f"system:serviceaccount:{namespace}:{name}",
    } | more


def without(claims, *names):
    return {name: value for name, value in claims.items() if name not in names}


def signed(claims, kid="rsa", header=None, alg=None):
    """A token; `header` replaces fields of its header."""
    alg = alg or algorithm(kid)
    head = {"alg": alg, "kid": kid} | (header or {})
    head = {name: value for name, value in head.items() if value is not None}
    body = f"{part(head)}.{part(claims)}".encode()
    signature = jwt.get_algorithm_by_name(alg).sign(body, private(kid))
    return f"{body.decode()}.{encoded(signature)}"


def unsigned(claims, alg="none", kid="rsa", signature=b"x"):
    return f"{part({'alg': alg, 'kid': kid})}.{part(claims)}.{encoded(signature)}"


def confused(claims, kid="rsa"):
    """Signed with the public key, as if it were the secret of an HMAC (CVE-2015-9235)."""
    pem = private(kid).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    body = f"{part({'alg': 'HS256', 'kid': kid})}.{part(claims)}"
    return f"{body}.{encoded(hmac.new(pem, body.encode(), hashlib.sha256).digest())}"


def part(value):
    return encoded(value if isinstance(value, bytes) else json.dumps(value).encode())


def encoded(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
