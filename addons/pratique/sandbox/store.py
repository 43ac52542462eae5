"""The objects, in memory: resource versions, uids, history for watches, subscribers.

Pure: time comes from the `clock` given to the store, randomness from its seed. Knows nothing about kinds.
INVARIANT: a stored object is never changed in place; every write replaces it by a new one. So what `get` and `list`
return may be shared, and must not be changed by the caller (`copy` first).
"""

from __future__ import annotations

import copy
import random
import uuid
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

JSON = dict[str, Any]
Key = tuple[str, str]  # (group, plural)
Clock = Callable[[], float]

HISTORY = 2000
"""Events kept per resource; a watch from before them is answered 410, as after etcd's compaction."""


@dataclass(frozen=True, slots=True)
class Change:
    """One event: `kind` is ADDED, MODIFIED or DELETED; `before` is the object as it was."""

    key: Key
    version: int
    kind: str
    obj: JSON
    before: JSON | None = None


Listener = Callable[[Change], None]


@dataclass
class _Shelf:
    objects: dict[tuple[str, str], JSON] = field(default_factory=dict)
    history: deque[Change] = field(default_factory=lambda: deque(maxlen=HISTORY))
    compacted: int = 0


def rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    def __init__(self, clock: Clock, seed: int = 1) -> None:
        self.clock = clock
        self.version = 1000
        self._random = random.Random(seed)
        self._shelves: dict[Key, _Shelf] = {}
        self._listeners: list[Listener] = []

    # -- reading -----------------------------------------------------------------------------------------------------
    def get(self, key: Key, namespace: str, name: str) -> JSON | None:
        return self._shelf(key).objects.get((namespace, name))

    def all(self, key: Key, namespace: str = "") -> list[JSON]:
        """Sorted by namespace and name, as etcd's keys are."""
        objects = self._shelf(key).objects
        return [objects[at] for at in sorted(objects) if not namespace or at[0] == namespace]

    def places(self) -> list[Key]:
        return list(self._shelves)

    def by_uid(self, uid: str) -> JSON | None:
        for shelf in self._shelves.values():
            for obj in shelf.objects.values():
                if obj["metadata"].get("uid") == uid:
                    return obj
        return None

    def since(self, key: Key, version: int) -> list[Change] | None:
        """The changes after `version`; None when they are no longer all kept."""
        shelf = self._shelf(key)
        if version < shelf.compacted:
            return None
        return [change for change in shelf.history if change.version > version]

    # -- writing -----------------------------------------------------------------------------------------------------
    def new_uid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def suffix(self, length: int = 5) -> str:
        """As apiserver's names generator: no vowels, no 0, 1, 3."""
        return "".join(self._random.choices("bcdfghjklmnpqrstvwxz2456789", k=length))

    def now(self) -> str:
        return rfc3339(self.clock())

    def put(self, key: Key, obj: JSON) -> JSON:
        """Store a copy with the next resourceVersion, tell the listeners, and return it."""
        self.version += 1
        stored = copy.deepcopy(obj)
        stored["metadata"]["resourceVersion"] = str(self.version)
        at = (stored["metadata"].get("namespace", ""), stored["metadata"]["name"])
        shelf = self._shelf(key)
        before = shelf.objects.get(at)
        shelf.objects[at] = stored
        self._tell(Change(key, self.version, "MODIFIED" if before else "ADDED", stored, before))
        return stored

    def remove(self, key: Key, namespace: str, name: str) -> JSON | None:
        before = self._shelf(key).objects.pop((namespace, name), None)
        if before is None:
            return None
        self.version += 1
        last = copy.deepcopy(before)
        last["metadata"]["resourceVersion"] = str(self.version)
        self._tell(Change(key, self.version, "DELETED", last, before))
        return last

    def compact(self) -> None:
        """Forget all history: watches from before now get 410."""
        for shelf in self._shelves.values():
            shelf.history.clear()
            shelf.compacted = self.version

    def subscribe(self, listener: Listener) -> Callable[[], None]:
        """Call `listener` on each change, in order, at once; the result unsubscribes."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    def _shelf(self, key: Key) -> _Shelf:
        return self._shelves.setdefault(key, _Shelf())

    def _tell(self, change: Change) -> None:
        history = self._shelf(change.key).history
        if len(history) == history.maxlen:
            self._shelf(change.key).compacted = history[0].version
        history.append(change)
        for listener in list(self._listeners):
            listener(change)
