"""The service form's connection handler against mitmproxy's own: the same events, hooks and writes in the same order."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import options
from mitmproxy.proxy import commands, events, mode_servers, server
from mitmproxy.proxy.layers.http import HttpRequestHook, HttpResponseHook
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import tflow

from pratique.launcher import connection
from pratique.launcher.connection import GatewayConnectionHandler
from pratique.launcher.dispatch import CachedDispatch

MITMPROXYS = mode_servers.ProxyConnectionHandler
STEPS = ("send", "quick", "slow", "held", "log", "raise", "close")
ROUNDS = 12  # of the loop; more than any script here needs


class Writer:
    """Says what is written."""

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name, default)

    def is_closing(self) -> bool:
        return False

    def write(self, data: bytes) -> None:
        self._seen.append(f"write {data.decode()}")


class Scripted:
    """A layer that answers each event with the next of its scripts, and does not block, as the outermost never does."""

    def __init__(self, scripts: list[list[str]], seen: list[str], client: Any) -> None:
        self._scripts, self._seen, self._client = iter(scripts), seen, client

    def handle_event(self, event: events.Event) -> Any:
        of = f" of {event.command.name}" if isinstance(event, events.HookCompleted) else ""
        self._seen.append(type(event).__name__ + of)
        for number, step in enumerate(next(self._scripts, [])):
            yield from self._step(step, number)

    def _step(self, step: str, number: int) -> Any:
        match step:
            case "send":
                yield commands.SendData(self._client, f"{number}".encode())
            case "quick":
                yield HttpRequestHook(tflow.tflow())
            case "slow":
                yield HttpResponseHook(tflow.tflow())
            case "held":
                flow = tflow.tflow()
                flow.intercept()
                asyncio.get_running_loop().call_soon(flow.resume)
                yield HttpRequestHook(flow)
            case "log":
                yield commands.Log("said")
            case "raise":
                raise ValueError(step)
            case _:
                yield commands.CloseConnection(self._client)


class Hooks:
    name = "hooks"

    def __init__(self, seen: list[str]) -> None:
        self._seen = seen

    def request(self, _flow: Any) -> None:
        self._seen.append("request")

    async def response(self, _flow: Any) -> None:
        self._seen.append("response begins")
        await asyncio.sleep(0)
        self._seen.append("response ends")


def _handler(kind: type, seen: list[str], addons: tuple[Any, ...]) -> Any:
    opts = types.SimpleNamespace(tcp_timeout=600, proxy_debug=False)
    master: Any = types.SimpleNamespace(
        options=options.Options(), commands=types.SimpleNamespace(collect_commands=lambda _: None)
    )
    master.addons = CachedDispatch(master)
    master.addons.add(*addons)
    handler = kind(master, None, Writer(seen), opts, ProxyMode.parse("regular"))
    handler.log = lambda message, *_, **__: seen.append(message)
    handler.transports[handler.client].handler = types.SimpleNamespace(cancel=seen.append)
    return handler


def _seen(kind: type, scripts: list[list[str]], *, count: int = 1) -> list[str]:
    async def go() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        handler = _handler(kind, seen, (Hooks(seen),))
        handler.layer = Scripted(scripts, seen, handler.client)
        for _ in range(count):
            await handler.server_event(events.Start())
            for _ in range(ROUNDS * max(map(len, scripts), default=1)):
                await asyncio.sleep(0)
        assert handler.timeout_watchdog.blocker == 0
        assert handler.timeout_watchdog.can_timeout.is_set()

    seen: list[str] = []
    asyncio.run(go())
    return seen


HOOKS = frozenset({"quick", "slow", "held"})
PLAIN = st.lists(st.sampled_from([step for step in STEPS if step not in HOOKS]), max_size=2)
ONE_HOOK = st.tuples(PLAIN, st.sampled_from(sorted(HOOKS)), PLAIN).map(lambda parts: [*parts[0], parts[1], *parts[2]])


@settings(deadline=None)  # a busy machine is no failure
@given(st.lists(PLAIN | ONE_HOOK, min_size=1, max_size=6))
def test_what_one_request_does_happens_in_the_order_of_mitmproxys_handler(scripts: list[list[str]]) -> None:
    assert _seen(GatewayConnectionHandler, scripts, count=2) == _seen(MITMPROXYS, scripts, count=2)


@settings(deadline=None)
@given(st.lists(st.sampled_from(STEPS), max_size=8))
def test_what_several_requests_do_at_once_happens_to_each_of_them(script: list[str]) -> None:
    """Whose turn it is among hooks that wait is nobody's promise."""
    assert sorted(_seen(GatewayConnectionHandler, [script])) == sorted(_seen(MITMPROXYS, [script]))


