"""Which messages to webhooks are due: the value, and what an outbox of them promises. Pure.

Belongs here: the protocol. Not here: keeping them (`sqlite_outbox`, `dynamodb_outbox`), sending them (`notifying`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from pratique.approvals.webhooks import EventName


@dataclass(frozen=True, slots=True)
class Message:
    """One message to one receiver; `attempts` were made so far."""

    webhook: str
    approval_id: str
    event: EventName
    attempts: int = 0


class Outbox(Protocol):
    """Durable. Raises StoreError. Blocks; call it from a thread. Times are seconds since the epoch."""

    def since(self, webhook: str, now: float) -> float:
        """When this receiver was first known; it is told of nothing that happened before."""

    def add(self, messages: list[Message], now: float) -> int:
        """Puts in what is not in it yet; how many."""

    def due(self, now: float, limit: int) -> list[Message]:
        """Messages for the caller to send. Where several processes share it, for no other one meanwhile."""

    def end(self, message: Message, outcome: str, now: float) -> None:
        """It was sent, or never will be."""

    def again(self, message: Message, outcome: str, next_at: float) -> None:
        """It is tried again at `next_at`."""

    def prune(self, ended_before: float) -> int:
        """Forgets what ended before; how many. One that forgets by itself may say 0."""

    def close(self) -> None:
        """Ends its use."""
