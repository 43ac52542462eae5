"""What is known of one request when it has ended, as plain data for metrics and log.

Belongs here: `Finished`. Not here: where it comes from (`addon`), what becomes of it (`metrics`, `logs`). Pure. Nothing in it
is a body, a query or a credential; `resource`, `namespace` and `name` are scrubbed and masked before.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

VERBS = frozenset({
    "get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "proxy", "post", "put", "head",
    "options", "connect", "trace",
})  # fmt: skip
"""Every verb that RequestInfo makes of a usual method; anything else counts as `other`."""


@dataclass(frozen=True, slots=True)
class Finished:
    """Times are seconds. `code` is 0 where the client left before it was answered.

    `held`: waited for a reviewer (None: no approval was needed). `upstream`: from sending to the whole answer, of a
    stream to its first byte (None: not sent). `observed`: policy and action of policies that are only observed. `added`: what the gateway itself took (None: of a stream, or not sent).
    """

    client: str = ""
    session: str = ""
    audit_id: str = ""
    approval: str = ""
    verb: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    action: str = ""
    rules: tuple[str, ...] = ()
    observed: tuple[tuple[str, str], ...] = ()
    refusal: str = ""
    code: int = 0
    masked: Mapping[str, int] = field(default_factory=dict)
    duration: float = 0.0
    held: float | None = None
    upstream: float | None = None
    added: float | None = None
    stream: bool = False

    @property
    def known_verb(self) -> str:
        return self.verb if self.verb in VERBS else "other" if self.verb else ""
