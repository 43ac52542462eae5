"""I/O: answers that go on: watches and followed logs.

Each yields the bytes of one event or line; the handler writes and flushes them. A stream ends at its timeout, when the
client has gone, or when the sandbox stops.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from pratique.sandbox import selectors, status, tables
from pratique.sandbox.accept import Form
from pratique.sandbox.api import as_version
from pratique.sandbox.logs import Line, Logs, Place
from pratique.sandbox.query import Query
from pratique.sandbox.resources import Resource
from pratique.sandbox.store import Change, Store

JSON = dict[str, Any]

BOOKMARK_SECONDS = 60.0  # between bookmarks, as in apiserver's watch cache
DEFAULT_TIMEOUT = 2400  # seconds; apiserver takes 30 to 60 min
INITIAL_END = "k8s.io/initial-events-end"


def encode(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode(errors="surrogatepass")


@dataclass(frozen=True, slots=True)
class WatchOptions:
    version: str = ""
    timeout: float = DEFAULT_TIMEOUT
    bookmarks: bool = False
    initial: bool | None = None

    @classmethod
    def of(cls, resource: Resource, query: Query) -> WatchOptions:
        timeout = query.number("timeoutSeconds") or DEFAULT_TIMEOUT
        initial = query.flag("sendInitialEvents") if query.all("sendInitialEvents") else None
        match = query.first("resourceVersionMatch")
        if initial is not None and match != "NotOlderThan":
            text = "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            cause = status.cause("FieldValueForbidden", f"Forbidden: {text}", "resourceVersionMatch")
            raise status.invalid(resource, "", [cause])
        version = query.first("resourceVersion")
        if version and not version.isdigit():
            raise status.bad_request(f"invalid resource version `{version}`")
        return cls(version, timeout, query.flag("allowWatchBookmarks"), initial)


class Watch:
    """One watch: what came before it, then what comes, each as an event in the asked form."""

    def __init__(self, store: Store, resource: Resource, namespace: str, match: selectors.Match, form: Form, *,
                 include: str) -> None:  # fmt: skip
        self._store = store
        self._resource = resource
        self._namespace = namespace
        self._match = match
        self._form = form
        self._include = include
        self._headed = False

    def _event(self, kind: str, obj: JSON) -> bytes:
        return encode({"type": kind, "object": self._shaped(as_version(self._resource, obj))}) + b"\n"

    def _shaped(self, obj: JSON) -> JSON:
        if self._form.kind == "Table":
            headed, self._headed = not self._headed, True
            metadata = {"resourceVersion": obj["metadata"]["resourceVersion"]}
            return tables.table(self._resource, [obj], self._store.clock(), include=self._include, metadata=metadata,
                                headed=headed, version=self._form.version)  # fmt: skip
        if self._form.kind.startswith("PartialObjectMetadata"):
            return tables.partial(obj, self._form.version)
        return obj

    def _bookmark(self, *, ends_initial: bool = False) -> bytes:
        metadata: JSON = {"resourceVersion": str(self._store.version), "creationTimestamp": None}
        if ends_initial:
            metadata["annotations"] = {INITIAL_END: "true"}
        kind, version = self._resource.kind, self._resource.api_version
        if self._form.kind:
            kind, version = self._form.kind.removesuffix("List"), f"meta.k8s.io/{self._form.version}"
        obj: JSON = {"kind": kind, "apiVersion": version, "metadata": metadata}
        if self._form.kind == "Table":
            obj |= {"columnDefinitions": None, "rows": []}
        return encode({"type": "BOOKMARK", "object": obj}) + b"\n"

    def _of_change(self, change: Change) -> bytes | None:
        """A change as this watch sees it: leaving the selector is DELETED, entering it ADDED."""
        if change.key != self._resource.key:
            return None
        if self._namespace and change.obj["metadata"].get("namespace") != self._namespace:
            return None
        before = change.before is not None and self._match(change.before)
        after = change.kind != "DELETED" and self._match(change.obj)
        if before or after:
            kind = "DELETED" if not after else "MODIFIED" if before else "ADDED"
            return self._event(kind, change.obj)
        return None

    def _first(self, options: WatchOptions) -> list[bytes] | None:
        """What is sent at once; None when history does not reach back that far."""
        fresh = options.version in {"", "0"} and options.initial is not False
        if options.initial or fresh:
            found = [obj for obj in self._store.all(self._resource.key, self._namespace) if self._match(obj)]
            events = [self._event("ADDED", obj) for obj in found]
            return [*events, *([self._bookmark(ends_initial=True)] if options.initial and options.bookmarks else [])]
        changes = self._store.since(self._resource.key, int(options.version or self._store.version))
        if changes is None:
            return None
        return [event for change in changes if (event := self._of_change(change))]

    async def events(self, options: WatchOptions, gone: asyncio.Event) -> AsyncIterator[bytes]:
        queue: asyncio.Queue[Change] = asyncio.Queue()
        stop = self._store.subscribe(queue.put_nowait)
        try:
            first = self._first(options)
            if first is None:
                text = f"too old resource version: {options.version} ({self._store.version})"
                yield encode({"type": "ERROR", "object": status.expired(text).body()}) + b"\n"
                return
            for event in first:
                yield event
            async for event in self._live(queue, options, gone):
                yield event
        finally:
            stop()

    async def _live(
        self, queue: asyncio.Queue[Change], options: WatchOptions, gone: asyncio.Event
    ) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        end = loop.time() + options.timeout
        while (left := end - loop.time()) > 0:
            change = await next_or_gone(queue, gone, min(left, BOOKMARK_SECONDS))
            if gone.is_set():
                return
            if change is None:
                if options.bookmarks:
                    yield self._bookmark()
            elif event := self._of_change(change):
                yield event


async def next_or_gone[T](queue: asyncio.Queue[T], gone: asyncio.Event, seconds: float) -> T | None:
    """The next item; None when `gone` was set or after `seconds`."""
    item = asyncio.ensure_future(queue.get())
    ended = asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait((item, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return item.result() if item.done() else None
    finally:
        item.cancel()
        ended.cancel()


async def follow(
    logs: Logs, place: Place, gone: asyncio.Event, render: Callable[[Line], bytes]
) -> AsyncIterator[bytes]:
    """New lines of a container as they come."""
    queue: asyncio.Queue[Line] = asyncio.Queue()
    stop = logs.follow(place, queue.put_nowait)
    try:
        while not gone.is_set():
            line = await next_or_gone(queue, gone, DEFAULT_TIMEOUT)
            if line is not None:
                yield render(line)
    finally:
        stop()
