"""Hooks of the masking room: writes that carry a mask are refused, what comes back is masked, whole or as it streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from mitmproxy import http
from mitmproxy.net.http import status_codes

from pratique.errors import MaskError, PratiqueError, Refused
from pratique.exchange import Exchange, answer, exchange, fault, guarded, kill
from pratique.kube.channels import is_tar
from pratique.kube.objects import type_of_request
from pratique.kube.response import response_headers, warning
from pratique.kube.watch import error_event
from pratique.masking.frames import ChannelMasker
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.oracles import refuse_oracles
from pratique.masking.rules import MaskSet
from pratique.masking.writeback import about_lost_values, lost_values, refuse_masks, replaces_values

MESSAGE_CHARACTERS = 1024
"""Of the cluster's words in a message of ours; the rest says nothing new."""
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})
WORKER_BYTES = 1 << 18
"""Bodies above this are masked in a thread: 256 KiB take about 2 ms, and nobody else is served meanwhile."""
ENDED = b'{"type":"ERROR","object":{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"the gateway ended this watch: an event could not be masked","reason":"InternalError","code":500}}\n'


def _refuse_response(flow: http.HTTPFlow, refusal: Refused) -> None:
    """A response hook failed. A stream has begun or may never end, so it is cut; anything else is replaced."""
    state = exchange(flow)
    if state.streaming or (flow.response is not None and flow.response.status_code == 101):
        kill(flow)
        return
    state.refusal = refusal
    answer(flow, refusal)


def _refuse_headers(flow: http.HTTPFlow, refusal: Refused) -> None:
    """`responseheaders` failed: the body is not here yet. The `response` hook answers, or the stream is never begun."""
    state = exchange(flow)
    state.refusal = refusal
    if flow.response is not None:
        flow.response.stream = False
    if flow.response is None or flow.response.status_code == 101 or (state.canonical and state.canonical.stream):
        kill(flow)


