"""Only what is known to be harmless is stored of a request."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.recorder import scrub
from pratique.recorder.argv import SCRUBBED
from pratique.recorder.scrub import (
    HEADERS,
    MAX_HEADERS,
    MAX_VALUE,
    argv_of,
    printable,
    scrub_header,
    scrub_path,
    scrub_query,
    scrub_refusal,
    stored_headers,
)

S = "S3CR3T-value"


@pytest.mark.parametrize(
    "name", ["Authorization", "authorization", "Cookie", "Set-Cookie", "Proxy-Authorization", "Impersonate-User"]
)
def test_a_credential_header_is_stored_as_a_name(name: str) -> None:
    assert scrub_header(name, S) == SCRUBBED


@pytest.mark.parametrize("name", ["X-Anything", "Impersonate-Extra-x", "X-Forwarded-Access-Token", S])
def test_an_unknown_header_is_not_even_named(name: str) -> None:
    assert stored_headers([(name.encode(), S.encode()), (b"Accept", b"*/*")]) == ([(b"Accept", b"*/*")], 1)


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (f"v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.{S}", f"v5.channel.k8s.io, {SCRUBBED}"),
        ("SPDY/3.1+portforward.k8s.io", "SPDY/3.1+portforward.k8s.io"),
        ("v4.base64.channel.k8s.io,channel.k8s.io", "v4.base64.channel.k8s.io, channel.k8s.io"),
    ],
)
def test_the_bearer_sub_protocol_is_not_stored(value: str, stored: str) -> None:
    assert scrub_header("Sec-WebSocket-Protocol", value) == stored


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (f"https://u:{S}@h/x?token={S}&watch=1", f"https://h/x?token={SCRUBBED}&watch=1"),
        ("http://[bad", SCRUBBED),
    ],
)
def test_a_redirect_is_stored_without_its_secrets(value: str, stored: str) -> None:
    assert scrub_header("Location", value) == stored


def test_values_of_known_headers_are_examined_and_bounded() -> None:
    assert S not in (scrub_header("User-Agent", f"x token={S}") or "")
    assert scrub_header("User-Agent", "a\r\nb") == "a\\r\\nb"
    long = scrub_header("User-Agent", "a" * (MAX_VALUE + 1)) or ""
    assert long.startswith("a" * MAX_VALUE)
    assert long.endswith(f"({MAX_VALUE + 1} characters)")
    kept, dropped = stored_headers([(b"Accept", b"x")] * (MAX_HEADERS + 2))
    assert (len(kept), dropped) == (MAX_HEADERS, 2)


def test_every_stored_header_has_a_reason() -> None:
    assert all(HEADERS.values())
    assert all(name == name.lower() for name in HEADERS)


@pytest.mark.parametrize(
    ("query", "stored"),
    [
        ("watch=true&limit=5&watch", "watch=true&limit=5&watch="),
        (f"access_token={S}&x={S}", f"access_token={SCRUBBED}&x={SCRUBBED}"),
        ("labelSelector=app%3Dweb%2Ctier+in+(a)", "labelSelector=app=web,tier%20in%20(a)"),
        ("fieldSelector=metadata.name%3Da,spec.password!%3DS3CR3T", f"fieldSelector=metadata.name=a,spec.password!={SCRUBBED}"),
        ("fieldSelector=S3CR3T,", f"fieldSelector={SCRUBBED},"),
        ("command=mysql&tty=1&command=-pS3CR3T", f"command=mysql&tty=1&command=-p{SCRUBBED}"),
        ("continue=a%26b%3D1", "continue=a%26b=1"),
        ("&&", ""),
        ("", ""),
    ],
)  # fmt: skip
def test_a_query_keeps_what_the_api_defines(query: str, stored: str) -> None:
    assert scrub_query(query) == stored


def test_a_path_stays_as_it_came_but_for_tokens_and_controls() -> None:
    assert scrub_path("/api/v1/namespaces/a/secrets/foo%0d%0aX") == "/api/v1/namespaces/a/secrets/foo%0d%0aX"
    assert scrub_path("/x/\x1b]0;\u202e") == "/x/\\x1b]0;\\u202e"
    assert "S3CR3T" not in scrub_path("/proxy/ghp_S3CR3TS3CR3TS3CR3T/x")
    assert printable("\ud800") == "\\ud800"


def test_headers_are_stored_in_bytes_as_they_came() -> None:
    came = [(b"Authorization", f"Bearer {S}".encode()), (b"X-Y", S.encode()), (b"Kubectl-Command", b"kubectl \xff")]
    for _ in range(2):  # the second time they are remembered
        kept, dropped = stored_headers(came)
        assert kept == [(b"Authorization", SCRUBBED.encode()), (b"Kubectl-Command", "kubectl ÿ".encode())]
        assert dropped == 1


def test_no_credential_is_remembered() -> None:
    before = scrub._stored_remembered.cache_info().currsize
    stored_headers([(name.encode(), b"Bearer never-seen-before") for name in scrub.CREDENTIAL_HEADERS])
    stored_headers([(name.upper().encode(), b"Bearer never-seen-before") for name in scrub.CREDENTIAL_HEADERS])
    assert scrub._stored_remembered.cache_info().currsize == before


@given(st.text(max_size=60), st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=40)), max_size=5))
@settings(max_examples=200, deadline=None)
def test_any_request_can_be_scrubbed_and_encoded(target: str, headers: list[tuple[bytes, bytes]]) -> None:
    path, _, query = target.partition("?")
    for text in (scrub_path(path), scrub_query(query), *argv_of(query)):
        text.encode()
    for _, value in stored_headers([*headers, (b"Accept", target.encode("utf-8", "surrogatepass"))])[0]:
        value.decode()


@given(st.from_regex(scrub._PLAIN, fullmatch=True))
def test_what_is_not_examined_would_stay_as_it_is(value: str) -> None:
    assert scrub_header("Date", value) == value == scrub.scrub_value(value)


def test_the_command_of_an_exec_is_scrubbed() -> None:
    assert argv_of("command=sh&command=-c&command=mysql%20-pS3CR3T&t=S3CR3T") == ("sh", "-c", f"mysql -p{SCRUBBED}")


def test_a_refusal_that_quotes_the_client_is_stored_without_its_secrets() -> None:
    body = b'{"kind":"Status","code":400,"message":"the path `/x?token=hunter2hunter2` is bad","details":{"causes":[{"message":"Bearer abcdef123456"}]}}'
    stored = scrub_refusal(body)
    assert b"hunter2" not in stored
    assert b"abcdef" not in stored
    assert json.loads(stored)["code"] == 400
    assert scrub_refusal(b"not json password=hunter2") == SCRUBBED.encode()
