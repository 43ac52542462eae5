"""I/O: the desk at which people revoke clients, sessions or everything, and lift it again.

Belongs here: who may, what is kept of it. Not here: how they proved who they are (`admin`, the command line), what a
revocation does (`identity.revoking`). Blocks; call it from a thread. Approvals and grants are taken back at `desk`.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable

from pratique.approvals.reviewers import Reviewer
from pratique.errors import Refused
from pratique.revocation import Kind, Revocation, RevocationStore

MAX_SHOWN = 200
ID_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"  # as of approvals
ID_CHARACTERS = 10


def new_id() -> str:
    return "rev-" + "".join(secrets.choice(ID_ALPHABET) for _ in range(ID_CHARACTERS))


class RevocationDesk:
    """`clock` gives seconds since the epoch."""

    def __init__(self, store: RevocationStore, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._clock = clock

    @property
    def clock(self) -> Callable[[], float]:
        return self._clock

    def find(self, reviewer: Reviewer, *, ended: bool = False) -> list[Revocation]:
        """The newest first: of clients in the reviewer's field, and what stops everybody."""
        found = self._store.find(limit=10 * MAX_SHOWN) if ended else list(self._store.in_force(self._clock()))
        theirs = [each for each in found if each.kind is not Kind.CLIENT or reviewer.may_revoke(each.name)]
        return sorted(theirs, key=lambda each: -each.at)[:MAX_SHOWN]

    def revoke(self, reviewer: Reviewer, kind: Kind, name: str, reason: str, seconds: float | None) -> Revocation:
        """In force within a second, for `seconds` or until it is lifted.

        Raises Refused: (403) not in their field; (400) no such name; (429) too many.
        """
        if not reviewer.may_revoke(_client(kind, name)):
            raise _not_theirs(reviewer, f"revoke {kind}")
        now = self._clock()
        until = None if seconds is None else now + seconds
        made = Revocation(new_id(), kind, name, reason, reviewer.name, now, until)
        self._store.revoke(made)
        return made

    def lift(self, reviewer: Reviewer, revocation_id: str) -> Revocation:
        """Raises Refused: (404) none that is in force; (403) not theirs to lift."""
        now = self._clock()
        found = next((each for each in self._store.in_force(now) if each.id == revocation_id), None)
        if found is None:
            raise _not_in_force(revocation_id)
        if not reviewer.may_lift(_client(found.kind, found.name)):
            raise _not_theirs(reviewer, "lift this")
        if not self._store.lift(revocation_id, reviewer.name, now):
            raise _not_in_force(revocation_id)
        return found


def _client(kind: Kind, name: str) -> str:
    return name if kind is Kind.CLIENT else ""


def _not_theirs(reviewer: Reviewer, what: str) -> Refused:
    message = f"reviewer `{reviewer.name}` may not {what} (`mayDecide` and `clients` of their document)"
    return Refused(403, "Forbidden", message, rule="reviewer")


def _not_in_force(revocation_id: str) -> Refused:
    return Refused(404, "NotFound", f"no revocation `{revocation_id}` is in force", rule="revocation-id")
