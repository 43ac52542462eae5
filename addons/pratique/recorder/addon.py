"""Hooks of the recorder room: what was asked and answered goes, scrubbed, into the session's flow file before it is served.

INVARIANT: a response is `recorded` only after its record is on disk; the interlock lets nothing else leave.
"""

from __future__ import annotations

import functools
import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import http
from mitmproxy.connection import Client

from pratique.errors import RecordError, Refused
from pratique.exchange import Exchange, answer, exchange, fault, guarded, kill
from pratique.kube.channels import is_tar
from pratique.recorder import layout
from pratique.recorder.casts import Cast, Header
from pratique.recorder.claims import claims, kubectl_session
from pratique.recorder.described import Sizes, Told, describe, sizes
from pratique.recorder.events import StreamEvents
from pratique.recorder.flowstate import Ends, Headers, Message, Server, flow_bytes
from pratique.recorder.open_sessions import Key, OpenSessions
from pratique.recorder.record import BODY_BYTES, Opened, Record, Stage
from pratique.recorder.scrub import argv_of, scrub_refusal, stored_headers
from pratique.recorder.spool import Spool
from pratique.recorder.spool_tape import SpoolTape
from pratique.recorder.tapes import ExecTape, ForwardTape, TextMask
from pratique.tunnel.session import Event, Note


@dataclass(frozen=True, slots=True)
class Segments:
    """When a session goes on in a new one: bytes recorded, seconds since it was opened."""

    size: int = 64 * 1024 * 1024
    age: float = 3600.0

    def reached(self, age: float, size: int) -> bool:
        """0 is no limit."""
        return 0 < self.age < age or 0 < self.size < size


def _cut(flow: http.HTTPFlow, refusal: Refused) -> None:
    """What cannot be recorded is not shown: replaced where nothing was sent yet, else cut."""
    state = exchange(flow)
    if state.streaming or (flow.response is not None and flow.response.status_code == 101):
        kill(flow)
        return
    answer(flow, refusal)
    state.recorded = True