def test_a_hook_that_does_not_wait_is_completed_before_the_loop_turns() -> None:
    async def go(kind: type) -> list[str]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        seen: list[str] = []
        handler = _handler(kind, seen, (Hooks(seen),))
        handler.layer = Scripted([["quick"], ["quick"], ["send"]], seen, handler.client)
        await handler.server_event(events.Start())
        return seen

    whole = ["Start", "request", "HookCompleted of request", "request", "HookCompleted of request", "write 0"]
    assert asyncio.run(go(GatewayConnectionHandler)) == whole
    assert asyncio.run(go(MITMPROXYS)) == whole[:4]  # the control: this is what it is for


def test_a_hook_whose_manager_fails_is_told_and_never_completed() -> None:
    async def go() -> list[str]:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        seen: list[str] = []
        handler = _handler(GatewayConnectionHandler, seen, ())
        handler.master.addons.handle_lifecycle = _fails
        handler.layer = Scripted([["quick", "send"], ["send"]], seen, handler.client)
        await handler.server_event(events.Start())
        return seen

    assert asyncio.run(go()) == ["Start", "mitmproxy has crashed!"]


async def _fails(_hook: Any) -> None:
    raise ValueError


def test_only_what_is_heard_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def go() -> None:
        handler = _handler(GatewayConnectionHandler, [], ())
        del handler.log
        handler.log("client connect")
        handler.log("a handshake failed", logging.WARNING)

    with caplog.at_level(logging.DEBUG, server.logger.name):
        asyncio.run(go())
    assert caplog.messages == ["a handshake failed"]


def test_what_no_layer_may_say_is_an_error() -> None:
    class Unknown(commands.Command):
        pass

    async def go(command: commands.Command) -> list[str]:
        seen: list[str] = []
        handler = _handler(GatewayConnectionHandler, seen, ())
        handler.layer = types.SimpleNamespace(handle_event=lambda _event: iter([command]))
        await handler.server_event(events.Start())
        return seen

    assert asyncio.run(go(Unknown())) == ["mitmproxy has crashed!"]


def test_installed_it_is_what_listeners_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mode_servers, "ProxyConnectionHandler", MITMPROXYS)
    connection.install()
    assert mode_servers.ProxyConnectionHandler is GatewayConnectionHandler  # type: ignore[comparison-overlap]
    assert "ProxyConnectionHandler(" in inspect.getsource(mode_servers.ServerInstance.handle_stream)


def test_what_is_overridden_is_what_this_was_written_against() -> None:
    """mitmproxy 12.2.3. Another release: read what has changed, then change these lines."""
    sizes = {
        f"{owner.__name__}.{name}": len(inspect.getsource(getattr(owner, name)).splitlines())
        for owner, names in (
            (server.ConnectionHandler, ("server_event", "hook_task", "open_connection", "handle_connection")),
            (MITMPROXYS, ("handle_hook",)),
            (server.TimeoutWatchdog, ("disarm", "watch")),
        )
        for name in names
    }
    assert sizes == {
        "ConnectionHandler.server_event": 61,
        "ConnectionHandler.hook_task": 4,
        "ConnectionHandler.open_connection": 84,
        "ConnectionHandler.handle_connection": 55,
        "ProxyConnectionHandler.handle_hook": 7,
        "TimeoutWatchdog.disarm": 11,
        "TimeoutWatchdog.watch": 10,
    }
