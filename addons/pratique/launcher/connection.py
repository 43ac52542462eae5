"""mitmproxy's connection handler with less around each hook; what it does, and in which order, is the same.

mitmproxy runs every hook in a task of its own, which then waits for the lock that the event it came from still holds: each
hook costs two more rounds of the event loop. Here a hook that ended without waiting is completed in the same round.

Relies on mitmproxy 12.2's `proxy.server`; `tests/launcher/test_connection.py` fails when an upgrade changes it.
"""

from __future__ import annotations

import asyncio
import collections
import logging
from typing import Any

from mitmproxy import flow
from mitmproxy.proxy import commands, events, mode_servers, server
from mitmproxy.utils import asyncio_utils

from pratique.launcher.dispatch import arguments


class GatewayConnectionHandler(mode_servers.ProxyConnectionHandler):
    """One client connection and those to the cluster that were made for it."""

    async def server_event(self, event: events.Event) -> None:
        """As mitmproxy's. The lock is held from the event to the completion of the last hook that did not wait."""
        async with self._server_event_lock:
            waiting = collections.deque([event])
            while waiting:
                self.timeout_watchdog.register_activity()
                try:
                    self._run(waiting.popleft(), waiting)
                except Exception:  # noqa: BLE001 - as mitmproxy, which the service form's tests expect in the log
                    self.log("mitmproxy has crashed!", logging.ERROR, exc_info=True)

    def _run(self, event: events.Event, waiting: collections.deque[events.Event]) -> None:
        for command in self.layer.handle_event(event):
            if isinstance(command, commands.SendData):
                self._send(command)
            else:
                self._obey(command, waiting)

    def _send(self, command: commands.SendData) -> None:
        io = self.transports.get(command.connection)
        if io is not None and io.writer is not None and not io.writer.is_closing():
            io.writer.write(command.data)

    def _obey(self, command: commands.Command, waiting: collections.deque[events.Event]) -> None:
        """Everything but data."""
        if isinstance(command, commands.StartHook):
            self._start_hook(command, waiting)
        elif isinstance(command, commands.OpenConnection):
            self._open(command)
        elif isinstance(command, commands.RequestWakeup):
            name = f"wakeup timer ({command.delay:.1f}s)"
            self.wakeup_timer.add(self._task(self.wakeup(command), name))
        elif isinstance(command, commands.CloseConnection):
            if command.connection in self.transports:  # else it has been closed already
                self.close_connection(command.connection, getattr(command, "half_close", False))
        elif isinstance(command, commands.Log):
            self.log(command.message, command.level)
        else:
            raise TypeError(f"unexpected command: {command}")

    def _open(self, command: commands.OpenConnection) -> None:
        if command.connection in self.transports:
            raise RuntimeError("a connection is opened twice")
        name = f"server connection handler {command.connection.address}"
        opening = self._task(self.open_connection(command), name)
        self.transports[command.connection] = server.ConnectionIO(handler=opening)

    def _task(self, work: Any, name: str) -> asyncio.Task[Any]:
        return asyncio_utils.create_task(work, name=name, keep_ref=False, client=self.client.peername)

    async def drain_writers(self) -> None:
        """As mitmproxy's, where anything waits to be written: mostly all has left already."""
        writers = [io.writer for io in self.transports.values() if io.writer is not None]
        if any(writer.is_closing() or writer.transport.get_write_buffer_size() for writer in writers):  # type: ignore[union-attr]  # TCP
            await super().drain_writers()  # type: ignore[no-untyped-call]

    def log(self, message: str, level: int = logging.INFO, exc_info: Any = None) -> None:
        """Below WARNING nothing of it is heard (`interlock.quiet`), so no record is made."""
        if level >= logging.WARNING:
            super().log(message, level, exc_info)

    # --- hooks ---

    def _start_hook(self, hook: commands.StartHook, waiting: collections.deque[events.Event]) -> None:
        """The task runs at once, as far as it comes: the loop's tasks are eager."""
        later: list[bool] = []
        task = asyncio.get_running_loop().create_task(self._hook(hook, later))
        if not task.done():
            later.append(True)
            asyncio_utils.set_task_debug_info(task, name=f"handle_hook({hook.name})", client=self.client.peername)
            asyncio_utils._KEEP_ALIVE.add(task)  # noqa: SLF001 - where mitmproxy keeps them
            task.add_done_callback(asyncio_utils._KEEP_ALIVE.discard)  # noqa: SLF001
        elif hook.blocking and not task.cancelled() and task.result() is None:
            waiting.append(events.HookCompleted(hook))

    async def _hook(self, hook: commands.StartHook, later: list[bool]) -> None:
        await self.handle_hook(hook)
        if later and hook.blocking:
            await self.server_event(events.HookCompleted(hook))

    async def handle_hook(self, hook: commands.StartHook) -> None:
        """As mitmproxy's; its watchdog is disarmed by hand, not by a context manager."""
        watchdog = self.timeout_watchdog
        watchdog.can_timeout.clear()
        watchdog.blocker += 1
        try:
            (data,) = arguments(hook)
            await self.master.addons.handle_lifecycle(hook)
            if isinstance(data, flow.Flow):
                await data.wait_for_resume()
        finally:
            watchdog.blocker -= 1
            if watchdog.blocker == 0:
                watchdog.register_activity()
                watchdog.can_timeout.set()


def install() -> None:
    """From now on for every connection of this process: mitmproxy's listeners name the class, there is no extension point."""
    mode_servers.ProxyConnectionHandler = GatewayConnectionHandler  # type: ignore[misc]  # a subclass of it
