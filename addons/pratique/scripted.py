"""The bundle as a mitmproxy script. mitmproxy watches the script file, and reloads or unloads it when it changes.

A reloaded script would run old code with new state, an unloaded one would leave mitmproxy forwarding without a guard, so
either ends the process: `done` outside a shutdown is treated as an attack.
"""

from __future__ import annotations

import sys

from mitmproxy import addonmanager, ctx

from pratique.bundle import Bundle, start_or_exit

_bundle = Bundle()
_installed = False


def load(loader: addonmanager.Loader) -> None:
    if _installed:
        _stop("the script was loaded again")
    _bundle.load(loader)


def configure(updated: set[str]) -> None:  # noqa: ARG001 - mitmproxy's signature
    """First called when the options are known."""
    global _installed  # noqa: PLW0603 - the script is a module, and mitmproxy runs it more than once
    if not _installed:
        _installed = True
        start_or_exit(_bundle, ctx.master)


async def running() -> None:
    await _bundle.running()


def done() -> None:
    """Mitmproxy unloads the script: at shutdown, or because somebody edited or deleted it."""
    _bundle.close()
    if not ctx.master.should_exit.is_set():
        _stop("the script was changed or removed while running")


def _stop(why: str) -> None:
    sys.stderr.write(f"pratique: stops serving: {why}\n")
    sys.stderr.flush()
    sys.exit(1)
