"""The life of an approval, as a table. What is not in the table raises.

Belongs here: states, events, when an event is possible. Not here: keeping the state (`store`), who may decide
(`deciding`). Relies on nothing; time is an argument, seconds since the epoch.

::

    pending ── approve ──▶ approved ── use ─────▶ used
       ├────── deny ─────▶ denied     ├─ expire ─▶ expired
       ├────── expire ───▶ expired    └─ revoke ─▶ revoked
       └────── cancel ───▶ cancelled
"""

from __future__ import annotations

from enum import StrEnum

from pratique.errors import Refused


class State(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    USED = "used"
    REVOKED = "revoked"

    @property
    def is_open(self) -> bool:
        """Whether something can still become of it. An open approval is joined by a repeat of its request."""
        return self in {State.PENDING, State.APPROVED}


class Event(StrEnum):
    APPROVE = "approve"
    DENY = "deny"
    EXPIRE = "expire"
    CANCEL = "cancel"
    USE = "use"
    REVOKE = "revoke"


TABLE = {
    (State.PENDING, Event.APPROVE): State.APPROVED,
    (State.PENDING, Event.DENY): State.DENIED,
    (State.PENDING, Event.EXPIRE): State.EXPIRED,
    (State.PENDING, Event.CANCEL): State.CANCELLED,
    (State.APPROVED, Event.USE): State.USED,
    (State.APPROVED, Event.EXPIRE): State.EXPIRED,
    (State.APPROVED, Event.REVOKE): State.REVOKED,
}


def transition(state: State, event: Event, expires_at: float, now: float) -> State:
    """The state after `event`.

    From `expires_at` on an open approval can only expire, and not before.

    Raises:
        Refused: (409) not in the table, or not at this time.
    """
    after = TABLE.get((state, event))
    if after is None:
        raise Refused(409, "Conflict", f"the approval is {state}, so that `{event}` is not possible", rule="transition")
    if (event is Event.EXPIRE) != (now >= expires_at):
        when = "has not expired yet" if event is Event.EXPIRE else "has expired"
        raise Refused(409, "Conflict", f"the approval {when}, so that `{event}` is not possible", rule="transition")
    return after


def state_at(state: State, expires_at: float, now: float) -> State:
    """The state as it counts at `now`, whether or not anybody has written down that it expired."""
    return State.EXPIRED if state.is_open and now >= expires_at else state
