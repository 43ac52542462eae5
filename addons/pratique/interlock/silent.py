"""Clients that connect and say nothing: who has not sent a request with a valid credential in time is disconnected.

mitmproxy ends a connection after `tcp_timeout` of silence, which must be longer than any watch is silent. Without this,
anybody could hold every file descriptor of the gateway for hours.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Silent:
    """The connections, by id, that have not shown a credential yet."""

    def __init__(self) -> None:
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def connected(self, connection: str, seconds: float, close: Callable[[], None]) -> None:
        """`close` is called after `seconds` unless `spoke` or `gone` comes first."""
        self._timers[connection] = asyncio.get_running_loop().call_later(seconds, self._late, connection, close)

    def spoke(self, connection: str) -> None:
        """A request with a valid credential."""
        self.gone(connection)

    def gone(self, connection: str) -> None:
        timer = self._timers.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def _late(self, connection: str, close: Callable[[], None]) -> None:
        del self._timers[connection]
        close()
