"""The service form's chain: what a reverse proxy needs, and the options of all the rest."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import io
import logging

import pytest
from mitmproxy import options
from mitmproxy.addons import termlog
from mitmproxy.tools.dump import DumpMaster

from pratique import guarded_options, settings
from pratique.launcher.dispatch import CachedDispatch
from pratique.launcher.master import GatewayMaster, LogOutput

CHAIN = [
    "termlog",
    "core",
    "block",
    "disableh2c",
    "proxyserver",
    "scriptloader",
    "nextlayer",
    "tlsconfig",
    "errorcheck",
]


def _made(kind: type, **arguments: object) -> tuple[list[str], set[str], object]:
    async def go() -> tuple[list[str], set[str], object]:
        opts = options.Options()
        owner = kind(opts, **arguments)
        try:
            return list(owner.addons.lookup), set(opts.keys()), type(owner.addons)
        finally:
            owner.addons.get("errorcheck").finish()
            await owner.done()

    return asyncio.run(go())


def test_only_what_a_reverse_proxy_needs_is_in_the_chain() -> None:
    chain, _, manager = _made(GatewayMaster)
    assert chain == CHAIN
    assert manager is CachedDispatch


def test_no_addon_of_mitmproxys_answers_a_request_but_ours() -> None:
    """What is left of its own hooks with requests only takes something away."""

    async def go() -> list[str]:
        owner = GatewayMaster(options.Options())
        try:
            hooks = ("requestheaders", "request", "responseheaders", "response")
            return [
                f"{type(addon).__name__}.{hook}"
                for addon in owner.addons.chain
                for hook in hooks
                if getattr(addon, hook, None)
            ]
        finally:
            owner.addons.get("errorcheck").finish()
            await owner.done()

    assert asyncio.run(go()) == ["DisableH2C.request"]


@pytest.mark.parametrize(
    ("number", "ends"), [(errno.ENOSPC, False), (errno.EDQUOT, False), (errno.EPIPE, True), (errno.EIO, True)]
)
def test_a_full_disk_costs_a_line_of_the_log_and_nothing_else(number: int, ends: bool) -> None:
    class File(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(number, "cannot be written")

    handler = termlog.TermLogHandler(LogOutput(File()))  # type: ignore[arg-type]
    record = logging.LogRecord("pratique", logging.WARNING, "", 1, "said", None, None)
    with pytest.raises(SystemExit) if ends else contextlib.nullcontext():
        handler.emit(record)


def test_what_is_logged_is_printed() -> None:
    file = io.StringIO()
    handler = termlog.TermLogHandler(LogOutput(file))  # type: ignore[arg-type]
    handler.emit(logging.LogRecord("pratique", logging.WARNING, "", 1, "said", None, None))
    assert "said" in file.getvalue()


def test_every_option_of_mitmdump_is_known_so_that_the_dangerous_ones_are_refused_by_name() -> None:
    _, ours, _ = _made(GatewayMaster)
    _, theirs, _ = _made(DumpMaster, with_dumper=False)
    assert ours == theirs
    tables = (
        *guarded_options.FORCED,
        *guarded_options.REQUIRED,
        *guarded_options.ONE_OF,
        *guarded_options.FROM_CLUSTER,
    )
    absent = {name for name, *_ in tables} - ours
    assert absent <= {"flow_detail"}  # of the dumper
    assert settings.OPTIONS
