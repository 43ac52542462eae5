"""A client certificate counts if it was issued by a CA that the operator named, for clients, and is good now."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID as Usage
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.identity.certificates import AuthorityError, PeerCertificates, read_authorities, thumbprint, verify
from pratique.identity.matching import Certificate
from pratique.identity.presenting import presented
from pratique.identity.proof import NotProvedError
from tests.identity.certifying import SPIFFE, authority, client, key, peer, pem

NOW = 1_800_000_000.0
CA = authority(NOW)
AUTHORITIES = read_authorities(pem(CA))
GOOD = client(NOW)


def check(presented, authorities=AUTHORITIES, now=NOW):
    return verify(presented, "mesh", authorities, now)


def test_a_certificate_of_the_authority_tells_its_names_and_until_when():
    names, expires, identifier = check(peer(GOOD))
    assert (names.issuer, names.uris, names.dns, names.common_names) == ("mesh", (SPIFFE,), (), ("mcp",))
    assert names.root == thumbprint(CA)
    assert expires == NOW + 86400
    assert identifier == f"1234abcd/sha256:{thumbprint(GOOD)[:32]}"


INTERMEDIATE = authority(NOW, "middle", by="ca", length=0)
GOOD_ONES = {
    "with the root": peer(GOOD, CA),
    "by common name only, as kubeadm issues": peer(client(NOW, uris=())),
    "with DNS names": peer(client(NOW, uris=(), dns=("a.example", "b.example"))),
    "RSA": peer(client(NOW, "rsa")),
    "for servers too": peer(client(NOW, eku=(Usage.SERVER_AUTH, Usage.CLIENT_AUTH))),
    "by an intermediate": peer(client(NOW, ca="middle"), INTERMEDIATE),
    "with a certificate that is not of the chain": peer(GOOD, INTERMEDIATE),
}


@pytest.mark.parametrize("good", GOOD_ONES.values(), ids=GOOD_ONES.keys())
def test_what_private_authorities_issue_is_accepted(good):
    assert check(good)


def test_a_chain_lasts_as_long_as_its_shortest_certificate():
    short = authority(NOW, "middle", by="ca", length=0, days=0.5)
    assert check(peer(client(NOW, ca="middle"), short))[1] == NOW + 43200


UNREAD = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4.5"), b"\x05\x00")
BAD = {
    "expired": peer(client(NOW, days=-0.1)),
    "not yet valid": peer(client(NOW, ago=-0.1)),
    "of another authority": peer(client(NOW, ca="evil")),
    "of another authority, with it": peer(client(NOW, ca="evil"), authority(NOW, "evil")),
    "of another authority of the same name": peer(client(NOW, ca="evil"), authority(NOW, "evil", by_name="ca")),
    "signed by a client's certificate": peer(client(NOW, ca="client"), client(NOW)),
    "by an intermediate that is not sent": peer(client(NOW, ca="middle")),
    "by an intermediate that has expired": peer(
        client(NOW, ca="middle"), authority(NOW, "middle", by="ca", days=-0.1, length=0)
    ),
    "by an intermediate that is no CA": peer(client(NOW, ca="middle"), authority(NOW, "middle", by="ca", ca=False)),
    "for servers": peer(client(NOW, eku=(Usage.SERVER_AUTH,))),
    "for anything": peer(client(NOW, eku=(Usage.ANY_EXTENDED_KEY_USAGE,))),
    "for nothing in particular": peer(client(NOW, eku=None)),
    "with a critical extension that nobody knows": peer(client(NOW, more=[(UNREAD, True)])),
    "with a weak key": peer(client(NOW, "weak")),
    "by an authority with a weak key": peer(client(NOW, ca="weak-middle"), authority(NOW, "weak-middle", by="ca")),
    "self-signed": peer(client(NOW, "self", ca="self")),
    "the authority itself": peer(CA),
    "unreadable": PeerCertificates(b"\x30\x00"),
    "none that could be read": PeerCertificates(b""),
    "unreadable in the chain": PeerCertificates(peer(GOOD).leaf, (b"\x30\x00",)),
    "too many": peer(GOOD, *[INTERMEDIATE] * 9),
    "too large": PeerCertificates(peer(GOOD).leaf, (b"\x30" * (64 << 10),)),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD.keys())
def test_any_other_certificate_proves_nobody(bad):
    with pytest.raises(NotProvedError):
        check(bad)


def test_a_certificate_is_good_to_its_last_second_only():
    assert check(peer(GOOD), now=NOW + 86400 - 1)
    with pytest.raises(NotProvedError):
        check(peer(GOOD), now=NOW + 86400)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_certificate_that_was_changed_anywhere_proves_nobody(data):
    der = peer(GOOD).leaf
    place = data.draw(st.integers(0, len(der) - 1))
    changed = der[:place] + bytes([der[place] ^ data.draw(st.integers(1, 255))]) + der[place + 1 :]
    with pytest.raises(NotProvedError):
        check(PeerCertificates(changed))


def test_authorities_are_read_from_a_bundle_with_prose():
    other = authority(NOW, "other")
    found = read_authorities(b"# ours\n" + pem(CA) + b"and theirs\n" + pem(other))
    assert set(found) == {thumbprint(CA), thumbprint(other)}
    assert check(peer(client(NOW, ca="other")), found)[0].root == thumbprint(other)


@pytest.mark.parametrize(
    ("content", "says"),
    [(b"", "0 CA"), (b"no certificate", "0 CA"), (pem(*[CA] * 65), "65 CA"), (pem(GOOD), "is no CA"),
     (pem(CA).replace(b"MII", b"AII"), "cannot be read")],
)  # fmt: skip
def test_what_are_no_authorities_is_refused(content, says):
    with pytest.raises(AuthorityError, match=says):
        read_authorities(content)


def names(**more):
    return check(peer(client(NOW, **more)))[0]


@pytest.mark.parametrize(
    ("matcher", "more", "meant"),
    [({"uri": SPIFFE}, {}, True), ({"uri": SPIFFE + "/"}, {}, False), ({"uri": SPIFFE.upper()}, {}, False),
     ({"uri": SPIFFE}, {"uris": ("spiffe://a", SPIFFE)}, False),
     ({"uri": "https://a/b"}, {"uris": ("https://a/b", "https://c")}, True), ({"uri": SPIFFE}, {"uris": (), "dns": ("x.example",)}, False),
     ({"dns": "a.example"}, {"dns": ("a.example",)}, True), ({"dns": "a.example"}, {"dns": ("*.example",)}, False),
     ({"dns": "mcp"}, {}, False), ({"commonName": "mcp"}, {}, True), ({"commonName": "MCP"}, {}, False),
     ({"commonName": "mcp"}, {"common": ("other", "mcp")}, False), ({"commonName": "mcp"}, {"common": ()}, False)],
)  # fmt: skip
def test_a_client_is_known_by_exactly_the_name_that_its_document_says(matcher, more, meant):
    import msgspec

    found = msgspec.convert({"issuer": "mesh", **matcher}, Certificate)
    assert found.means(names(**more)) is meant
    assert not msgspec.convert({"issuer": "other", **matcher}, Certificate).means(names(**more))


def test_a_certificate_and_another_credential_at_once_are_none():
    with pytest.raises(NotProvedError, match="at once"):
        presented([(b"Authorization", b"Bearer x")], peer(GOOD))
    assert presented([], peer(GOOD)) == peer(GOOD)
    assert key("client") is key("client")


class Handshake:
    """What OpenSSL knows after a handshake."""

    def __init__(self, leaf, chain=None):
        self.leaf, self.chain = leaf, chain

    def get_peer_certificate(self):
        return self.leaf

    def get_peer_cert_chain(self):
        return self.chain


class Unreadable:
    def to_cryptography(self):
        raise ValueError("weird")


def test_a_leaf_that_cannot_be_read_is_not_replaced_by_what_was_sent_beside_it():
    """The key that was proved is the leaf's; the next certificate may be anybody's."""
    from OpenSSL import crypto

    from pratique.identity.handshake import peer_certificates

    good = crypto.X509.from_cryptography(GOOD)
    assert peer_certificates(Handshake(None)) is None
    assert peer_certificates(Handshake(good)) == peer(GOOD)
    for handshake in (Handshake(Unreadable(), [good]), Handshake(good, [Unreadable()])):
        assert peer_certificates(handshake) == PeerCertificates(b"")
