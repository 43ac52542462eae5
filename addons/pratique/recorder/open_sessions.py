"""Which session a request belongs to, and when a session has ended.

Belongs here: the table of open sessions: who uses them, which requests are under way in them. Pure; time is an argument.
Not here: writing and sealing (`spool`), what a session is made of (`addon`).

A session ends when its last connection has gone *and* its last request has ended: a held request goes on after its client
has left, and its end belongs into the same session. A request whose end never comes (a reset HTTP/2 stream has no hook)
must not keep a session open for ever: `overdue`.
"""

from __future__ import annotations

from dataclasses import dataclass, field

LEFT_SECONDS = 600.0
"""How long requests may outlive the last connection of their session; a hold ends soon after its client has left."""

type Key = tuple[str, str]
"""(client, connection or claim)."""


@dataclass(slots=True)
class _Open:
    key: Key
    began: float
    pinned: bool
    users: set[str] = field(default_factory=set)
    flows: set[str] = field(default_factory=set)
    left: float | None = None
    rotated: bool = False

    @property
    def over(self) -> bool:
        return not self.flows and (self.rotated or not (self.pinned or self.users))


class OpenSessions:
    """Every method that may end sessions returns those that have: the caller seals them."""

    def __init__(self) -> None:
        self._open: dict[str, _Open] = {}
        self._current: dict[Key, str] = {}
        self._flows: dict[str, str] = {}

    def current(self, key: Key) -> str:
        """The session that a request under `key` joins; empty when there is none."""
        return self._current.get(key, "")

    def all(self) -> list[tuple[str, str]]:
        """(client, session) of each."""
        return [(item.key[0], session) for session, item in self._open.items()]

    def began(self, session: str) -> float:
        """When it was opened, seconds since the epoch."""
        return self._open[session].began

    def begin(self, key: Key, session: str, now: float, *, pinned: bool = False) -> None:
        """A new session takes the requests under `key`. `pinned`: it does not end with its connections."""
        self._open[session] = _Open(key, now, pinned)
        self._current[key] = session

    def join(self, session: str, flow: str, user: str) -> None:
        """`flow`, of the connection `user`, is under way in `session`."""
        item = self._open[session]
        item.users.add(user)
        item.flows.add(flow)
        item.left = None
        self._flows[flow] = session

    def ended(self, flow: str) -> list[str]:
        """`flow` has ended."""
        session = self._flows.pop(flow, "")
        item = self._open.get(session)
        if item is None:
            return []
        item.flows.discard(flow)
        return self._take([session] if item.over else [])

    def left(self, user: str, now: float) -> list[str]:
        """The connection `user` has gone."""
        over: list[str] = []
        for session, item in self._open.items():
            if user in item.users:
                item.users.discard(user)
                item.left = None if item.users else now
                if item.over:
                    over.append(session)
        return self._take(over)

    def rotate(self, key: Key) -> list[str]:
        """No further request joins the current session of `key`; it ends with its last request."""
        session = self._current.pop(key)
        item = self._open[session]
        item.rotated = True
        return self._take([session] if item.over else [])

    def overdue(self, now: float) -> list[str]:
        """Sessions whose connections went long ago and whose requests never ended."""
        return self._take([
            session
            for session, item in self._open.items()
            if item.left is not None and now - item.left > LEFT_SECONDS and not (item.pinned and not item.rotated)
        ])  # fmt: skip

    def _take(self, sessions: list[str]) -> list[str]:
        for session in sessions:
            item = self._open.pop(session)
            if self._current.get(item.key) == session:
                del self._current[item.key]
            for flow in item.flows:
                self._flows.pop(flow, None)
        return sessions
