"""The service form's own master: cached dispatch, and of mitmproxy's addons those that a reverse proxy needs.

The others are not in the chain, but their options are known: `pratique.settings` refuses by name and reason those that would
open the gateway. Log records do not walk the chain (`add_log` has been deprecated since mitmproxy 9).
"""

from __future__ import annotations

import errno
import sys
from typing import IO, Any

from mitmproxy import addonmanager, addons, master, options
from mitmproxy.addons import (
    block,
    core,
    disable_h2c,
    errorcheck,
    keepserving,
    next_layer,
    proxyserver,
    readfile,
    script,
    termlog,
    tlsconfig,
)

from pratique.launcher import connection, messages
from pratique.launcher.dispatch import CachedDispatch

NEEDED = (
    core.Core,  # options and their checks
    block.Block,  # connections from public addresses, unless the operator says so
    disable_h2c.DisableH2C,
    proxyserver.Proxyserver,  # listeners and connections
    next_layer.NextLayer,  # the proxyserver wants one; the interlock's decides
    script.ScriptLoader,  # the operator's own scripts (-s)
    tlsconfig.TlsConfig,  # the gateway's certificate, and the check of the cluster's
)


FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class LogOutput:
    """Where the log is printed. A line is lost where the disk is full; mitmproxy would end, and nobody be told 503.

    Any other failure ends the gateway, as with mitmproxy: nobody reads its log any more.
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    def write(self, text: str) -> int:
        try:
            return self._file.write(text)
        except OSError as error:
            if error.errno not in FULL:
                raise
            return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


class TlsConfig(tlsconfig.TlsConfig):
    """Answers no request: mitmproxy's serves a list of its revoked certificates to whoever knows the path."""

    request = None  # type: ignore[assignment]  # a hook that is not there


class GatewayMaster(master.Master):
    """Needs a running event loop, as mitmproxy's."""

    def __init__(self, opts: options.Options) -> None:
        super().__init__(opts)
        connection.install()
        messages.install()
        self._legacy_log_events.uninstall()
        self.addons = CachedDispatch(self)
        self._termlog_addon = termlog.TermLog(LogOutput(sys.stdout))  # type: ignore[arg-type]  # what is used of a file
        self.addons.add(self._termlog_addon, *self._needed(), errorcheck.ErrorCheck())  # type: ignore[no-untyped-call]

    def _needed(self) -> list[Any]:
        """In mitmproxy's order; of the others only the options are made known."""
        needed = list[Any]()
        loader = addonmanager.Loader(self)
        for addon in (*addons.default_addons(), keepserving.KeepServing(), readfile.ReadFileStdin()):
            if isinstance(addon, NEEDED):
                needed.append(TlsConfig() if isinstance(addon, tlsconfig.TlsConfig) else addon)
            elif load := getattr(addon, "load", None):
                load(loader)
        return needed
