"""A mitmproxy script for tests: what another script beside the gateway may do wrong. Loaded before it, so its hooks run first.

`unruly-raises` in a path: every hook raises (F5, F25). `unruly-answers`: it answers itself (F9). `unruly-streams`: it lets
the request stream (F27). `unruly-replays`: it sends the flow again when it is done (F35). `unruly-meets`: it asks for another
host. `unruly-allows`: it writes a token of its own. `unruly-counts`: it logs how many flows are in memory.
"""

from __future__ import annotations

import gc
import logging
from typing import Any

from mitmproxy import ctx, http

CANARY = "unruly-CANARY"


def _raise(flow: Any) -> None:
    if "unruly-raises" in flow.request.path:
        raise RuntimeError("secret-in-exception-of-a-script")


def requestheaders(flow: http.HTTPFlow) -> None:
    if "unruly-streams" in flow.request.path:
        flow.request.stream = True
    if "unruly-kills" in flow.request.path:
        flow.kill()
    _raise(flow)


def request(flow: http.HTTPFlow) -> None:
    if "unruly-counts" in flow.request.path:
        gc.collect()
        flows = sum(type(thing) is http.HTTPFlow for thing in gc.get_objects())
        logging.getLogger("unruly").warning("flows in memory: %d", flows)
    if "unruly-answers" in flow.request.path:
        flow.response = http.Response.make(200, CANARY)
    if "unruly-meets" in flow.request.path:
        flow.request.host, flow.request.port, flow.request.scheme = "127.0.0.1", 1, "http"
    if "unruly-allows" in flow.request.path:
        flow.request.headers["Authorization"] = f"Bearer {CANARY}"
        flow.request.headers["Impersonate-User"] = CANARY
    _raise(flow)


def responseheaders(flow: http.HTTPFlow) -> None:
    if "unruly-leaks" in flow.request.path and flow.response:
        flow.response.stream = True
    _raise(flow)


def response(flow: http.HTTPFlow) -> None:
    if "unruly-replays" in flow.request.path and not flow.is_replay:
        copy = flow.copy()
        copy.response = None
        ctx.master.commands.call("replay.client", [copy])
    _raise(flow)


error = websocket_message = tcp_message = _raise
