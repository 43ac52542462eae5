"""Coverage-guided fuzzing of what decodes and masks streams: every input is taken, or refused with our own error.

    python -m pip install atheris
    PYTHONPATH=addons python -m tests.masking.fuzz watch -runs=200000     # or table, text, items, …; libFuzzer's options

Beside the Hypothesis tests, which are part of the suite; atheris is not among the dependencies: it instruments whole modules.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import atheris

with atheris.instrument_imports(include=["pratique"]):
    from pratique.errors import PratiqueError
    from pratique.kube.spdy import SpdyDecoder
    from pratique.kube.websocket import FrameDecoder
    from tests.masking.session import Session

WIDGETS = "/apis/example.com/v1/namespaces/d/widgets"
SECRETS, LOG = "/api/v1/namespaces/d/secrets", "/api/v1/namespaces/d/pods/p/log"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def pieces(data: bytes) -> list[bytes]:
    """The input, cut where its first byte says."""
    size = data[0] + 1 if data else 1
    return [data[at : at + size] for at in range(1, len(data), size)]


def watch(data: bytes) -> None:
    stream = Session().masker(f"{SECRETS}?watch=1").watch_stream()
    for piece in pieces(data):
        stream.feed(piece)
    stream.close()


def table(data: bytes) -> None:
    Session().body(SECRETS, data, content_type=TABLE)


def text(data: bytes) -> None:
    """However it is cut, the same comes out."""
    whole, cut = (Session().masker(LOG).text_stream() for _ in range(2))
    shown = b"".join(map(cut.feed, pieces(data))) + cut.close()
    assert whole.feed(data[1:]) + whole.close() == shown


def items(data: bytes) -> None:
    """Items of a list, cut and edited in its bytes, are masked as the same items written with spaces, and as each alone."""
    provider = atheris.FuzzedDataProvider(data)
    shape = [provider.PickValueInList(NAMES) for _ in range(provider.ConsumeIntInRange(0, 4))]
    found = [
        {**NAMED, "spec": {name: _value(provider) for name in shape}} for _ in range(provider.ConsumeIntInRange(1, 9))
    ]
    if provider.ConsumeBool():
        found[-1]["kind"] = provider.PickValueInList(["Secret", "SecretList", "Widget", ""])
    compact, spaced = (_masked(json.dumps({"items": found}, **how).encode()) for how in (COMPACT, SPACED))
    assert compact["items"] == spaced["items"]
    assert compact["items"] == [_masked(json.dumps(each, **COMPACT).encode()) for each in found]


NAMED = {"apiVersion": "example.com/v1", "metadata": {"name": "n", "annotations": {"a": "b"}}}
NAMES = ["password", "token", "value", "note", "data", "kind", "metadata", "items", 'with"quote', "größe"]
COMPACT: dict[str, Any] = {"separators": (",", ":"), "ensure_ascii": False}
SPACED: dict[str, Any] = {"indent": 1}


def _value(provider: Any) -> Any:
    text = provider.ConsumeUnicodeNoSurrogates(provider.ConsumeIntInRange(0, 24))
    return provider.PickValueInList([text, [text], {"password": text, "x": text}, {text: text}, 7, None, True])


def _masked(body: bytes) -> Any:
    return json.loads(Session().body(WIDGETS, body).body)


def websocket(data: bytes) -> None:
    decoder = FrameDecoder(from_client=bool(data[:1] > b"\x7f"))
    for piece in pieces(data):
        list(decoder.feed(piece))


def spdy(data: bytes) -> None:
    decoder = SpdyDecoder()
    for piece in pieces(data):
        list(decoder.feed(piece))


TARGETS: dict[str, Callable[[bytes], None]] = {
    each.__name__: each for each in (watch, table, text, items, websocket, spdy)
}


def main() -> None:
    target = TARGETS[sys.argv.pop(1)]

    def one(data: bytes) -> None:
        try:
            target(data)
        except PratiqueError:
            return

    atheris.Setup(sys.argv, one)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
