"""A token is believed for what its issuer's document allows, and for nothing that the token itself says of keys or algorithms."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.identity.issuers import ALGORITHMS, FileKeys, TokenIssuer
from pratique.identity.jwks import KeySetError, read_keys
from pratique.identity.proof import NotProvedError
from pratique.identity.tokens import MAX_TOKEN_CHARACTERS, read_token, verify
from tests.identity.issuing import (
    AUDIENCE,
    ISSUER,
    account_claims,
    algorithm,
    confused,
    encoded,
    jwk,
    key_set,
    part,
    private,
    signed,
    unsigned,
    without,
)

NOW = 1_800_000_000.0
KIDS = ("rsa", "rsa-other", "ec", "ec384", "ed")
KEYS = read_keys(key_set(*KIDS))
TRUSTED = TokenIssuer("cluster", ISSUER, frozenset({AUDIENCE, "second"}), frozenset(ALGORITHMS), FileKeys("keys.json"))
CLAIMS = account_claims(NOW)


def check(text, issuer=TRUSTED, keys=KEYS, now=NOW):
    token = read_token(text)
    if token.key not in keys:
        raise NotProvedError("no such key")
    return verify(token, issuer, keys[token.key], now)


def refusal(text, **more):
    with pytest.raises(NotProvedError) as raised:
        check(text, **more)
    return str(raised.value)


@pytest.mark.parametrize("kid", KIDS)
def test_a_token_of_each_kind_of_key_is_verified(kid):
    claims, expires, identifier = check(signed(CLAIMS, kid))
    assert (claims.issuer, claims.subject, claims.key) == ("cluster", CLAIMS["sub"], kid)
    assert expires == CLAIMS["exp"]
    assert identifier == CLAIMS["jti"]


@pytest.mark.parametrize("alg", [alg for alg in ALGORITHMS if alg[:2] in {"RS", "PS"}])
def test_every_algorithm_of_an_rsa_key_is_one(alg):
    assert check(signed(CLAIMS, alg=alg))[0].algorithm == alg


@pytest.mark.parametrize("aud", [AUDIENCE, [AUDIENCE], ["other", "second"]])
def test_one_audience_of_ours_is_enough(aud):
    assert check(signed(CLAIMS | {"aud": aud}))


@pytest.mark.parametrize("header", [{"typ": "JWT"}, {"typ": "at+jwt"}, {"jku": "https://evil.example"}, {"x5u": "x"}])
def test_what_a_header_says_of_other_keys_is_not_looked_at(header):
    assert check(signed(CLAIMS, header=header))


BAD = {
    "expired": signed(CLAIMS | {"exp": NOW}),
    "expired long ago": signed(CLAIMS | {"exp": 0}),
    "no exp": signed(without(CLAIMS, "exp")),
    "exp null": signed(CLAIMS | {"exp": None}),
    "exp is a string": signed(CLAIMS | {"exp": str(NOW + 9)}),
    "exp is true": signed(CLAIMS | {"exp": True}),
    "exp is a list": signed(CLAIMS | {"exp": [NOW + 9]}),
    "exp is huge": signed(CLAIMS | {"exp": 1 << 60}),
    "exp is negative": signed(CLAIMS | {"exp": -1}),
    "not yet": signed(CLAIMS | {"nbf": NOW + 61}),
    "issued in the future": signed(CLAIMS | {"iat": NOW + 61}),
    "nbf is a string": signed(CLAIMS | {"nbf": "now"}),
    "wrong issuer": signed(CLAIMS | {"iss": ISSUER + "/"}),
    "no issuer": signed(without(CLAIMS, "iss")),
    "issuer is a list": signed(CLAIMS | {"iss": [ISSUER]}),
    "wrong audience": signed(CLAIMS | {"aud": ["https://kubernetes.default.svc"]}),
    "audience contains ours": signed(CLAIMS | {"aud": f"{AUDIENCE}-other"}),
    "no audience": signed(without(CLAIMS, "aud")),
    "empty audience": signed(CLAIMS | {"aud": []}),
    "audience is a map": signed(CLAIMS | {"aud": {AUDIENCE: 1}}),
    "audience is mixed": signed(CLAIMS | {"aud": [AUDIENCE, 1]}),
    "no subject": signed(without(CLAIMS, "sub")),
    "subject is a number": signed(CLAIMS | {"sub": 1}),
    "alg none": unsigned(CLAIMS),
    "alg None": unsigned(CLAIMS, "None"),
    "alg NONE": unsigned(CLAIMS, "NONE"),
    "alg none with a signature": unsigned(CLAIMS, signature=b"signature"),
    "alg none, no signature": unsigned(CLAIMS).rpartition(".")[0] + ".",
    "HMAC": unsigned(CLAIMS, "HS256"),
    "HMAC with the public key": confused(CLAIMS),
    "no alg": signed(CLAIMS, header={"alg": None}),
    "alg is a list": signed(CLAIMS, header={"alg": ["RS256"]}),
    "alg in lower case": signed(CLAIMS, header={"alg": "rs256"}),
    "alg of another key type": signed(CLAIMS, header={"alg": "ES256"}),
    "alg of the same key type": signed(CLAIMS, header={"alg": "PS256"}),
    "curve of another key": signed(CLAIMS, "ec384", header={"alg": "ES256"}),
    "another key": signed(CLAIMS, "rsa-other", header={"kid": "rsa"}),
    "unknown key": signed(CLAIMS, header={"kid": "unknown"}),
    "no kid": signed(CLAIMS, header={"kid": None}),
    "kid is a path": signed(CLAIMS, header={"kid": "../../dev/null"}),
    "kid is a number": signed(CLAIMS, header={"kid": 1}),
    "crit": signed(CLAIMS, header={"crit": ["exp"]}),
    "crit empty": signed(CLAIMS, header={"crit": []}),
    "b64": signed(CLAIMS, header={"b64": True}),
    "a logout token": signed(CLAIMS, header={"typ": "logout+jwt"}),
    "a proof of possession": signed(CLAIMS, header={"typ": "dpop+jwt"}),
    "own key in the header": signed(CLAIMS, "rsa-other", header={"kid": "rsa", "jwk": jwk("rsa-other")}),
    "claims of somebody else": ".".join(
        [signed(CLAIMS).split(".")[0], part(CLAIMS | {"sub": "admin"}), signed(CLAIMS).split(".")[2]]
    ),
    "claim twice": "{}.{}.{}".format(
        part({"alg": "RS256", "kid": "rsa"}),
        part(b'{"iss":"' + ISSUER.encode() + b'","iss":"' + ISSUER.encode() + b'"}'),
        encoded(b"x"),
    ),
    "header is a list": f"{part([])}.{part(CLAIMS)}.AA",
    "payload is a list": f"{part({'alg': 'RS256', 'kid': 'rsa'})}.{part([])}.AA",
    "deep": f"{part(b'[' * 10_000)}.{part(CLAIMS)}.AA",
    "not JSON": "AA.AA.AA",
    "two parts": "AA.AA",
    "encrypted": "AA.AA.AA.AA.AA",
    "standard base64": signed(CLAIMS).replace("-", "+").replace("_", "/") + "=",
    "line break": signed(CLAIMS) + "\n",
}  # fmt: skip


@pytest.mark.parametrize("text", BAD.values(), ids=BAD.keys())
def test_a_token_that_is_not_quite_right_is_refused(text):
    assert text not in refusal(text)


def test_a_signature_is_asked_for_even_where_all_claims_are_right():
    head, claims, signature = signed(CLAIMS).split(".")
    for other in ("", "AA", signature[:-4], signature + "AAAA", encoded(bytes(256))):
        refusal(f"{head}.{claims}.{other}")


def test_a_token_that_is_too_long_is_not_read():
    assert check(signed(CLAIMS | {"groups": ["x" * 1000] * 8}))
    assert "too long" in refusal(signed(CLAIMS | {"groups": ["x" * 1000] * 16}))
    assert "too long" in refusal("a" * (MAX_TOKEN_CHARACTERS + 1))


def test_clocks_may_differ_a_minute_but_not_to_live_longer():
    assert check(signed(CLAIMS | {"nbf": NOW + 60, "iat": NOW + 60}))
    assert check(signed(CLAIMS), now=CLAIMS["exp"] - 0.001)
    assert "expired" in refusal(signed(CLAIMS), now=CLAIMS["exp"])


def test_an_issuer_that_signs_with_one_algorithm_is_believed_with_that_only():
    only = TokenIssuer("cluster", ISSUER, frozenset({AUDIENCE}), frozenset({"ES256"}), FileKeys("keys.json"))
    assert check(signed(CLAIMS, "ec"), issuer=only)
    assert "algorithm" in refusal(signed(CLAIMS, "rsa"), issuer=only)


@pytest.mark.parametrize("jti", [None, "", "with blank", "x" * 200, 7, "esc\x1b"])
def test_a_token_without_a_name_is_recorded_by_its_hash(jti):
    identifier = check(signed(CLAIMS | {"jti": jti}))[2]
    assert identifier.startswith("sha256:")
    assert len(identifier) == len("sha256:") + 32


GOOD = {kid: signed(CLAIMS, kid) for kid in KIDS}


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(KIDS), st.data())
def test_a_token_that_was_changed_anywhere_proves_nothing(kid, data):
    """INVARIANT: one character less, more or other, and it is another token. Only the last of a part has unused bits."""
    text = GOOD[kid]
    place = data.draw(st.integers(0, len(text) - 1))
    what = data.draw(st.sampled_from(["replace", "delete", "insert", "swap"]))
    character = data.draw(st.sampled_from("ABCxyz0129-_."))
    changed = {
        "replace": text[:place] + character + text[place + 1 :],
        "delete": text[:place] + text[place + 1 :],
        "insert": text[:place] + character + text[place:],
        "swap": text[:place] + text[place : place + 2][::-1] + text[place + 2 :],
    }[what]
    if _means(changed) == _means(text):
        return
    refusal(changed)


def _means(text):
    """The bytes that a token stands for, however its last bits are written."""
    import base64

    parts = text.split(".")
    try:
        signature = base64.urlsafe_b64decode(parts[2] + "=" * (-len(parts[2]) % 4)) if len(parts) == 3 else None
    except ValueError:
        signature = None
    return parts[:2], signature


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=80), st.lists(st.binary(max_size=40), min_size=3, max_size=3).map(
    lambda parts: ".".join(map(encoded, parts)))))  # fmt: skip
def test_any_text_is_refused_and_nothing_else_is_raised(text):
    refusal(text)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(
    st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "cty", "x"]),
    st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=3)), st.just("none")),
))  # fmt: skip
def test_no_header_makes_an_unsigned_token_good(header):
    refusal(f"{part(header)}.{part(CLAIMS)}.{encoded(b'signature')}")


# --- key sets ---


def test_keys_are_read_with_the_algorithms_that_they_are_for():
    assert {kid: KEYS[kid].algorithms for kid in KIDS if kid != "rsa-other"} == {
        "rsa": frozenset(alg for alg in ALGORITHMS if alg[:2] in {"RS", "PS"}),
        "ec": {"ES256"}, "ec384": {"ES384"}, "ed": {"EdDSA"},
    }  # fmt: skip
    assert read_keys(key_set(jwk("rsa", alg="RS512", use="sig")))["rsa"].algorithms == {"RS512"}


LEFT_OUT = {
    "for encryption": jwk("rsa", use="enc"),
    "not to verify": jwk("rsa", key_ops=["encrypt"]),
    "without kid": jwk("rsa", kid=""),
    "kid is a number": jwk("rsa", kid=7),
    "symmetric": {"kty": "oct", "kid": "x", "k": encoded(b"secret" * 8)},
    "symmetric that says RS256": {"kty": "oct", "kid": "x", "alg": "RS256", "k": encoded(b"secret" * 8)},
    "RSA that says HS256": jwk("rsa", alg="HS256"),
    "RSA that says none": jwk("rsa", alg="none"),
    "RSA that says ES256": jwk("rsa", alg="ES256"),
    "alg is a list": jwk("rsa", alg=["RS256"]),
    "weak": jwk("weak"),
    "unknown type": {"kty": "PQC", "kid": "x"},
    "unknown curve": jwk("ec", crv="secp256k1"),
    "not on the curve": jwk("ec", x=jwk("ec-other")["x"]),
    "no modulus": {"kty": "RSA", "kid": "x", "e": "AQAB"},
    "a list": ["rsa"],
}


@pytest.mark.parametrize("entry", LEFT_OUT.values(), ids=LEFT_OUT.keys())
def test_a_key_that_cannot_be_used_is_left_out(entry):
    assert set(read_keys(key_set(entry, "ed"))) == {"ed"}
    with pytest.raises(KeySetError, match="no key that can be used"):
        read_keys(key_set(entry))


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"keys":{}}', b"not json", b'{"keys":[],"keys":[]}', b" " * (2 << 20), b"\xff",
             b'{"keys":[' + b"{}," * 300 + b"{}]}"]
)  # fmt: skip
def test_what_is_no_key_set_is_none(data):
    with pytest.raises(KeySetError):
        read_keys(data)


def test_one_kid_for_two_keys_is_no_key_set():
    with pytest.raises(KeySetError, match="twice"):
        read_keys(key_set("rsa", jwk("rsa-other", kid="rsa")))


def test_a_private_key_in_a_set_is_read_as_its_public_half():
    import jwt

    whole = jwt.get_algorithm_by_name("RS256").to_jwk(private("rsa"), as_dict=True) | {
        "kid": "rsa",
        "key_ops": ["verify"],
    }
    assert "d" in whole
    assert read_keys(key_set(whole))["rsa"].public == KEYS["rsa"].public
    assert algorithm("rsa") == "RS256"
