"""I/O: recorded flows in mitmweb, with content views for Kubernetes. Nothing is listened to but the page, nothing is sent.

Belongs here: mitmproxy's API: views, flows as they are shown, the master. Not here: the texts (`views`), the command
(`replay`). mitmproxy 12.2: `contentviews.Contentview`, `tools.web.master.WebMaster`.
"""

from __future__ import annotations

import asyncio
import io
import logging
import signal
from collections.abc import Iterable, Sequence
from typing import Any

from mitmproxy import contentviews, ctx, exceptions, http, options, websocket
from mitmproxy.contentviews import Metadata
from mitmproxy.io import FlowReader
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.tools import cmdline
from mitmproxy.tools.web.master import WebMaster

from pratique.cli import views
from pratique.errors import StartError
from pratique.recorder.casts import Event
from pratique.recorder.chain import Entry
from pratique.recorder.record import Record, comment, marker
from pratique.recorder.sessions import Recordings

MAX_STREAM_BYTES = 16 * 1024 * 1024
"""Shown of one streamed response: a browser has to hold it."""
MAX_MESSAGES = 20_000
"""Shown of one terminal."""
OPTIONS = {
    "server": False,
    "web_columns": ["tls", "icon", "path", "method", "status", "size", "time", "comment"],
}
CODES = {"i": b"\x00", "o": b"\x01", "r": b"\x04"}


class KubernetesObject(contentviews.Contentview):
    """Objects, lists, Tables and Status bodies as YAML; masks marked."""

    name = "Kubernetes object"
    syntax_highlight = "yaml"

    def prettify(self, data: bytes, metadata: Metadata) -> str:  # noqa: ARG002 - mitmproxy's signature
        return views.object_text(data)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        """Above mitmproxy's own view of JSON, for what says that it is of Kubernetes."""
        http_json = metadata.http_message is not None and metadata.content_type == "application/json"
        return 2 if http_json and b'"kind":' in data[:4096].replace(b" ", b"") else -1


class KubernetesWatch(contentviews.Contentview):
    """Watch events as a list."""

    name = "Kubernetes watch"
    syntax_highlight = "yaml"

    def prettify(self, data: bytes, metadata: Metadata) -> str:  # noqa: ARG002 - mitmproxy's signature
        return views.watch_text(data)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:  # noqa: ARG002 - mitmproxy's signature
        start = data[:256].replace(b" ", b"")
        return 3 if start.startswith(b'{"type":"') and b'"object":' in start else -1


class KubernetesExec(contentviews.Contentview):
    """Frames of exec, attach and port-forward with their channels' names."""

    name = "Kubernetes exec"

    def prettify(self, data: bytes, metadata: Metadata) -> str:  # noqa: ARG002 - mitmproxy's signature
        return views.frame_text(data)

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        message = metadata.websocket_message
        return 3 if message is not None and not message.is_text and data[:1] and data[0] in views.CHANNELS else -1


VIEWS = (KubernetesObject, KubernetesWatch, KubernetesExec)


def shown_flow(
    recordings: Recordings, session: str, entry: Entry, record: Record, cast: Iterable[Event]
) -> http.HTTPFlow:
    """One recorded request as mitmweb shows it: its stream as body, its terminal as WebSocket messages."""
    (flow,) = FlowReader(io.BytesIO(recordings.data(session, entry))).stream()
    if not isinstance(flow, http.HTTPFlow):
        raise StartError(f"entry {entry.n} of session `{session}` is no HTTP flow")
    flow.id = record.flow or flow.id
    flow.comment, flow.marked = comment(record), marker(record)
    if flow.response is not None and (body := _stream(recordings, session, record.flow)):
        flow.response.raw_content = body
    if messages := _messages(cast, record.started):
        flow.websocket = websocket.WebSocketData(messages=messages)
    return flow


def _stream(recordings: Recordings, session: str, flow: str) -> bytes:
    parts, size = list[bytes](), 0
    for event in recordings.stream(session, flow) if flow else ():
        parts.append(event.data)
        size += len(event.data)
        if size > MAX_STREAM_BYTES:
            break
    return b"".join(parts)


def _messages(cast: Iterable[Event], started: float) -> list[websocket.WebSocketMessage]:
    messages: list[websocket.WebSocketMessage] = []
    for event in cast:
        if len(messages) == MAX_MESSAGES:
            break
        data = event.data.encode()
        binary = event.code in CODES
        content = CODES[event.code] + data if binary else data
        messages.append(
            websocket.WebSocketMessage(2 if binary else 1, event.code in "ir", content, started + event.time)
        )
    return messages


class Replayed:
    """Shows the flows once mitmweb runs, and lets nothing be sent: neither its button nor an option of its page."""

    name = "pratique-replay"

    def __init__(self, flows: Sequence[http.HTTPFlow]) -> None:
        self._flows = flows

    async def running(self) -> None:
        view: Any = ctx.master.addons.get("view")
        view.add(self._flows)

    def server_connect(self, data: ServerConnectionHookData) -> None:
        """A recorded request would reach the cluster without a policy and without a credential."""
        data.server.error = "a recording is only looked at"


def show(flows: Sequence[http.HTTPFlow], arguments: Sequence[str]) -> None:
    """Serve mitmweb until SIGINT or SIGTERM. `arguments` are mitmweb's own. StartError for those it does not know."""
    asyncio.run(_serve(flows, list(arguments)))


async def _serve(flows: Sequence[http.HTTPFlow], arguments: list[str]) -> None:
    logging.getLogger().setLevel(logging.INFO)
    for name in ("asyncio", "tornado", "hpack", "quic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for view in VIEWS:
        contentviews.add(view)
    opts = options.Options()
    owner = WebMaster(opts)
    _configure(opts, arguments)
    for name in [name for name in owner.commands.commands if name.startswith("replay.")]:
        del owner.commands.commands[name]
    owner.addons.add(Replayed(flows))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, owner.shutdown)
    await owner.run()


def _configure(opts: options.Options, arguments: list[str]) -> None:
    args = cmdline.mitmweb(opts).parse_args(arguments)
    try:
        opts.set(*args.setoptions)
        opts.update(**{name: value for name, value in vars(args).items() if name in opts and value is not None})
        opts.update(**OPTIONS)
    except exceptions.OptionsError as error:
        raise StartError(str(error)) from None
