"""Hooks of the recorder room: what was asked and answered goes, scrubbed, into the session's flow file before it is served.

INVARIANT: a response is `recorded` only after its record is on disk; the interlock lets nothing else leave.
"""

from __future__ import annotations

import functools
import hashlib
import io
import os
import re
import shlex
import time
from collections.abc import Callable

from mitmproxy import http
from mitmproxy.connection import Client, Server
from mitmproxy.io import FlowWriter

from pratique.errors import RecordError, Refused
from pratique.exchange import Exchange, answer, exchange, fault, guarded, kill
from pratique.kube.channels import is_tar
from pratique.recorder import layout
from pratique.recorder.casts import Cast, Header
from pratique.recorder.record import Opened, Record, Stage
from pratique.recorder.scrub import argv_of, scrub_headers, scrub_path, scrub_query
from pratique.recorder.spool import Spool
from pratique.recorder.tapes import ExecTape, ForwardTape, Lines, TextMask
from pratique.tunnel.session import Event, Note

BODY_BYTES = 1 << 20
"""Of a body that are stored; size and SHA-256 tell the rest. A recorded 100 MB list is no help to an auditor."""
KUBECTL_SESSION = re.compile(r"[0-9a-fA-F-]{8,64}")


def _cut(flow: http.HTTPFlow, refusal: Refused) -> None:
    """What cannot be recorded is not shown: replaced where nothing was sent yet, else cut."""
    state = exchange(flow)
    if state.streaming or (flow.response is not None and flow.response.status_code == 101):
        kill(flow)
        return
    state.refusal = refusal
    answer(flow, refusal)
    state.recorded = True


