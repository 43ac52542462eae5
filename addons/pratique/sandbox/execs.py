"""I/O: exec and attach over WebSocket: sub-protocols, channels, resize, half-close, and the Status at the end.

The wire is that of exec-protocol.md §2 (k8s.io/apimachinery remotecommand, cri-streaming 1.36). `spdy.SpdyChannels` is
the same over SPDY.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from tornado.iostream import StreamClosedError

from pratique.sandbox import status
from pratique.sandbox.logs import Line, Logs, Place
from pratique.sandbox.process import Process, StartError, pieces
from pratique.sandbox.query import Query
from pratique.sandbox.websocket import BINARY, TEXT, WebSocket

JSON = dict[str, Any]

STDIN, STDOUT, STDERR, ERROR, RESIZE, HALF_CLOSE = 0, 1, 2, 3, 4, 255
PROTOCOLS = (
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
)


@dataclass(frozen=True, slots=True)
class ExecOptions:
    """What the query of an exec or attach asks for. A tty has no stderr of its own."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    @classmethod
    def of(cls, query: Query) -> ExecOptions:
        """Raises StatusError 400 when no stream is asked for."""
        tty = query.flag("tty")
        found = cls(query.flag("stdin"), query.flag("stdout"), query.flag("stderr") and not tty, tty)
        if not (found.stdin or found.stdout or found.stderr):
            raise status.bad_request("you must specify at least 1 of stdin, stdout, stderr")
        return found

    @property
    def written(self) -> tuple[int, ...]:
        """The channels that the server writes."""
        asked = ((STDOUT, self.stdout), (STDERR, self.stderr), (ERROR, True))
        return tuple(channel for channel, wanted in asked if wanted)


class Refused(Exception):
    """None of the offered sub-protocols is spoken: 403, as the real server answers."""


def choose(offered: list[str]) -> str:
    """The first of ours that is offered; no offer at all is the oldest protocol. Raises Refused."""
    if not offered:
        return ""
    for name in PROTOCOLS:
        if name in offered:
            return name
    raise Refused


class Channels:
    """Numbered channels over one WebSocket, in the encoding of the sub-protocol."""

    def __init__(self, socket: WebSocket, protocol: str) -> None:
        self.socket = socket
        self.protocol = protocol
        self.structured = protocol.startswith(("v4", "v5"))
        self.half_close = protocol.startswith("v5")
        self._base64 = "base64" in protocol

    async def send(self, channel: int, data: bytes) -> None:
        if self._base64:
            await self.socket.send(str(channel).encode() + base64.b64encode(data), TEXT)
        else:
            await self.socket.send(bytes((channel,)) + data, BINARY)

    async def receive(self) -> tuple[int, bytes] | None:
        while (frame := await self.socket.receive()) is not None:
            if not frame:
                continue
            if self._base64:
                return frame[0] - ord("0"), base64.b64decode(frame[1:])
            return frame[0], frame[1:]
        return None

    async def finish(self, result: JSON) -> None:
        """The Status on channel 3, then close 1000."""
        if self.structured:
            await self.send(ERROR, json.dumps(result, separators=(",", ":")).encode())
        elif result["status"] == "Failure":
            await self.send(ERROR, result["message"].encode())
        await self.socket.close(1000)


def exit_status(argv: list[str], code: int) -> JSON:
    if code == 0:
        return {"metadata": {}, "status": "Success"}
    shown = " ".join(argv)
    text = f"command terminated with non-zero exit code: error executing command [{shown}], exit code {code}"
    causes = [{"reason": "ExitCode", "message": str(code)}]
    return {
        "metadata": {},
        "status": "Failure",
        "message": text,
        "reason": "NonZeroExitCode",
        "details": {"causes": causes},
    }


def internal_status(text: str) -> JSON:
    message = f"Internal error occurred: error executing command in container: {text}"
    causes = [{"message": message.removeprefix("Internal error occurred: ")}]
    return {"metadata": {}, "status": "Failure", "message": message, "reason": "InternalError",
            "details": {"causes": causes}, "code": 500}  # fmt: skip


class AnyChannels(Protocol):
    """Numbered channels, over WebSocket or SPDY."""

    @property
    def half_close(self) -> bool: ...
    async def send(self, channel: int, data: bytes) -> None: ...
    async def receive(self) -> tuple[int, bytes] | None: ...
    async def finish(self, result: JSON) -> None: ...


async def run_exec(
    channels: AnyChannels, argv: list[str], options: ExecOptions, start: Callable[[], Awaitable[Process]]
) -> None:
    """Run one exec session to its end; never raises for what client or process do."""
    with contextlib.suppress(StreamClosedError):
        await channels.send(options.written[0], b"")
        try:
            process = await start()
        except StartError as error:
            await channels.finish(internal_status(str(error)))
            return
        client = asyncio.ensure_future(_client_to_process(channels, process, stdin=options.stdin))
        try:
            done = asyncio.ensure_future(_process_to_client(channels, process, options.written))
            await asyncio.wait((done, client), return_when=asyncio.FIRST_COMPLETED)
            if not done.done():
                process.kill()
            code = await done
            await channels.finish(exit_status(argv, code))
        finally:
            client.cancel()
            process.kill()
            process.close()


async def _process_to_client(channels: AnyChannels, process: Process, written: tuple[int, ...]) -> int:
    async def copy(channel: int, reader: asyncio.StreamReader) -> None:
        async for data in pieces(reader):
            if channel in written:
                with contextlib.suppress(StreamClosedError):
                    await channels.send(channel, data)

    await asyncio.gather(*(copy(channel, reader) for channel, reader in process.outputs))
    return await process.wait()


async def _client_to_process(channels: AnyChannels, process: Process, *, stdin: bool) -> None:
    """Ends when the client is gone, or breaks the half-close rule."""
    while (message := await channels.receive()) is not None:
        channel, data = message
        if channel == STDIN and stdin:
            await process.write(data)
        elif channel == RESIZE:
            _resize(process, data)
        elif channel == HALF_CLOSE and channels.half_close:
            if len(data) != 1 or data[0] > RESIZE:
                return
            if data[0] == STDIN:
                process.close_stdin()


def _resize(process: Process, data: bytes) -> None:
    with contextlib.suppress(ValueError, KeyError, TypeError, AttributeError):
        size = json.loads(data)
        process.resize(int(size["Width"]) & 0xFFFF, int(size["Height"]) & 0xFFFF)


async def run_attach(channels: AnyChannels, options: ExecOptions, logs: Logs, place: Place) -> None:
    """Attach shows what the container logs from now on, until the client goes; input is discarded."""
    queue: asyncio.Queue[Line] = asyncio.Queue()
    stop = logs.follow(place, queue.put_nowait)

    async def output() -> None:
        while True:
            line = await queue.get()
            if options.stdout:
                await channels.send(STDOUT, line.render(timestamps=False))

    with contextlib.suppress(StreamClosedError):
        await channels.send(options.written[0], b"")
        writer = asyncio.ensure_future(output())
        try:
            while await channels.receive() is not None:
                pass
        finally:
            writer.cancel()
            stop()
