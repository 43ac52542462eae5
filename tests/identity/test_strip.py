"""Nothing that identifies or authenticates the client reaches the API server."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.identity.strip import credentials_in, is_credential, strip_credentials

TOKEN = b"base64url.bearer.authorization.k8s.io.dG9rZW4"


@pytest.mark.parametrize(
    "name",
    [
        b"Authorization", b"authorization", b"AUTHORIZATION", b" Authorization ", b"Proxy-Authorization", b"Cookie",
        b"Impersonate-User", b"iMpErSoNaTe-UsEr", b"IMPERSONATE-GROUP", b"Impersonate-Uid", b"Impersonate_User",
        b"Impersonate-Extra-scopes", b"impersonate-anything-new", b"X-Remote-User", b"x-remote-group", b"X_Remote_User",
        b"X-Remote-Extra-Acme", b"X-Remote-Uid", b"X-Forwarded-Client-Cert", b"X-SSL-Client-Cert", b"Client-Cert",
        b"X-Forwarded-User", b"X-Auth-Request-Email", b"X-Forwarded-Access-Token", b"Ssl-Client-Verify", b"X-Api-Key",
    ],
)  # fmt: skip
def test_credentials_are_removed_however_they_are_spelt(name):
    assert is_credential(name)
    assert strip_credentials([(b"Accept", b"*/*"), (name, b"v")]) == [(b"Accept", b"*/*")]


@pytest.mark.parametrize(
    "name", [b"Accept", b"Content-Type", b"User-Agent", b"X-Stream-Protocol-Version", b"Kubectl-Session"]
)
def test_other_headers_stay_as_they_are(name):
    assert strip_credentials([(name, b" v, w ")]) == [(name, b" v, w ")]


@pytest.mark.parametrize(
    ("value", "left"),
    [
        (TOKEN + b", v5.channel.k8s.io", [b"v5.channel.k8s.io"]),
        (b"v5.channel.k8s.io," + TOKEN + b",v4.channel.k8s.io", [b"v5.channel.k8s.io, v4.channel.k8s.io"]),
        (TOKEN, []),
        (TOKEN.upper(), []),
        (b"v5.channel.k8s.io,v4.channel.k8s.io", [b"v5.channel.k8s.io,v4.channel.k8s.io"]),
    ],
)
def test_the_bearer_sub_protocol_is_cut_out(value, left):
    assert [kept for _, kept in strip_credentials([(b"sec-websocket-Protocol", value)])] == left


def test_every_sub_protocol_header_is_cut():
    headers = [(b"Sec-WebSocket-Protocol", b"v5.channel.k8s.io"), (b"Sec-WebSocket-Protocol", TOKEN)]
    assert strip_credentials(headers) == headers[:1]


def test_connection_cannot_name_a_credential_as_hop_by_hop():
    headers = [(b"Connection", b"keep-alive, Authorization, impersonate-user")]
    assert strip_credentials(headers) == [(b"Connection", b"keep-alive")]


def test_what_was_removed_is_named_without_its_value():
    headers = [
        (b"Impersonate-User", b"root"),
        (b"Authorization", b"Bearer x"),
        (b"Accept", b"a"),
        (b"Connection", b"authorization"),
    ]
    assert credentials_in(headers) == ("authorization", "connection", "impersonate-user")


HEADERS = st.lists(
    st.tuples(
        st.one_of(
            st.sampled_from([b"Authorization", b"Connection", b"Sec-WebSocket-Protocol", b"Accept"]), st.binary()
        ),
        st.one_of(st.binary(), st.sampled_from([TOKEN, b"a, authorization", TOKEN + b",x"])),
    )
)


@settings(max_examples=200, deadline=None)
@given(HEADERS)
def test_stripping_twice_is_stripping_once_and_leaves_no_credential(headers):
    stripped = strip_credentials(headers)
    assert strip_credentials(stripped) == stripped
    assert credentials_in(stripped) == ()
    assert not any(is_credential(name) for name, _ in stripped)
