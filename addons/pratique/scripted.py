"""The bundle as a mitmproxy script. mitmproxy watches the script file, and reloads or unloads it when it changes.

A reloaded script would run old code with new state, an unloaded one would leave mitmproxy forwarding without a guard, so
either ends the process: `done` outside a shutdown is treated as an attack.
"""

from __future__ import annotations

import sys
from typing import NoReturn

from mitmproxy import addonmanager, ctx, exceptions

from pratique.bundle import Bundle, start_or_exit

_bundle = Bundle()
_installed = False


def load(loader: addonmanager.Loader) -> None:
    """INVARIANT: this does not end in an OptionsError: mitmproxy would serve on without the script, as an open proxy."""
    if _installed:
        _stop("stops serving: the script was loaded again")
    _bundle.load(loader)
    try:
        loader.master.options.process_deferred()  # as mitmproxy does next: values of `--set`, also for other scripts
    except exceptions.OptionsError as error:
        _stop(str(error))


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
    if not ctx.master.should_exit.is_set():
        _bundle.close()
        _stop("stops serving: the script was changed or removed while running")


def _stop(why: str) -> NoReturn:
    sys.stderr.write(f"pratique: {why}\n")
    sys.stderr.flush()
    ctx.master.should_exit.set()
    sys.exit(1)
