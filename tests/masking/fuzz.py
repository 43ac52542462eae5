"""Coverage-guided fuzzing of what decodes and masks streams: every input is taken, or refused with our own error.

    python -m pip install atheris
    PYTHONPATH=addons python -m tests.masking.fuzz watch -runs=200000     # or table, text, websocket, spdy; libFuzzer's options

Beside the Hypothesis tests, which are part of the suite; atheris is not among the dependencies: it instruments whole modules.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import atheris

with atheris.instrument_imports(include=["pratique"]):
    from pratique.errors import PratiqueError
    from pratique.kube.spdy import SpdyDecoder
    from pratique.kube.websocket import FrameDecoder
    from tests.masking.session import Session

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


def websocket(data: bytes) -> None:
    decoder = FrameDecoder(from_client=bool(data[:1] > b"\x7f"))
    for piece in pieces(data):
        list(decoder.feed(piece))


def spdy(data: bytes) -> None:
    decoder = SpdyDecoder()
    for piece in pieces(data):
        list(decoder.feed(piece))


TARGETS: dict[str, Callable[[bytes], None]] = {each.__name__: each for each in (watch, table, text, websocket, spdy)}


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
