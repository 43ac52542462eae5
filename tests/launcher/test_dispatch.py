"""Cached dispatch against mitmproxy's own: the same calls in the same order, the same errors, whatever the chain."""

from __future__ import annotations

import asyncio
import inspect
import logging
import types
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import addonmanager, exceptions, hooks, options
from mitmproxy.proxy.layers.http import HttpRequestHook
from mitmproxy.test import tflow

from pratique.launcher.dispatch import CachedDispatch

BEHAVIOURS = ("sync", "async", "awaitable", "raises", "halts", "halts-async", "options", "nothing", "module", "text")
MANAGERS = (addonmanager.AddonManager, CachedDispatch)


class Master:
    def __init__(self, kind: type) -> None:
        self.options = options.Options()
        self.commands = types.SimpleNamespace(collect_commands=lambda _: None)
        self.addons: Any = kind(self)


class Addon:
    """Behaves as told when a request comes; says so in `calls`."""

    def __init__(self, name: str, behaviour: str, calls: list[str], children: tuple[Any, ...] = ()) -> None:
        self.name = name
        if children:
            self.addons = list(children)
        if handler := _handler(name, behaviour, calls):
            self.request = handler


def _handler(name: str, behaviour: str, calls: list[str]) -> Any:
    def sync(_flow: Any) -> Any:
        calls.append(name)
        match behaviour:
            case "raises":
                raise ValueError(name)
            case "halts":
                raise exceptions.AddonHalt
            case "options":
                raise exceptions.OptionsError(name)
            case "awaitable":
                return asyncio.sleep(0)

    async def later(_flow: Any) -> None:
        await asyncio.sleep(0)
        calls.append(name)
        if behaviour == "halts-async":
            raise exceptions.AddonHalt

    found = {"nothing": None, "module": types, "text": "not callable", "async": later, "halts-async": later}
    return found.get(behaviour, sync)


def _chain(shape: list[Any], calls: list[str]) -> list[Addon]:
    names = (f"addon-{number}" for number in range(1000))

    def make(part: Any) -> Addon:
        behaviour, children = part
        return Addon(next(names), behaviour, calls, tuple(make(child) for child in children))

    return [make(part) for part in shape]


def _seen(kind: type, shape: list[Any], caplog: list[str]) -> tuple[list[str], list[str], str]:
    async def go() -> str:
        master = Master(kind)
        master.addons.add(*_chain(shape, calls))
        try:
            for _ in range(2):  # the second time it is remembered
                await master.addons.handle_lifecycle(HttpRequestHook(tflow.tflow()))
        except exceptions.OptionsError as error:
            return f"raised {error}"
        return "returned"

    calls: list[str] = []
    caplog.clear()
    return calls, list(caplog), asyncio.run(go())


SHAPES = st.lists(
    st.recursive(
        st.tuples(st.sampled_from(BEHAVIOURS), st.just(())),
        lambda inner: st.tuples(st.sampled_from(BEHAVIOURS), st.lists(inner, max_size=3).map(tuple)),
        max_leaves=4,
    ),
    max_size=5,
)


class _Told(logging.Handler):
    def __init__(self, told: list[str]) -> None:
        super().__init__()
        self._told = told

    def emit(self, record: logging.LogRecord) -> None:
        self._told.append(record.getMessage().split(" (<")[0])


@settings(deadline=None)  # a busy machine is no failure
@given(shape=SHAPES)
def test_every_chain_is_called_as_mitmproxy_calls_it(shape: list[Any]) -> None:
    told: list[str] = []
    logger, handler = logging.getLogger("mitmproxy.addonmanager"), _Told(told)
    logger.addHandler(handler)
    try:
        expected, found = (_seen(kind, shape, told) for kind in MANAGERS)
    finally:
        logger.removeHandler(handler)
    assert found == expected


@pytest.mark.parametrize("kind", MANAGERS)
@pytest.mark.parametrize("change", ["add", "remove", "append", "assign", "clear", "child"])
def test_a_change_of_the_chain_by_whatever_way_counts_from_the_next_hook_on(kind: type, change: str) -> None:
    calls: list[str] = []

    async def go() -> None:
        master = Master(kind)
        first, last = Addon("first", "sync", calls), Addon("last", "sync", calls)
        parent = Addon("parent", "sync", calls, (Addon("child", "sync", calls),))
        master.addons.add(first, parent)
        await master.addons.trigger_event(HttpRequestHook(tflow.tflow()))
        calls.clear()
        match change:
            case "add":
                master.addons.add(last)
            case "remove":
                master.addons.remove(first)
            case "append":
                master.addons.chain.append(last)
            case "assign":
                master.addons.chain = [last, first]
            case "clear":
                master.addons.clear()
            case _:
                parent.addons.append(last)
        await master.addons.trigger_event(HttpRequestHook(tflow.tflow()))

    asyncio.run(go())
    assert (
        calls
        == {
            "add": ["first", "parent", "child", "last"],
            "remove": ["parent", "child"],
            "append": ["first", "parent", "child", "last"],
            "assign": ["last", "first"],
            "clear": [],
            "child": ["first", "parent", "child", "last"],
        }[change]
    )


def test_update_follows_a_hook_about_a_flow_where_somebody_listens() -> None:
    seen: list[Any] = []

    async def go() -> None:
        master = Master(CachedDispatch)
        await master.addons.handle_lifecycle(HttpRequestHook(tflow.tflow()))
        master.addons.add(types.SimpleNamespace(name="view", update=seen.extend))
        await master.addons.handle_lifecycle(HttpRequestHook(tflow.tflow()))

    asyncio.run(go())
    assert len(seen) == 1


def test_what_is_overridden_is_what_this_was_written_against() -> None:
    """mitmproxy 12.2.3. Another release: read what has changed, then change these lines."""
    own = {name for name, value in vars(addonmanager.AddonManager).items() if inspect.isfunction(value)}
    assert own == {
        "__init__", "_configure_all", "clear", "get", "register", "add", "remove", "__len__", "__str__", "__contains__",
        "handle_lifecycle", "_iter_hooks", "invoke_addon", "invoke_addon_sync", "trigger_event", "trigger",
    }  # fmt: skip
    sizes = {
        name: len(inspect.getsource(getattr(addonmanager.AddonManager, name)).splitlines())
        for name in ("handle_lifecycle", "_iter_hooks", "invoke_addon", "trigger_event")
    }
    assert sizes == {"handle_lifecycle": 10, "_iter_hooks": 20, "invoke_addon": 9, "trigger_event": 10}
    assert set(hooks.all_hooks) >= {"update", "request", "response", "configure", "running", "done"}
