"""What of the API server's headers reaches the client."""

from __future__ import annotations

from pratique.kube.response import response_headers, warning

SENT = [
    (b"Content-Type", b"application/json"),
    (b"Set-Cookie", b"a=b"),
    (b"Location", b"/elsewhere"),
    (b"Upgrade", b"SPDY/3.1"),
    (b"Warning", '299 - "password=hunter2 ü\r\nx"'.encode()),
]


def mask(text: str) -> str:
    return text.replace("hunter2", "MASK")


def test_only_known_headers_pass_and_warnings_are_masked() -> None:
    assert response_headers(SENT, upgrade=False, mask=mask) == [
        (b"Content-Type", b"application/json"),
        (b"Warning", b'299 - "password=MASK ???x"'),
    ]


def test_headers_of_an_upgrade_pass_with_one() -> None:
    assert (b"Upgrade", b"SPDY/3.1") in response_headers(SENT, upgrade=True, mask=mask)


def test_a_warning_is_one_line_of_printable_ascii() -> None:
    assert warning('a "b"\\\r\nü') == (b"warning", b'299 - "a ?b?????"')
