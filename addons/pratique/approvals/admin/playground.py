"""I/O (tornado): the handlers of the HTTP API of the playground. The others are `api`.

The playground is given by the composition root, and only where the operator switched it on: recorded requests of all clients
can be picked there, whatever the reviewer's field is.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec

from pratique.approvals.admin.api import Handler
from pratique.approvals.admin.playground_views import TryInput
from pratique.errors import DocumentErrors, Refused

_ONE_AT_A_TIME = asyncio.Lock()  # it computes: the requests of clients go first


class Playground(Protocol):
    """`pratique.playground.playground.Playground`."""

    def try_out(self, *, request: str, policy: str, client: str, answer: str, alone: bool) -> dict[str, Any]: ...
    def choices(self) -> dict[str, Any]: ...
    def recorded(self, session: str, entry: int) -> dict[str, Any]: ...


class _Playing(Handler):
    def playground(self) -> Playground:
        """Raises Refused: (401) nobody who may; (404) it is switched off."""
        self.caller()
        found: Playground | None = self.context.playground
        if found is None:
            raise Refused(
                404, "NotFound", "the playground is switched off (`pratique_playground`)", rule="admin/playground"
            )
        return found

    async def say(self, work: Any, *arguments: Any, **named: Any) -> None:
        async with _ONE_AT_A_TIME:
            try:
                said = await self.run(work, *arguments, **named)
            except DocumentErrors as errors:
                text = f"the documents in the folder cannot be read: {errors}"
                raise Refused(503, "ServiceUnavailable", text, rule="admin/playground") from None
        self.set_header("Content-Type", "application/json")
        self.finish(msgspec.json.encode(said))


class Try(_Playing):
    async def get(self) -> None:
        await self.say(self.playground().choices)

    async def post(self) -> None:
        playground, given = self.playground(), self.input(TryInput)
        await self.say(playground.try_out, **msgspec.structs.asdict(given))


class Recorded(_Playing):
    async def get(self, chosen: str) -> None:
        session, _, entry = chosen.partition(".")
        await self.say(self.playground().recorded, session, int(entry))


ROUTES: tuple[tuple[str, type[Handler]], ...] = (
    (r"/api/v1/playground", Try),
    (r"/api/v1/playground/recorded/([0-9TZa-z-]{1,64}\.[0-9]{1,9})", Recorded),
)
