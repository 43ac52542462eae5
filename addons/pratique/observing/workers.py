"""I/O (asyncio): the first worker's /readyz and /metrics are about all of them: each other one answers on a socket.

Belongs here: asking and answering. Not here: putting the answers together (`joined`). The sockets are UNIX sockets in the
workers' own state folders, which are the gateway's user's; what they tell, the listener tells everybody who reaches it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Iterator, Mapping
from pathlib import Path

import msgspec

from pratique.observing.joined import joined_metrics, joined_readiness
from pratique.observing.probes import CHECK_SECONDS, Probes
from pratique.observing.readiness import Outcome, Readiness

logger = logging.getLogger("pratique")

NAME = "probes.sock"
DEADLINE_SECONDS = CHECK_SECONDS + 0.1
"""For a worker to answer: its checks have theirs, and the kubelet gives a probe one second by default."""
MAX_BYTES = 32 << 20
"""Of an answer; the metrics of a gateway with 1,000 clients are some 5 MB."""
QUESTION_BYTES = 16
READY, METRICS = b"ready\n", b"metrics\n"


async def answer(folder: Path, probes: Probes) -> None:
    """Answers for this worker until cancelled. Where it cannot listen it does not answer, and so is not ready."""

    async def asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError, ValueError):
            question = await asyncio.wait_for(reader.readline(), DEADLINE_SECONDS)
            if question == READY:
                writer.write(msgspec.json.encode((await probes.ready()).outcomes))
            elif question == METRICS:
                writer.write(await probes.metrics())
            await asyncio.wait_for(writer.drain(), DEADLINE_SECONDS)
        writer.close()

    try:
        with _short(folder) as place:
            async with await asyncio.start_unix_server(asked, place, limit=QUESTION_BYTES) as server:
                await server.serve_forever()
    except OSError as error:
        logger.error("the first worker cannot ask this one: %s", error.strerror)


class EveryWorker:
    """As `Probes`, of this worker (number 0) and the others: number → state folder."""

    def __init__(self, own: Probes, others: Mapping[int, Path]) -> None:
        self._own = own
        self._others = dict(others)

    async def ready(self) -> Readiness:
        answers = await asyncio.gather(self._own.ready(), *(_readiness(folder) for folder in self._others.values()))
        return joined_readiness(dict(zip((0, *self._others), answers, strict=True)))

    async def metrics(self) -> bytes:
        """Without those that do not answer: /readyz says which."""
        answers = await asyncio.gather(
            self._own.metrics(), *(_or_none(_ask(folder, METRICS)) for folder in self._others.values())
        )
        found = {number: text.decode() for number, text in zip((0, *self._others), answers, strict=True) if text}
        return (await asyncio.to_thread(joined_metrics, found)).encode()


async def _readiness(folder: Path) -> Readiness | None:
    told = await _or_none(_ask(folder, READY))
    try:
        return None if told is None else Readiness(msgspec.json.decode(told, type=tuple[Outcome, ...]))
    except (msgspec.DecodeError, msgspec.ValidationError):
        return None


async def _or_none(asking: Awaitable[bytes]) -> bytes | None:
    try:
        return await asyncio.wait_for(asking, DEADLINE_SECONDS)
    except (OSError, TimeoutError):
        return None


async def _ask(folder: Path, question: bytes) -> bytes:
    with _short(folder) as place:
        reader, writer = await asyncio.open_unix_connection(place)
    try:
        writer.write(question)
        return await _whole(reader)
    finally:
        writer.close()


async def _whole(reader: asyncio.StreamReader) -> bytes:
    """OSError if it is longer than an answer can be."""
    told = b""
    while chunk := await reader.read(1 << 16):
        told += chunk
        if len(told) > MAX_BYTES:
            raise OSError("a worker says too much")
    return told


@contextlib.contextmanager
def _short(folder: Path) -> Iterator[str]:
    """A path to the socket that fits in its address (108 bytes), however long the folder's is."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{opened}/{NAME}"
    finally:
        os.close(opened)
