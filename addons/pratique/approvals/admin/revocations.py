"""I/O (tornado): the handlers of the HTTP API about revocations. The others are `api`."""

from __future__ import annotations

import logging

from pratique.approvals.admin.api import Handler
from pratique.approvals.admin.revocation_views import LiftInput, RevocationList, RevokeInput, revocation_view
from pratique.observing.logs import decision

logger = logging.getLogger("pratique")


class Revocations(Handler):
    async def get(self) -> None:
        caller, now = self.caller(), self.context.clock()
        ended = self.get_query_argument("show", "in-force") == "all"
        found = await self.run(self.context.revocations.find, caller.reviewer, ended=ended)
        self.answer(RevocationList(tuple(revocation_view(each, now) for each in found)))

    async def post(self) -> None:
        """Without a nonce: cutting off twice does no harm, and must not fail because a page is old."""
        caller, given = self.caller(), self.input(RevokeInput)
        made = await self.run(
            self.context.revocations.revoke, caller.reviewer, given.kind, given.name, given.reason, given.seconds
        )
        told = decision(
            reviewer=caller.reviewer.name, decision="revoke", revocation=made.id, kind=made.kind, name=made.name
        )
        logger.warning("reviewer %s: revoke %s %s", caller.reviewer.name, made.kind, made.name, extra=told)
        self.set_status(201)
        self.answer(revocation_view(made, self.context.clock()))


class Lift(Handler):
    async def post(self, revocation_id: str) -> None:
        caller = self.caller()
        self.input(LiftInput)
        await self.run(self.context.revocations.lift, caller.reviewer, revocation_id)
        told = decision(reviewer=caller.reviewer.name, decision="lift", revocation=revocation_id)
        logger.warning("reviewer %s: lift %s", caller.reviewer.name, revocation_id, extra=told)
        self.set_status(204)


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"/api/v1/revocations", Revocations),
    (r"/api/v1/revocations/([a-z0-9-]{1,44})/lift", Lift),
)
