"""An endpoint is https, a host and a port, and nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.identity.server import Server, ServerError


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("https://api.example.com", "https://api.example.com:443"),
        ("https://API.example.com:6443/", "https://api.example.com:6443"),
        ("https://10.0.0.1:6443", "https://10.0.0.1:6443"),
        ("https://[::1]:6443", "https://[::1]:6443"),
        ("https://x.gr7.eu-west-1.eks.amazonaws.com", "https://x.gr7.eu-west-1.eks.amazonaws.com:443"),
        ("https://localhost.", "https://localhost.:443"),
    ],
)
def test_an_endpoint_is_read(text, wanted):
    assert str(Server.parse(text)) == wanted
    assert Server.parse(wanted) == Server.parse(text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("http://api", "not `https`"),
        ("api.example.com", "not `https`"),
        ("", "not `https`"),
        ("https://rancher.example.com/k8s/clusters/c-1", "path prefix"),
        ("https://user:secret@api", "password"),
        ("https://user@api", "password"),
        ("https://api?x=1", "query"),
        ("https://api?", "query"),
        ("https://api#f", "query"),
        ("https://", "no host"),
        ("https://api:0", "no host and port"),
        ("https://api:99999", "no URL"),
        ("https://api:x", "no URL"),
        ("https://[::1", "no URL"),
        ("https://a b", "characters"),
        ("https://a\nb", "characters"),
        ("https://\u0430pi", "characters"),
        ("https://-a", "no host"),
        ("https://a..b", "no host"),
        ("https://" + "a" * 64, "no host"),
        ("https://" + "a." * 150 + "b", "no host"),
        ("https://[fe80::1%25eth0]", "no host"),
    ],
)
def test_anything_else_is_refused_with_a_remedy(text, says):
    with pytest.raises(ServerError, match=says) as raised:
        Server.parse(text)
    assert raised.value.remedy
    assert "secret" not in str(raised.value)


def test_other_schemes_where_they_are_wanted():
    assert Server.parse("http://127.0.0.1", ("https", "http")).port == 80


@settings(max_examples=200, deadline=None)
@given(
    st.one_of(
        st.text(), st.text().map("https://{}".format), st.from_regex(r"https://[a-z.:\[\]%@/?#0-9]*", fullmatch=True)
    )
)
def test_any_text_is_an_endpoint_or_our_error(text):
    try:
        server = Server.parse(text)
    except ServerError:
        return
    assert Server.parse(str(server)) == server