class Recorder:
    """One flow file per session; a session is one client connection, or one invocation of kubectl on several."""

    name = "recorder"

    def __init__(
        self,
        spool: Spool,
        cluster: str,
        *,
        mask_request: Callable[[Exchange], bytes],
        mask_input: Callable[[Exchange], TextMask | None],
        mask_text: Callable[[Exchange, str], str],
        segments: Callable[[], Segments] = Segments,
    ) -> None:
        """`mask_request`: the request body as it may be stored. `mask_input`: None where stdin is not recorded.

        `mask_text`: what of a query or an argument may be stored; clients put there what they have read elsewhere.
        """
        self._spool = spool
        self._cluster = cluster
        self._mask_request = mask_request
        self._mask_input = mask_input
        self._mask_text = mask_text
        self._segments = segments
        self._sessions = OpenSessions()
        self._bodies: WeakKeyDictionary[Exchange, bytes] = WeakKeyDictionary()
        self._events: WeakKeyDictionary[Exchange, StreamEvents] = WeakKeyDictionary()

    # --- before anything is sent ---

    @guarded(answer)
    def requestheaders(self, flow: http.HTTPFlow) -> None:
        """A session for every request, refused ones too. What cannot be recorded is refused here already."""
        state = exchange(flow)
        self._spool.healthy()
        state.session = self._session(flow, state)

    @guarded(answer)
    def request(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        if state.refusal is None and state.verdict is not None:
            self._spool.healthy()
            if state.approval or (state.canonical and state.canonical.method != "GET"):
                self._append(flow, state, Stage.RECEIVED)

    def _session(self, flow: http.HTTPFlow, state: Exchange) -> str:
        now = time.time()
        self._seal(self._sessions.overdue(now))
        key = self._key(flow, state)
        if state.refusal is not None and not self._sessions.current(key):
            key = key[0], ""  # so do those who are refused at once, say because they are revoked
        session, limit, continues = self._sessions.current(key), self._segments(), ""
        if session and limit.reached(now - self._sessions.began(session), self._spool.size(session)):
            self._seal(self._sessions.rotate(key))
            session, continues = "", session
        if not session:
            session = self._open_session(flow, state, now, continues)
            self._sessions.begin(key, session, now, pinned=not key[1])
        self._sessions.join(session, flow.id, flow.client_conn.id)
        return session

    @staticmethod
    def _key(flow: http.HTTPFlow, state: Exchange) -> Key:
        """Whoever has no credential shares one session: opening connections must not fill the disk with files."""
        if state.client is None:
            return "", ""
        return state.client.name, kubectl_session(_by_name(flow)) or flow.client_conn.id

    def _open_session(self, flow: http.HTTPFlow, state: Exchange, now: float, continues: str) -> str:
        session = layout.session_id(now, os.urandom(layout.RANDOM_BYTES))
        opened = Opened(
            session=session,
            client=state.client.name if state.client else "unknown",
            cluster=self._cluster,
            source_ip=_source_ip(flow.client_conn),
            claims=claims(_by_name(flow)) if state.client else {},
            continues=continues,
        )
        self._spool.open_session(session, opened)
        return session

    def client_disconnected(self, client: Client) -> None:
        """A session whose last connection has gone, and whose last request has ended, is sealed."""
        self._seal(self._sessions.left(client.id, time.time()))

    def _seal(self, sessions: list[str]) -> None:
        """A failure here shows in `healthy` at the next request; the next start closes what stays open."""
        for session in sessions:
            try:
                self._spool.close_session(session)
            except RecordError as error:
                fault(Exchange(), error, "recorder.close_session")

    def note(self, text: str, affects: Callable[[str, str], bool]) -> None:
        """One line into each open session that `affects(client, session)`. A failure shows in `healthy`."""
        now = time.time()
        for client, session in self._sessions.all():
            if affects(client, session):
                told = Record(
                    stage=Stage.EVENT, client=client, cluster=self._cluster, started=now, ended=now, note=text
                )
                try:
                    self._spool.append(session, b"", told)
                except RecordError as error:
                    fault(Exchange(), error, "recorder.note")

    # --- before anything is shown ---

    @guarded(_cut)
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """A stream is recorded when it starts: what follows may never end."""
        state = exchange(flow)
        if state.streaming:
            self._append(flow, state, Stage.STARTED)
            self._events[state] = StreamEvents()
            state.stream.on_data = lambda data: self._event(flow.id, state, data)

    def _event(self, flow_id: str, state: Exchange, data: bytes) -> None:
        """What a stream is about to send: on disk first. Raises RecordError; masking then ends the stream."""
        events = self._events[state]
        if lines := events.feed(time.time(), data):
            self._spool.event(state.session, layout.events_part(flow_id), lines)
        state.stream_bytes, state.stream_sha256 = events.size, events.sha256

    @guarded(_cut)
    def response(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        upgrade = flow.response is not None and flow.response.status_code == 101
        if state.tape is not None:  # begun early: its end is recorded when the tunnel ends
            state.tape.write(time.monotonic(), _approved(state) if upgrade else [])
        elif upgrade:
            self._begin_tunnel(flow, state)
        else:
            self._append(flow, state, Stage.COMPLETE)
        state.recorded = True
        if state.tape is None:
            self._seal(self._sessions.ended(flow.id))

    def error(self, flow: http.HTTPFlow) -> None:
        if exchange(flow).tape is None:
            self._end(flow)

    def answered(self, flow: http.HTTPFlow) -> None:
        """The gateway is about to answer an upgrade itself, while the request is held. Raises RecordError."""
        self._begin_tunnel(flow, exchange(flow))

    def _begin_tunnel(self, flow: http.HTTPFlow, state: Exchange) -> None:
        tape = self._tape(flow, state)
        state.tape = tape
        state.at_end.append(functools.partial(self._end_tunnel, flow, tape))
        self._append(flow, state, Stage.STARTED)

    def _end_tunnel(self, flow: http.HTTPFlow, tape: SpoolTape) -> None:
        try:
            tape.end(time.monotonic())
        finally:
            self._end(flow)

    def _end(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        try:
            if state.session:
                self._append(flow, state, Stage.COMPLETE)
        except Exception as exc:  # noqa: BLE001 - nothing is served after this hook; `healthy` stops what follows
            fault(state, exc, "recorder.end")
        self._seal(self._sessions.ended(flow.id))

    # --- what flows after an upgrade ---

    def _tape(self, flow: http.HTTPFlow, state: Exchange) -> SpoolTape:
        started, now = time.monotonic(), time.time()
        attributes = state.canonical.attributes if state.canonical else None
        if attributes is None or attributes.subresource == "portforward":
            return SpoolTape(self._spool, state.session, flow.id, ForwardTape(now - started))
        options = state.canonical.options if state.canonical else {}
        asked = options.get("podExecOptions") or options.get("podAttachOptions") or {}
        mask_input = self._mask_input(state)
        query = flow.request.data.path.decode("latin-1").partition("?")[2]
        argv = [self._mask_text(state, argument) for argument in argv_of(query)]
        title = f"{attributes.subresource} {attributes.namespace}/{attributes.name} {asked.get('container') or ''}"
        cast = Cast(
            Header(int(now), shlex.join(argv), title.strip()),
            started,
            tty=bool(asked.get("tty")),
            record_input=mask_input is not None,
            archive=is_tar(asked.get("command") or ()),
        )
        tape = SpoolTape(self._spool, state.session, flow.id, ExecTape(cast, mask_input))
        tape.write(started, _approved(state))
        return tape

    # --- the record ---

    def _append(self, flow: http.HTTPFlow, state: Exchange, stage: Stage) -> None:
        if not state.session:
            raise RecordError("the request belongs to no session")
        meta = self._record(flow, state, stage)
        self._spool.append(state.session, self._flow(flow, state, meta), meta)

    def _body(self, state: Exchange) -> bytes:
        """The masked request body; masked once, it is written at the start and at the end of a request."""
        if (body := self._bodies.get(state)) is None:
            body = self._bodies[state] = self._mask_request(state)
        return body

    def _record(self, flow: http.HTTPFlow, state: Exchange, stage: Stage) -> Record:
        response = flow.response
        told = Told(
            flow=flow.id,
            method=flow.request.method,
            target=flow.request.data.path.decode("latin-1"),
            headers=_by_name(flow),
            source_ip=_source_ip(flow.client_conn),
            request_bytes=len(flow.request.raw_content or b""),
            request=sizes(self._body(state)),
            status=response.status_code if response else 101 if state.answered else 0,
            response=self._response(response, state),
            note=_note(flow, state, stage),
        )
        return describe(
            state, told, stage, self._cluster, now=time.time(), mask=lambda text: self._mask_text(state, text)
        )

    def _response(self, response: http.Response | None, state: Exchange) -> Sizes:
        if isinstance(state.tape, SpoolTape):
            return Sizes(state.tape.bytes, 0, state.tape.sha256)
        if (events := self._events.get(state)) is not None:
            return Sizes.of(events.size, events.stored, events.sha256)
        return sizes((response.raw_content or b"") if response else b"")

    def _flow(self, flow: http.HTTPFlow, state: Exchange, meta: Record) -> bytes:
        """The flow of `meta` as it is stored: what was shown, scrubbed; a stream has a part of its own."""
        request, response = flow.request, flow.response
        asked = Message(
            _headers(request.headers), self._body(state)[:BODY_BYTES], request.timestamp_start, request.timestamp_end
        )
        told = None
        if response is not None and (state.shown or state.refusal or state.streaming):
            content = b"" if state.streaming else (response.raw_content or b"")[:BODY_BYTES]
            if state.refusal:
                content = scrub_refusal(content)
            told = Message(_headers(response.headers), content, response.timestamp_start, response.timestamp_end)
        server = Server(request.data.scheme, request.host, request.port)
        return flow_bytes(meta, _ends(flow.client_conn), server, asked, told)


def _approved(state: Exchange) -> list[Event]:
    return [Note(f"approved: {state.approval}")] if state.approval else []


def _by_name(flow: http.HTTPFlow) -> dict[str, str]:
    """By lower-case name; what stands twice is joined. As mitmproxy's own mapping, which costs ten times this."""
    found: dict[str, str] = {}
    for field, raw in flow.request.headers.fields:
        name, value = field.decode("utf-8", "surrogateescape").lower(), raw.decode("utf-8", "surrogateescape")
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found


def _note(flow: http.HTTPFlow, state: Exchange, stage: Stage) -> str:
    """How a tunnel or a failed request ended."""
    if isinstance(state.tape, SpoolTape):
        return state.tape.summary if stage is Stage.COMPLETE else ""
    return flow.error.msg if flow.error else ""


def _source_ip(conn: Client) -> str:
    return str(conn.peername[0]) if conn.peername else ""  # type: ignore[redundant-expr]  # None once the socket is gone


def _ends(conn: Client) -> Ends:
    return Ends(conn.id, _address(conn.peername), _address(conn.sockname), conn.timestamp_start)


def _address(address: tuple[Any, ...] | None) -> tuple[str, int]:
    """Without the scope of IPv6; empty once the socket is gone."""
    return (str(address[0]), int(address[1])) if address else ("", 0)


def _headers(headers: http.Headers) -> Headers:
    kept, _dropped = stored_headers(headers.fields)
    return kept
