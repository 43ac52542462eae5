"""The head that was checked when it came is the one that is judged, byte for byte, or it is read once more."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from pratique.errors import Refused
from pratique.identity.addon import _head_read
from pratique.identity.strip import CREDENTIAL_NAMES, is_credential, strip_credentials
from pratique.kube import canonical
from pratique.kube.canonical import HeadRead, RawRequest, canonicalise
from pratique.kube.forms import from_corpus
from tests.kube.requests import corpus

SENT = ((b"Authorization", b"Bearer secret-of-a-client"), (b"X-Api-Key", b"another"))
POD = RawRequest(b"GET", b"/api/v1/namespaces/a/pods/p", (*SENT, (b"Accept", b"*/*")), b"")


def came(raw: RawRequest) -> tuple[RawRequest, HeadRead | None]:
    """The request as it is judged, and what was read when its head came."""
    kept = tuple(strip_credentials(raw.headers))
    return replace(raw, headers=kept), _head_read(replace(raw, body=b""), kept)


def told(raw: RawRequest, read: HeadRead | None = None) -> Any:
    try:
        return canonicalise(raw, read)
    except Refused as refusal:
        return refusal.rule, refusal.message


def test_every_request_of_the_corpus_becomes_the_same_with_the_head_that_was_read() -> None:
    taken = 0
    for line in corpus():
        raw = from_corpus(line)
        try:
            judged, read = came(replace(raw, headers=(*SENT, *raw.headers)))
        except Refused:
            continue  # refused when the head came
        taken += read is not None and read.fits(judged)
        assert told(judged, read) == told(judged), line["id"]
    assert taken > 200


def test_no_credential_is_kept_with_it() -> None:
    judged, read = came(POD)
    assert read is not None
    assert read.fits(judged)
    assert not {name for name in read.head.headers if is_credential(name)} | CREDENTIAL_NAMES & read.head.headers.keys()
    assert b"secret-of-a-client" not in repr(read).encode()
    assert b"another" not in repr(read).encode()


@pytest.mark.parametrize(
    "change",
    [
        {"method": b"DELETE"},
        {"target": b"/api/v1/namespaces/b/pods/p"},
        {"headers": ()},
        {"headers": ((b"Accept", b"*/*"), (b"X", b"y"))},
        {"http_version": "HTTP/2.0"},
    ],
    ids=["method", "target", "no-headers", "more-headers", "version"],
)
def test_the_head_of_another_request_counts_for_nothing(change: dict[str, Any]) -> None:
    judged, read = came(POD)
    other = replace(judged, **change)
    assert read is not None
    assert not read.fits(other)
    assert canonicalise(other, read) == canonicalise(other)


def test_the_body_is_not_of_the_head() -> None:
    judged, read = came(POD)
    assert told(replace(judged, body=b"{}"), read) == told(replace(judged, body=b"{}"))
    assert told(replace(judged, body=b"{}"), read)[0] == "body/unexpected"


@pytest.mark.parametrize("more", [(), ((b"Connection", b"keep-alive"),)], ids=["alone", "beside-what-is-left-of-it"])
def test_a_head_of_which_a_part_of_a_header_was_cut_is_read_once_more(more: Any) -> None:
    """What is left of the one may be the other, whole."""
    headers = ((b"Connection", b"keep-alive, Authorization"), *more)
    judged, read = came(replace(POD, headers=headers))
    assert read is None
    assert judged.headers == ((b"Connection", b"keep-alive"), *more)


def test_a_head_that_fits_is_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, read = came(POD)
    monkeypatch.setattr(canonical, "read_head", None)
    assert canonicalise(judged, read).attributes.name == "p"