class Masking:
    """Masks by the rules of the loaded MaskPolicy documents."""

    name = "masking"

    def __init__(self, masks: Callable[[], MaskSet], known: Callable[[str], KnownValues]) -> None:
        """`known(client)` are the values that were masked for a client."""
        self._masks = masks
        self._known = known

    @guarded(answer)
    def request(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is None:
            self.screen(state)

    def screen(self, state: Exchange) -> None:
        """Refuses a write that carries a mask or that guesses; also before it is rehearsed. Raises Refused."""
        canonical = state.canonical
        if canonical is None:
            return
        client = state.client.name if state.client else ""
        refuse_masks(canonical.document, canonical.attributes)
        refuse_oracles(canonical, self._masks(), client)

    def needs_live(self, state: Exchange) -> bool:
        """Whether `question` depends on the live object."""
        canonical = state.canonical
        if canonical is None or state.client is None:
            return False
        attributes = canonical.attributes
        plan = self._masks().plan(type_of_request(attributes), attributes.namespace, state.client.name)
        return replaces_values(attributes, plan, dry_run=canonical.dry_run)

    def question(self, state: Exchange, live: Any) -> str:
        """Why a person must be asked although the policy allows this write; "" if there is no reason."""
        if state.canonical is None or not self.needs_live(state):
            return ""
        names = lost_values(state.canonical.document, live)
        return about_lost_values(names) if names else ""

    def shown(self, state: Exchange, document: Any) -> str:
        """The message of a Status that the cluster gave to a call of the gateway's own, masked; "" if it has none."""
        message = document.get("message") if isinstance(document, dict) else None
        if not isinstance(message, str):
            return ""
        masked = self._masker(state).mask_body("application/json", msgspec.json.encode(document))
        found = msgspec.json.decode(masked.body).get("message")
        return found[:MESSAGE_CHARACTERS] if isinstance(found, str) else ""

    @guarded(_refuse_headers)
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is not None or flow.response is None:
            return
        response, masker = flow.response, self._masker(state)
        upgrade = response.status_code == 101
        fields = response.headers.fields
        _check_headers(fields)
        # The framing headers stay until the body is known: mitmproxy reads it by them.
        framing = [field for field in fields if field[0].lower() in _FRAMING]
        kept = response_headers(fields, upgrade=upgrade, mask=masker.mask_text)
        response.headers = http.Headers([*kept, *framing])
        response.reason = status_codes.RESPONSES.get(response.status_code, "")  # the cluster's own could hold a value
        if upgrade:
            state.output = self._output(state, masker)
            state.shown = True
        elif 200 <= response.status_code < 300 and _streams(state):
            self._stream(flow, state, masker)

    @staticmethod
    def _output(state: Exchange, masker: Masker) -> ChannelMasker:
        """What the tunnel shows goes through this."""
        options = state.canonical.options if state.canonical else {}
        asked = options.get("podExecOptions") or options.get("podAttachOptions") or {}
        output = ChannelMasker(masker, tty=bool(asked.get("tty")), archive=is_tar(asked.get("command") or ()))
        state.at_end.insert(0, lambda: state.masked.update(output.hits))  # the recorder's turn may be there already
        return output

    def _stream(self, flow: http.HTTPFlow, state: Exchange, masker: Masker) -> None:
        response = flow.response
        if response is None or state.canonical is None:
            return
        content_type = response.headers.get("content-type", "")
        watch = state.canonical.attributes.verb == "watch"
        if watch and not content_type.startswith("application/json"):
            raise MaskError(f"a watch was answered as `{content_type}`")
        stream = masker.watch_stream() if watch else masker.text_stream()
        state.stream = Stream(state, masker, stream, ENDED if watch else b"")
        response.stream = state.stream
        response.headers.pop("content-length", None)
        state.streaming = True

    @guarded(_refuse_response)
    async def response(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is not None:
            answer(flow, state.refusal)
            return
        if flow.response is None or flow.response.status_code == 101:
            return
        flow.response.trailers = None
        if state.streaming:
            state.shown = True
            return
        await self._mask(flow.response, state)

    async def _mask(self, response: http.Response, state: Exchange) -> None:
        body = response.raw_content or b""
        content_type = ", ".join(value.decode("latin-1") for value in _values(response.headers.fields, b"content-type"))
        masker, known = self._masker(state), self._known(state.client.name if state.client else "")
        if len(body) > WORKER_BYTES or known.stale:
            masked = await asyncio.to_thread(masker.mask_body, content_type, body)
        else:
            masked = masker.mask_body(content_type, body)
        if known.stale:  # before the client has them: streams of its do not wait for the index
            await asyncio.to_thread(known.index)
        response.raw_content = masked.body
        has_body = response.status_code not in {204, 304} and not (state.canonical and state.canonical.method == "HEAD")
        replaced = _FRAMING if has_body else {b"transfer-encoding"}
        fields = [field for field in response.headers.fields if field[0].lower() not in replaced]
        if has_body:
            fields.append((b"content-length", b"%d" % len(masked.body)))
        state.masked = dict(masked.hits)
        if masked.hits:
            rules = ", ".join(f"{count} by {rule}" for rule, count in sorted(masked.hits.items()))
            fields.append(warning(f"pratique masked values: {rules}"))
        response.headers.fields = tuple(fields)
        state.shown = True

    def _masker(self, state: Exchange) -> Masker:
        if state.canonical is None or state.client is None:
            raise Refused(500, "InternalError", "no request is known for this response", rule="masking/request")
        return Masker(self._masks(), state.canonical.attributes, state.client.name, self._known(state.client.name))


def _values(fields: Sequence[tuple[bytes, bytes]], name: bytes) -> list[bytes]:
    return [value for each, value in fields if each.lower() == name]


def _check_headers(fields: Sequence[tuple[bytes, bytes]]) -> None:
    """MaskError for an answer whose body would be read in two ways, or cannot be read."""
    encoding = b", ".join(_values(fields, b"content-encoding")).lower().decode("latin-1")
    if encoding not in {"", "identity"}:
        raise MaskError(f"the cluster compressed its answer with `{encoding}` although it was not asked to")
    if len(_values(fields, b"content-type")) > 1:
        raise MaskError("the cluster gave its answer two content types: clients would read one, and masks the other")


def _streams(state: Exchange) -> bool:
    canonical = state.canonical
    return canonical is not None and (canonical.stream or canonical.attributes.subresource == "log")


class Stream:
    """The stream callable of one response: bytes in, masked bytes out. Must be synchronous and must not raise."""

    def __init__(self, state: Exchange, masker: Masker, stream: Any, ended: bytes) -> None:
        self._state = state
        self._masker = masker
        self._stream = stream
        self._ended = ended
        self._last: bytes | None = None
        self.failed = False
        """Read by the HTTP layer, which then cuts the stream."""
        self.bytes_sent = 0
        self.on_data: Callable[[bytes], None] = lambda _data: None

    @property
    def hits(self) -> dict[str, int]:
        """Mask rule id → how many values it replaced so far."""
        return dict(self._stream.hits)

    def end(self, refusal: Refused) -> None:
        """It is ended by us: a watch then says why, in an event. A log has no words for it."""
        self._last = error_event(refusal) if self._ended else b""

    def _close(self) -> bytes:
        if self._last is None:
            return bytes(self._stream.close())
        try:
            rest = self._stream.close()
        except MaskError:
            rest = b""  # half an event
        return bytes(rest) + self._last

    def __call__(self, data: bytes) -> list[bytes]:
        """Mitmproxy calls with b"" at the end. INVARIANT: an empty piece is never returned, it would end the response."""
        if self.failed:
            return []
        try:
            out = self._stream.feed(data) if data else self._close()
            if out:
                self.on_data(out)
        except Exception as exc:  # noqa: BLE001 - whatever it is, nothing more of the body is shown
            self.failed = True
            if not isinstance(exc, PratiqueError):
                fault(self._state, exc, "masking.stream")
            self._state.error_id = self._state.error_id or "stream"
            self._state.gone.set()
            return [self._ended] if self._ended else []
        self.bytes_sent += len(out)
        return [out] if out else []
