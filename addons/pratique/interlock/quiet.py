"""mitmproxy's log of its connections, without what passes over them.

It quotes bytes: the head of a request that was cut short (with the client's key), an answer that could not be parsed (with
whatever the cluster sent), the text of an exception. Invariant 4: no raw value leaves by the program's own logs.
"""

from __future__ import annotations

import logging

from pratique.exchange import place_of

CONNECTIONS = "mitmproxy.proxy.server"
"""mitmproxy's logger for everything that its layers say (12.2, `ConnectionHandler.log`)."""
LISTENERS = "mitmproxy.addons.proxyserver"


class NoBytes(logging.Filter):
    """Lets through what an operator needs (handshakes that fail); connects, disconnects and parsers are not heard."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.WARNING:
            return False
        exc = record.exc_info[1] if isinstance(record.exc_info, tuple) else None
        if exc is not None:
            record.msg, record.args = f"{type(exc).__name__} at {place_of(exc)}", None
        record.exc_info = record.exc_text = None
        return True


class FirstLine(logging.Filter):
    """Of what a listener says when it cannot listen: the second advises another `--mode`, which is refused."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = record.getMessage().partition("\n")[0], None
        return True


def install() -> None:
    """From now on, for the whole process."""
    for name, kind in ((CONNECTIONS, NoBytes), (LISTENERS, FirstLine)):
        logger = logging.getLogger(name)
        if not any(isinstance(existing, kind) for existing in logger.filters):
            logger.addFilter(kind())
