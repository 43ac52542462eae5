"""Revocations: who or what is cut off, as values that every room may hold, and what a store of them promises.

Belongs here: `Revocation`, `RevocationStore`, `Revoked` (the set that is in force). Not here: keeping them
(`identity.revoking.sqlite_store`), acting on them (`identity.revoking.addon`), who may revoke (`approvals.revoking`).
Pure; times are seconds since the epoch and given by the caller.

An approval or a grant is not in here: it is taken back where it is kept, in the store of approvals.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from pratique.errors import Refused
from pratique.kube.status import harmless

MAX_IN_FORCE = 10_000
"""Revocations in force at one time: all are held in memory and read whole. More is a script gone wrong."""
MAX_REASON_CHARACTERS = 500
"""The reason stands in every refusal; a line of prose, not a report."""
MAX_NAME_CHARACTERS = 253  # a name of Kubernetes, which a client's is
_NAME = re.compile(r"[\x21-\x7e]+")
_FORM = re.compile(r"rev-[a-z0-9-]{1,40}")


class Kind(StrEnum):
    """What is revoked: a client by name, a session by the id of its recording, or everything (the kill switch)."""

    CLIENT = "client"
    SESSION = "session"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class Revocation:
    """One revocation, in force from when it is kept until `until` (None: until it is lifted).

    `id` is `rev-` and what makes it unique; `name` is empty for `all`. `by` is who revoked, `reason` is told to the
    client. A revocation never changes but for `lifted_at` and `lifted_by`, once.
    """

    id: str
    kind: Kind
    name: str
    reason: str
    by: str
    at: float
    until: float | None = None
    lifted_at: float | None = None
    lifted_by: str = ""

    def in_force(self, now: float) -> bool:
        return self.lifted_at is None and (self.until is None or now < self.until)

    def refusal(self, *, sent: bool = False) -> Refused:
        """What whoever it hits is told: a person, or a model that must not try again. `sent`: to the cluster, before."""
        why = f": {harmless(self.reason)}" if self.reason else ""
        until = "until an operator lifts it" if self.until is None else "for some time"
        before = "The request had been sent to the cluster before, and may have been carried out. " if sent else ""
        return Refused(
            403,
            "Revoked",
            f"{self.in_words()} was revoked by {harmless(self.by)}{why}. "
            f"{before}Nothing more is carried out {until} ({self.id}). "
            "Do not repeat the request; tell the person that you work for",
            rule="identity/revoked",
        )

    def in_words(self) -> str:
        return "access of every client" if self.kind is Kind.ALL else f"{self.kind} `{harmless(self.name)}`"


def check(revocation: Revocation) -> Revocation:
    """The same. Raises Refused (400): a name or a reason that no store takes."""
    problem = ""
    if not _FORM.fullmatch(revocation.id):
        problem = "the id is not `rev-…`"
    elif (revocation.kind is Kind.ALL) != (not revocation.name):
        problem = "a client or a session is named, and `all` is not"
    elif len(revocation.name) > MAX_NAME_CHARACTERS or (revocation.name and not _NAME.fullmatch(revocation.name)):
        problem = "this is no name of a client or a session"
    elif len(revocation.reason) > MAX_REASON_CHARACTERS:
        problem = f"the reason has more than {MAX_REASON_CHARACTERS} characters. Shorten it"
    elif not revocation.by:
        problem = "somebody must have revoked it"
    elif revocation.until is not None and revocation.until <= revocation.at:
        problem = "it would end before it began"
    if problem:
        raise Refused(400, "BadRequest", problem, rule="revocation")
    return revocation


class RevocationStore(Protocol):
    """Durable and shared by all processes that open it. Blocks; call it from a thread (`asyncio.to_thread`).

    Every method raises StoreError when the store cannot be read or written: then nothing new is served.
    """

    def revoke(self, revocation: Revocation) -> None:
        """Keeps it; in force when this returns. Revoking the same thing twice keeps both.

        Raises Refused: (400) as `check`; (429) `MAX_IN_FORCE` are in force; (409) the id is taken.
        """

    def lift(self, revocation_id: str, by: str, now: float) -> bool:
        """Ends it; False if it does not exist or is not in force (lifted, or past `until`)."""

    def in_force(self, now: float) -> tuple[Revocation, ...]:
        """All of them, in any order: never a part."""

    def find(self, *, limit: int = 100) -> list[Revocation]:
        """The newest first, ended ones too."""

    def version(self) -> Hashable:
        """Differs from an earlier one if `revoke` or `lift` succeeded since, in whichever process. Cheap: 4 a second.

        May also differ although nothing was changed. Passing `until` changes nothing: the reader looks at the clock.
        """

    def close(self) -> None:
        """Ends the store's use."""


class Revoked:
    """The revocations that are in force, to be asked for every request. Immutable; empty by default."""

    def __init__(self, revocations: Iterable[Revocation] = ()) -> None:
        self.all = tuple(revocations)
        self._by_name: dict[tuple[Kind, str], list[Revocation]] = {}
        for each in self.all:
            self._by_name.setdefault((each.kind, each.name), []).append(each)

    def hits(self, client: str, sessions: Collection[str], now: float) -> Revocation | None:
        """The one that cuts off this client, or a session of this connection; None if there is none."""
        if not self._by_name:
            return None
        keys = [(Kind.ALL, ""), (Kind.CLIENT, client), *((Kind.SESSION, session) for session in sessions)]
        return next((each for key in keys for each in self._by_name.get(key, ()) if each.in_force(now)), None)

    def is_stopped(self, now: float) -> bool:
        """Whether the kill switch is on."""
        return any(each.in_force(now) for each in self._by_name.get((Kind.ALL, ""), ()))
