"""The service form's chain: what a reverse proxy needs, and the options of all the rest."""

from __future__ import annotations

import asyncio

from mitmproxy import options
from mitmproxy.tools.dump import DumpMaster

from pratique import guarded_options, settings
from pratique.launcher.dispatch import CachedDispatch
from pratique.launcher.master import GatewayMaster

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
