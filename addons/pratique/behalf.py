"""On whose behalf the gateway speaks to the cluster.

Belongs here: the value that every room passes on. Not here: which role that means (`identity.roles`). What is in them
was decided by the gateway: the client's document, the recorder's session id.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Behalf:
    """A client's name, the role that its document names (else empty), and the session that its request belongs to."""

    client: str = ""
    role_arn: str = ""
    session: str = ""


GATEWAY = Behalf()
"""The gateway itself, on nobody's behalf."""
