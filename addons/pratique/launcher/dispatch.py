"""An addon manager that resolves the handlers of each hook once for each change of the chain.

mitmproxy's own walks every addon for every hook, which is about half of what a small request costs. Order, async hooks,
`AddonHalt`, logged errors and addons with children behave as in mitmproxy 12.2 (`addonmanager.AddonManager`); the tests
run both side by side. One thing differs: a handler that is put on an addon after its hook was first called is not seen.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mitmproxy import addonmanager, exceptions, flow, hooks

type Handler = Callable[..., Any]
_UPDATE = hooks.UpdateHook([])


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(each.name for each in dataclasses.fields(kind))


def arguments(event: hooks.Hook) -> list[Any]:
    """As the hook's own `args`, which asks its class anew each time."""
    return [getattr(event, name) for name in _names(type(event))]  # type: ignore[arg-type]  # a class has a hash


class CachedDispatch(addonmanager.AddonManager):
    """As `AddonManager`. A chain that was changed by whatever way is noticed before the next hook is called."""

    def __init__(self, master: Any) -> None:
        self._resolved: dict[str, list[Iterable[Handler] | _Changing]] = {}
        self._resolved_for: list[Any] = []
        super().__init__(master)  # type: ignore[no-untyped-call]  # mitmproxy annotates partly

    async def trigger_event(self, event: hooks.Hook) -> None:
        """Calls the handlers in the order of the chain. An exception is logged and ends its addon's turn only."""
        found = arguments(event)
        for handlers in self._handlers(event):
            try:
                for handler in handlers:
                    result = handler(*found)
                    if result is not None and inspect.isawaitable(result):
                        await result
            except exceptions.AddonHalt:
                return
            except Exception:
                with addonmanager.safecall():
                    raise

    async def handle_lifecycle(self, event: hooks.Hook) -> None:
        """A hook about a flow is followed by `update`, where somebody listens to that."""
        message = arguments(event)[0]
        await self.trigger_event(event)
        if isinstance(message, flow.Flow) and any(map(any, self._handlers(_UPDATE))):
            await self.trigger_event(hooks.UpdateHook([message]))

    def _handlers(self, event: hooks.Hook) -> list[Iterable[Handler] | _Changing]:
        chain, seen = self.chain, self._resolved_for
        if len(chain) != len(seen) or not all(map(operator.is_, chain, seen)):
            self._resolved, self._resolved_for = {}, list(chain)
        found = self._resolved.get(event.name)
        if found is None:
            found = self._resolved[event.name] = list(self._resolve(event))
        return found

    def _resolve(self, event: hooks.Hook) -> Iterator[Iterable[Handler] | _Changing]:
        for addon in self.chain:
            if hasattr(addon, "addons"):
                yield _Changing(self, addon, event)
            elif handlers := tuple(_resolved(self, addon, event)):
                yield handlers


class _Changing:
    """The handlers of an addon with children, looked up anew each time: scripts come and go."""

    def __init__(self, manager: CachedDispatch, addon: Any, event: hooks.Hook) -> None:
        self._manager, self._addon, self._event = manager, addon, event
        self._childless: tuple[Handler, ...] | None = None

    def __iter__(self) -> Iterator[Handler]:
        if self._addon.addons:
            return (handler for _, handler in self._manager._iter_hooks(self._addon, self._event))  # noqa: SLF001 - a part of the manager
        if self._childless is None:
            self._childless = tuple(_resolved(self._manager, self._addon, self._event))
        return iter(self._childless)


def _resolved(manager: CachedDispatch, addon: Any, event: hooks.Hook) -> Iterator[Handler]:
    """What cannot be called raises each time it is to be called, as in mitmproxy."""
    try:
        for _, handler in manager._iter_hooks(addon, event):  # noqa: SLF001 - a part of the manager
            yield handler
    except exceptions.AddonManagerError as error:
        yield functools.partial(_raise, error)


def _raise(error: Exception, *_: Any) -> None:
    raise error
