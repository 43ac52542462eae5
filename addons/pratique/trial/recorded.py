"""A request that was recorded, as a value that can be judged again; and how one is made from a flow and a corpus line.

Belongs here: what a recording keeps and what it has lost. Pure. Not here: files (`reading`), audit logs (`audit_event`).

A recording is scrubbed: credentials are gone, masks stand for values, long bodies are cut. What is lost is said in `lost`, so
that a rule which looks there is not given an answer that nobody can know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from pratique.kube.forms import RawRequest, from_corpus, line_version
from pratique.masking.mask import NUMBER, carries
from pratique.recorder.argv import SCRUBBED
from pratique.recorder.record import BODY_BYTES

type Lost = Literal["values", "body", "target"]
"""`values`: the body holds masks; `body`: it was not, or not wholly, recorded; `target`: a part of path or query was not."""

REFUSED = "refused"

SCRUBBED_TEXT = "**"
"""What every text holds that was scrubbed or masked."""
_SCRUBBED = SCRUBBED.encode()
_FRAMING = frozenset(
    {b"content-length", b"transfer-encoding", b"content-encoding", b"host", b"authorization", b"cookie"}
)
_NUMBER = str(NUMBER).encode()
_WEBSOCKET_KEY = (b"Sec-WebSocket-Key", b"AAAAAAAAAAAAAAAAAAAAAA==")  # random by nature, so never recorded


class Place(NamedTuple):
    """Where a request stands: byte offset in a file; `line` from 1 in a file of lines, else 0."""

    file: str
    offset: int
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else f"{self.file} byte {self.offset}"


class Answer(NamedTuple):
    """What the client was shown. `raw`: it holds values, and not masks (an audit log)."""

    status: int
    content_type: str
    body: bytes
    raw: bool = False


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """`client` is "" where the recording does not say; `verdict` and `rules` are what the gateway said then, if it was one.

    `id` is an Audit-ID or the like; `result` is the object that a patch made, where the recording has it whole.
    """

    raw: RawRequest
    place: Place
    client: str = ""
    id: str = ""
    answer: Answer | None = None
    verdict: str = ""
    rules: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    result: Any = None
    lost: frozenset[Lost] = frozenset()


def of_flow(flow: Mapping[str, Any], place: Place) -> RecordedRequest | None:
    """From the state of a flow (mitmproxy's or ours); None where it is no HTTP. Raises KeyError, TypeError, … if malformed."""
    sent = flow.get("request")
    if not isinstance(sent, dict):
        return None
    metadata = flow.get("metadata") or {}
    stage = metadata.get("pratique.stage", "")
    body = sent.get("content") or b""
    rules = metadata.get("pratique.rules", "")
    answer = _answer(flow.get("response"))
    return RecordedRequest(
        raw=_raw(sent, body),
        place=place,
        client=str(metadata.get("pratique.client", "")),
        id=str(metadata.get("pratique.audit_id", "") or flow.get("id", "")),
        answer=answer,
        verdict=str(metadata.get("pratique.verdict", "")) or (REFUSED if stage else ""),
        rules=tuple(rules.split(",")) if rules else (),
        masks=tuple(filter(None, metadata.get("pratique.masks", "").split(","))),
        lost=lost_in(sent["path"], body, cut=bool(stage) and len(body) >= BODY_BYTES),
    )


def _answer(response: Any) -> Answer | None:
    if not isinstance(response, dict):
        return None
    media = next((value for name, value in response.get("headers", ()) if name.lower() == b"content-type"), b"")
    return Answer(int(response["status_code"]), media.decode("latin-1"), response.get("content") or b"")


def _raw(sent: Mapping[str, Any], body: bytes) -> RawRequest:
    """The bytes that a client would have sent. Bodies are recorded as JSON, whatever they came as."""
    fields: list[tuple[bytes, bytes]] = [(b"Host", b"gateway")]
    upgrades = has_key = False
    for name, value in sent["headers"]:
        lower = name.lower()
        if lower in _FRAMING:
            continue
        if lower == b"content-type" and body[:1] in b"{[" and b"json" not in value and b"apply" not in value:
            value = b"application/json"  # noqa: PLW2901 - protobuf and YAML
        if lower == b"sec-websocket-protocol" and _SCRUBBED in value:
            value = b", ".join(one for one in value.split(b", ") if one != _SCRUBBED)  # noqa: PLW2901 - a bearer token
        upgrades = upgrades or (lower == b"upgrade" and value.lower() == b"websocket")
        has_key = has_key or lower == b"sec-websocket-key"
        fields.append((name, value))
    if upgrades and not has_key:
        fields.append(_WEBSOCKET_KEY)
    if body:
        fields.append((b"Content-Length", b"%d" % len(body)))
    version = line_version((sent.get("http_version") or b"HTTP/1.1").decode("ascii", "replace"))
    return RawRequest(sent["method"], sent["path"], tuple(fields), body, version if body else "HTTP/1.1")


def lost_in(target: bytes, body: bytes, *, cut: bool = False) -> frozenset[Lost]:
    """What of a request cannot be known any more."""
    lost: set[Lost] = set()
    if cut:
        lost.add("body")
    if body and (carries(body) or _SCRUBBED in body or _NUMBER in body):
        lost.add("values")
    if b"*" in target and (_SCRUBBED in target or carries(target)):
        lost.add("target")
    return frozenset(lost)


def of_corpus(line: Mapping[str, Any], place: Place) -> RecordedRequest:
    """From a line with `method`, `path`, `headers`, `body`, and perhaps `client`. NotARequest, ValueError."""
    client = line.get("client")
    named = client if isinstance(client, str) else ""
    raw = from_corpus(line)
    return RecordedRequest(raw, place, named, str(line.get("id", "")), lost=lost_in(raw.target, raw.body))


def headers_of(raw: RawRequest, wanted: Sequence[bytes]) -> tuple[bytes, ...]:
    """The values of some headers, lower-case names; b"" for none."""
    found = {name.lower(): value for name, value in raw.headers}
    return tuple(found.get(name, b"") for name in wanted)
