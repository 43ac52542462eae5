"""Data that follows data to the same connection leaves with it: one TLS record and one write instead of several.

mitmproxy's layers hand down the head of a message, its body and its end one by one. Nothing waits for what is not there yet:
what one event caused is sent when the event has been handled, or before the next thing that is not data.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

from mitmproxy.connection import Connection
from mitmproxy.proxy import commands

type Commands = Generator[commands.Command, Any, Any]

MAX_JOINED = 1 << 16
"""Bytes that are put together at most: to copy more than this costs more than another write."""


class _Pieces:
    """Data to one connection that waits for more."""

    def __init__(self) -> None:
        self._receiver: Connection | None = None
        self._parts: list[bytes] = []
        self._size = 0

    def fits(self, command: commands.SendData) -> bool:
        """Whether it can leave with what is here."""
        receiver = self._receiver or command.connection
        return command.connection is receiver and self._size + len(command.data) <= MAX_JOINED

    def add(self, command: commands.SendData) -> None:
        self._receiver = command.connection
        self._parts.append(command.data)
        self._size += len(command.data)

    def sent(self) -> Commands:
        """What waits, as one; nothing waits from then on."""
        if self._receiver is not None:
            yield commands.SendData(self._receiver, b"".join(self._parts))
            self._receiver, self._parts, self._size = None, [], 0


def together(said: Commands) -> Commands:
    """The same commands in the same order, with fewer `SendData`. Replies go where they belong.

    Where `said` raises, what waits is not sent.
    """
    pieces, reply = _Pieces(), None
    while True:
        try:
            command = said.send(reply)
        except StopIteration:
            break
        reply = None
        if not isinstance(command, commands.SendData) or not pieces.fits(command):
            yield from pieces.sent()
        if isinstance(command, commands.SendData) and len(command.data) <= MAX_JOINED:
            pieces.add(command)
        else:
            reply = yield command
    yield from pieces.sent()
