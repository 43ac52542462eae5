"""The masker of one request: bodies, watches, text, headers.

Belongs here: which content is masked how, and the refusal of what cannot be. Not here: mitmproxy (`addon.py`), the
masking of one document (`body.py`), of text (`text.py`).

Fail closed: a body that no branch here can take apart raises MaskError, and nothing of it is shown. `mask_body` may
run in a worker thread; streams belong to the thread that feeds them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from pratique.errors import FramingError, MaskError
from pratique.kube.attributes import RequestAttributes
from pratique.kube.objects import ObjectType, rewrite, type_of_request
from pratique.kube.watch import MAX_EVENT
from pratique.masking.body import DocumentMasker, KnownMasker
from pratique.masking.hits import Hits, summary
from pratique.masking.known import Index, KnownValues
from pratique.masking.mask import Mask
from pratique.masking.patterns import PatternSet
from pratique.masking.plan import Plan
from pratique.masking.raw import RawStream
from pratique.masking.rules import MaskSet
from pratique.masking.text import TextMasker, TextStream
from pratique.masking.watch import WatchStream

# OpenAPI documents describe types and hold no objects; old kubectl reads them as protobuf only.
_OPAQUE = ("/openapi/",)
_TEXT = frozenset({"text/plain", "text/html", "application/openmetrics-text"})
TABLE_COLUMN = "table-column"  # what is counted for a cell under a sensitive column name


@dataclass(frozen=True, slots=True)
class Masked:
    """A body that can be shown, and how often each rule masked something (rule ids POLICY/RULE, names of patterns)."""

    body: bytes
    hits: dict[str, int] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        """For a `Warning` header; "" if nothing was masked."""
        return summary(self.hits)


class Stream(Protocol):
    """Bytes in, bytes that can be shown out. `hits` grows."""

    @property
    def hits(self) -> dict[str, int]: ...
    @property
    def waits(self) -> bool: ...
    def feed(self, data: bytes) -> bytes: ...
    def flush(self) -> bytes: ...
    def close(self) -> bytes: ...


@dataclass(frozen=True)
class Scope:
    """What all parts of one request share."""

    mask_set: MaskSet
    kind: ObjectType
    namespace: str
    client: str
    known: KnownValues

    @property
    def mask(self) -> Mask:
        return self.mask_set.mask

    @cached_property
    def plan(self) -> Plan:
        return self.mask_set.plan(self.kind, self.namespace, self.client)

    def plan_of(self, kind: ObjectType) -> Plan:
        return self.mask_set.plan(kind, self.namespace, self.client)

    @cached_property
    def patterns(self) -> PatternSet | None:
        return self.mask_set.text_patterns(self.kind, self.namespace, self.client)

    @cached_property
    def nothing_known(self) -> KnownValues:
        return KnownValues()

    @property
    def column_rule(self) -> str:
        return TABLE_COLUMN


class Masker:
    """For one request of one client. `known` is the session's."""

    def __init__(self, mask_set: MaskSet, attributes: RequestAttributes, client: str, known: KnownValues) -> None:
        self._attributes = attributes
        self._applies = mask_set.applies_to(client)
        self._scope = Scope(mask_set, type_of_request(attributes), attributes.namespace, client, known)

    @property
    def applies(self) -> bool:
        """False: no rule is for this client, everything passes as it is."""
        return self._applies

    def mask_body(self, content_type: str, body: bytes) -> Masked:
        """A whole response body, of any status. MaskError if it cannot be masked, so must not be shown."""
        media = content_type.partition(";")[0].strip().lower()
        if not body or not self._applies or self._is_opaque:
            return Masked(body)
        if media == "application/json" or media.endswith("+json"):
            return self._json(body)
        if media in _TEXT:
            return self._json(body) if body.lstrip()[:1] == b"{" and self._holds_objects else self._plain(body)
        raise MaskError(f"a response of type `{media or 'unknown'}` cannot be masked. Ask for JSON.")

    @property
    def _is_opaque(self) -> bool:
        return not self._attributes.is_resource_request and self._attributes.path.startswith(_OPAQUE)

    @property
    def _holds_objects(self) -> bool:
        return self._attributes.is_resource_request and self._attributes.subresource not in {"log", "proxy"}

    def _json(self, body: bytes) -> Masked:
        try:
            return self._document(body)
        except FramingError as error:
            if self._attributes.verb != "watch" or b"\n" not in body.strip():
                raise MaskError(f"the response is {error}") from None
        stream = WatchStream(self._scope)
        return Masked(stream.feed(body) + stream.close(), stream.hits)

    def _document(self, body: bytes) -> Masked:
        shown, hits = mask_document(self._scope, body, self._scope.known.index())
        return Masked(shown, hits)

    def _plain(self, body: bytes) -> Masked:
        hits = Hits()
        return Masked(self._text_masker(hits).mask_bytes(body), hits)

    def _text_masker(self, hits: Hits) -> TextMasker:
        return TextMasker(self._scope.patterns, self._scope.known, self._scope.mask, hits.count)

    def watch_stream(self, limit: int = MAX_EVENT) -> Stream:
        """For a watch. `feed` and `close` raise MaskError on malformed bytes."""
        return WatchStream(self._scope, limit) if self._applies else PassStream()

    def text_stream(self) -> Stream:
        """For `logs -f` and the output of an exec."""
        return MaskedText(self._text_masker) if self._applies else PassStream()

    def raw_stream(self) -> Stream:
        """For output that is no text: it passes as it is, or not at all."""
        return RawStream(self._scope.known) if self._applies else PassStream()

    def mask_text(self, text: str) -> str:
        """Messages of a Status, texts of approvals, names of recordings."""
        return self._text_masker(Hits()).mask_text(text) if self._applies else text

    def mask_warning(self, value: str) -> str:
        """The value of a `Warning` header: servers quote values there (leaks.md C15, H1)."""
        return self.mask_text(value)

    def mask_headers(self, headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Response headers with every `Warning` masked."""
        return [(name, self.mask_warning(value) if name.lower() == "warning" else value) for name, value in headers]


def mask_document(scope: Scope, body: bytes, known: Index) -> tuple[bytes, Hits]:
    """One JSON document by the rules, then by the values that were known before. FramingError."""
    document = DocumentMasker(scope)
    shown = rewrite(body, document) or body
    if known.search(shown):
        shown = rewrite(shown, KnownMasker(scope, document.hits, known)) or shown
    return shown, document.hits


class MaskedText(TextStream):
    """A `TextStream` with its own counts."""

    def __init__(self, masker: _MaskerOf) -> None:
        self.hits = hits = Hits()
        super().__init__(masker(hits))


class _MaskerOf(Protocol):
    def __call__(self, hits: Hits, /) -> TextMasker: ...


class PassStream:
    """For a client that no rule is for."""

    waits = False

    def __init__(self) -> None:
        self.hits = Hits()

    def feed(self, data: bytes) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""

    def close(self) -> bytes:
        return b""
