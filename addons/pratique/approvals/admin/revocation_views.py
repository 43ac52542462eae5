"""The shapes of the HTTP API about revocations. Pure; times are seconds since the epoch. The others are `views`."""

from __future__ import annotations

from typing import Annotated

import msgspec

from pratique.approvals.admin.views import Input, View
from pratique.revocation import MAX_NAME_CHARACTERS, MAX_REASON_CHARACTERS, Kind, Revocation

MAX_SECONDS = 10 * 365 * 86400.0  # for longer leave it out


class RevokeInput(Input, frozen=True):
    """`seconds`: for how long; left out, until it is lifted. `name` is empty for `all`."""

    kind: Kind
    name: Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARACTERS)] = ""
    reason: Annotated[str, msgspec.Meta(max_length=MAX_REASON_CHARACTERS)] = ""
    seconds: Annotated[float, msgspec.Meta(gt=0, le=MAX_SECONDS)] | None = None


class RevocationView(View, frozen=True):
    id: str
    kind: Kind
    name: str
    reason: str
    by: str
    at: float
    until: float | None
    in_force: bool
    lifted_at: float | None
    lifted_by: str


class RevocationList(View, frozen=True):
    revocations: tuple[RevocationView, ...]


def revocation_view(each: Revocation, now: float) -> RevocationView:
    return RevocationView(
        each.id, each.kind, each.name, each.reason, each.by, each.at, each.until, each.in_force(now), each.lifted_at,
        each.lifted_by,
    )  # fmt: skip


class LiftInput(Input, frozen=True):
    """Nothing: an object all the same, so that no form of another site can send it."""