class Recorder:
    """One flow file per session; a session is one client connection, or one invocation of kubectl on several."""

    name = "recorder"

    def __init__(
        self,
        spool: Spool,
        cluster: str,
        mask_request: Callable[[Exchange], bytes],
        mask_input: Callable[[Exchange], TextMask | None],
        mask_text: Callable[[Exchange, str], str],
    ) -> None:
        """`mask_request`: the request body as it may be stored. `mask_input`: None where stdin is not recorded.

        `mask_text`: what of a query or an argument may be stored; clients put there what they have read elsewhere.
        """
        self._spool = spool
        self._cluster = cluster
        self._mask_request = mask_request
        self._mask_input = mask_input
        self._mask_text = mask_text
        self._sessions: dict[tuple[str, str], str] = {}
        self._users: dict[str, set[str]] = {}

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
                self._append(flow, state, Stage.STARTED)

    def _session(self, flow: http.HTTPFlow, state: Exchange) -> str:
        client = state.client.name if state.client else "unknown"
        claim = flow.request.headers.get("kubectl-session", "")
        claim = claim if KUBECTL_SESSION.fullmatch(claim) else ""
        # Whoever has no credential shares one session: opening connections must not fill the disk with files.
        key = (client, claim or flow.client_conn.id) if state.client else (client, "")
        session = self._sessions.get(key)
        if session is None:
            session = layout.session_id(time.time(), os.urandom(layout.RANDOM_BYTES))
            claims = {"user_agent": flow.request.headers.get("user-agent", "")[:256]}
            if claim:
                claims["kubectl_session"] = claim
            source = _source_ip(flow.client_conn)
            self._spool.open_session(
                session, Opened(session=session, client=client, cluster=self._cluster, source_ip=source, claims=claims)
            )
            self._sessions[key] = session
        if state.client:
            self._users.setdefault(session, set()).add(flow.client_conn.id)
        return session

    def client_disconnected(self, client: Client) -> None:
        """The last connection of a session has gone: seal it. A failure here shows in `healthy` at the next request."""
        for session, users in list(self._users.items()):
            users.discard(client.id)
            if not users:
                del self._users[session]
                self._sessions = {key: value for key, value in self._sessions.items() if value != session}
                try:
                    self._spool.close_session(session)
                except RecordError as error:
                    fault(Exchange(), error, "recorder.close_session")

    # --- before anything is shown ---

    @guarded(_cut)
    def responseheaders(self, flow: http.HTTPFlow) -> None:
        """A stream is recorded when it starts: what follows may never end."""
        state = exchange(flow)
        if state.streaming:
            self._append(flow, state, Stage.STARTED)
            state.stream.on_data = _Digest(state)

    @guarded(_cut)
    def response(self, flow: http.HTTPFlow) -> None:
        state = exchange(flow)
        upgrade = flow.response is not None and flow.response.status_code == 101
        if upgrade:
            state.tape = self._tape(flow, state)
            state.at_end.append(functools.partial(self._end_tunnel, flow, state.tape))
        self._append(flow, state, Stage.STARTED if upgrade else Stage.COMPLETE)
        state.recorded = True

    def error(self, flow: http.HTTPFlow) -> None:
        self._end(flow)

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

    # --- what flows after an upgrade ---

    def _tape(self, flow: http.HTTPFlow, state: Exchange) -> SpoolTape:
        started, now = time.monotonic(), time.time()
        attributes = state.canonical.attributes if state.canonical else None
        if attributes is None or attributes.subresource == "portforward":
            return SpoolTape(self._spool, state, flow.id, ForwardTape(now - started))
        options = state.canonical.options if state.canonical else {}
        asked = options.get("podExecOptions") or options.get("podAttachOptions") or {}
        mask_input = self._mask_input(state)
        argv = self._argv(state, flow.request.data.path.decode("latin-1").partition("?")[2])
        title = f"{attributes.subresource} {attributes.namespace}/{attributes.name} {asked.get('container') or ''}"
        cast = Cast(
            Header(int(now), shlex.join(argv), title.strip()),
            started,
            tty=bool(asked.get("tty")),
            record_input=mask_input is not None,
            archive=is_tar(asked.get("command") or ()),
        )
        tape = SpoolTape(self._spool, state, flow.id, ExecTape(cast, mask_input))
        if state.approval:
            tape.write(started, [Note(f"approved: {state.approval}")])
        return tape

    # --- the record ---

    def _append(self, flow: http.HTTPFlow, state: Exchange, stage: Stage) -> None:
        if not state.session:
            raise RecordError("the request belongs to no session")
        meta = self._record(flow, state, stage)
        copy = self._copy(flow, state, meta)
        buffer = io.BytesIO()
        FlowWriter(buffer).add(copy)
        self._spool.append(state.session, buffer.getvalue(), meta)

    def _record(self, flow: http.HTTPFlow, state: Exchange, stage: Stage) -> Record:
        target = flow.request.data.path.decode("latin-1")
        path, _, query = target.partition("?")
        attributes = state.canonical.attributes if state.canonical else None
        response = flow.response
        body = (response.raw_content or b"") if response else b""
        size, digest = (
            (state.stream_bytes, state.stream_sha256)
            if state.streaming
            else (len(body), hashlib.sha256(body).hexdigest())
        )
        note = ""
        if isinstance(state.tape, SpoolTape):
            size, digest, note = state.tape.bytes, state.tape.sha256, state.tape.summary
        verdict = state.verdict
        return Record(
            flow=flow.id,
            stage=stage,
            audit_id=state.audit_id,
            client=state.client.name if state.client else "",
            cluster=self._cluster,
            method=flow.request.method,
            path=scrub_path(path),
            query=self._mask_text(state, scrub_query(query)),
            verb=attributes.verb if attributes else "",
            api_group=attributes.api_group if attributes else "",
            api_version=attributes.api_version if attributes else "",
            resource=attributes.resource if attributes else "",
            subresource=attributes.subresource if attributes else "",
            namespace=attributes.namespace if attributes else "",
            name=attributes.name if attributes else "",
            argv=self._argv(state, query),
            verdict=str(verdict.action) if verdict else "",
            rules=verdict.rules if verdict else (),
            errors=verdict.errors if verdict else (),
            message=state.refusal.message if state.refusal else "",
            approval_id=state.approval,
            own_calls=tuple(state.own_calls),
            masks=tuple(sorted(state.masked)),
            status=response.status_code if response else 0,
            answered_by="gateway" if state.refusal else "upstream",
            started=state.started,
            ended=time.time(),
            request_bytes=len(flow.request.raw_content or b""),
            response_bytes=size,
            response_sha256=digest if size else "",
            user_agent=flow.request.headers.get("user-agent", "")[:256],
            source_ip=_source_ip(flow.client_conn),
            note=note if stage is Stage.COMPLETE else "",
        )

    def _argv(self, state: Exchange, query: str) -> tuple[str, ...]:
        return tuple(self._mask_text(state, argument) for argument in argv_of(query))

    def _copy(self, flow: http.HTTPFlow, state: Exchange, meta: Record) -> http.HTTPFlow:
        """A new flow of scrubbed parts: nothing is copied that is not named here."""
        copy = http.HTTPFlow(_client(flow.client_conn), Server(address=flow.server_conn.address))
        target = meta.path + (f"?{meta.query}" if meta.query else "")
        copy.request = http.Request(
            flow.request.host, flow.request.port, flow.request.data.method, flow.request.data.scheme, b"",
            target.encode("utf-8", "surrogateescape"), b"HTTP/1.1", _headers(flow.request.headers),
            self._mask_request(state)[:BODY_BYTES], None, flow.request.timestamp_start, flow.request.timestamp_end,
        )  # fmt: skip
        if flow.response is not None and (state.shown or state.refusal):
            content = b"" if state.streaming else (flow.response.raw_content or b"")[:BODY_BYTES]
            copy.response = http.Response(
                b"HTTP/1.1", flow.response.status_code, b"", _headers(flow.response.headers), content, None,
                flow.response.timestamp_start, flow.response.timestamp_end,
            )  # fmt: skip
        copy.id = flow.id
        copy.comment = f"{meta.verdict or 'refused'} {' '.join(meta.rules)} {meta.message}".strip()
        copy.metadata = {
            "pratique.audit_id": meta.audit_id,
            "pratique.client": meta.client,
            "pratique.verdict": meta.verdict,
            "pratique.rules": ",".join(meta.rules),
            "pratique.masks": ",".join(meta.masks),
            "pratique.stage": str(meta.stage),
        }
        return copy


def _source_ip(conn: Client) -> str:
    return str(conn.peername[0]) if conn.peername else ""  # type: ignore[redundant-expr]  # None once the socket is gone


def _client(conn: Client) -> Client:
    return Client(peername=conn.peername, sockname=conn.sockname, timestamp_start=conn.timestamp_start)


def _headers(headers: http.Headers) -> http.Headers:
    pairs = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.fields]
    kept, _dropped = scrub_headers(pairs)
    return http.Headers([(name.encode("latin-1", "replace"), value.encode("utf-8", "replace")) for name, value in kept])


class SpoolTape:
    """The recording of one tunnel, written as it goes: a part of its session's, chained like every other."""

    def __init__(self, spool: Spool, state: Exchange, flow_id: str, lines: Lines) -> None:
        self._spool = spool
        self._session = state.session
        self._part = f"{flow_id}.{lines.suffix}"
        self._lines = lines

    def write(self, now: float, events: list[Event]) -> None:
        """RecordError: what is not on disk must not be sent."""
        self._append(self._lines.add(now, events))

    def end(self, now: float) -> None:
        """RecordError."""
        self._append(self._lines.end(now))

    def _append(self, lines: bytes) -> None:
        if lines:
            self._spool.event(self._session, self._part, lines)

    @property
    def bytes(self) -> int:
        return self._lines.shown.bytes

    @property
    def sha256(self) -> str:
        return self._lines.shown.sha256

    @property
    def summary(self) -> str:
        return f"{self._lines.summary}, {self._part}"


class _Digest:
    """Size and hash of what a stream has sent."""

    def __init__(self, state: Exchange) -> None:
        self._state = state
        self._hash = hashlib.sha256()

    def __call__(self, data: bytes) -> None:
        self._hash.update(data)
        self._state.stream_bytes += len(data)
        self._state.stream_sha256 = self._hash.hexdigest()
