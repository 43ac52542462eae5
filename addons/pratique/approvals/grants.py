"""What a reviewer grants beyond one use: the same request for some minutes, a stated scope, or until the session ends.

Belongs here: the values, the narrowest of several wishes, what a grant covers. Not here: keeping them (`store`), who may
give them (`reviewers`, `deciding`). Pure; time is an argument, seconds since the epoch.

A grant never executes anything: each request that it covers gets an approval of its own, approved by the grant and used
once, so that what was done under it can be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from fnmatch import fnmatchcase

from pratique.errors import Refused

MAX_GRANT_SECONDS = 8 * 3600.0
"""A working day. A permission that lasts longer is a rule: write it into a Policy, where it is reviewed."""


class GrantKind(StrEnum):
    """Narrowest first, as `approval.grant` of a rule names the widest that reviewers may give."""

    ONCE = "once"
    SESSION = "session"
    DURATION = "duration"

    @property
    def width(self) -> int:
        return list(GrantKind).index(self)


@dataclass(frozen=True, slots=True)
class Target:
    """What a request is about, as rules name it: `resource` has its subresource, `pods/exec`. Empty where unknown.

    Of a non-resource request `name` is the path.
    """

    verb: str = ""
    api_group: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Scope:
    """More than one request: globs over a `Target`. What is not stated is what the approved request had.

    `dry_run`: dry runs only. Who granted dry runs has not granted the real thing.
    """

    verb: str
    api_group: str
    resource: str
    namespace: str
    name: str
    dry_run: bool = False

    @classmethod
    def of(cls, target: Target, *, namespace: str = "", name: str = "", verb: str = "") -> Scope:
        """The target's own scope, wider where stated. Group and resource stay: another resource is another question."""
        return cls(
            verb or literal(target.verb),
            literal(target.api_group),
            literal(target.resource),
            namespace or literal(target.namespace),
            name or literal(target.name),
            target.dry_run,
        )

    def covers(self, target: Target) -> bool:
        pairs = (
            (self.verb, target.verb),
            (self.api_group, target.api_group),
            (self.resource, target.resource),
            (self.namespace, target.namespace),
            (self.name, target.name),
        )
        if self.dry_run and not target.dry_run:
            return False
        return all(fnmatchcase(value, pattern) for pattern, value in pairs)

    def in_words(self) -> str:
        group = f".{self.api_group}" if self.api_group else ""
        where = f" in namespace {self.namespace}" if self.namespace else ""
        what = f"{self.verb} {self.resource}{group} {self.name}{where}"
        return f"dry run of: {what}" if self.dry_run else what


@dataclass(frozen=True, slots=True)
class Wish:
    """What a reviewer wants to grant. `scope` None: exactly this request. `seconds` at most, for both wider kinds."""

    kind: GrantKind = GrantKind.ONCE
    seconds: float = 0.0
    scope: Scope | None = None

    def check(self, widest: str) -> None:
        """Raises Refused: (403) wider than the rule allows, (400) no length, or too long."""
        if self.kind.width > GrantKind(widest).width:
            message = f"the rule lets a reviewer grant `{widest}` at most, not `{self.kind}`"
            raise Refused(403, "Forbidden", message, rule="grant")
        if self.kind is GrantKind.ONCE and (self.scope is not None or self.seconds):
            raise Refused(400, "BadRequest", "a grant for one use has neither a scope nor a length", rule="grant")
        if self.kind is not GrantKind.ONCE and not 1 <= self.seconds <= MAX_GRANT_SECONDS:
            message = f"a grant lasts between 1 s and {MAX_GRANT_SECONDS / 3600:g} h. For longer write a rule"
            raise Refused(400, "BadRequest", message, rule="grant")


def narrowest(wishes: Sequence[Wish]) -> Wish:
    """What all of several reviewers want: one use if one of them wants that; a scope only if all named the same."""
    kind = min((wish.kind for wish in wishes), key=lambda each: each.width, default=GrantKind.ONCE)
    if kind is GrantKind.ONCE:
        return Wish()
    scopes = {wish.scope for wish in wishes}
    return Wish(kind, min(wish.seconds for wish in wishes), scopes.pop() if len(scopes) == 1 else None)


@dataclass(frozen=True, slots=True)
class Grant:
    """A stored grant. `rules` asked for the approval that it came from: it does not answer for another rule.

    `fingerprint` is "" where a scope is stated, `session` "" unless it is for one. `uses` counts what was used.
    """

    id: str
    approval_id: str
    client: str
    cluster: str
    kind: GrantKind
    rules: tuple[str, ...]
    created_at: float
    expires_at: float
    fingerprint: str = ""
    scope: Scope | None = None
    session: str = ""
    reviewers: tuple[str, ...] = ()
    reason: str = ""
    uses: int = 0
    revoked_at: float | None = None
    revoked_by: str = ""

    def is_live(self, now: float) -> bool:
        return self.revoked_at is None and now < self.expires_at

    def covers(self, asked: Asked, now: float) -> bool:
        """Whether a request of the same client and cluster is granted by it."""
        if not self.is_live(now) or (self.client, self.cluster) != (asked.client, asked.cluster):
            return False
        if not set(asked.rules) <= set(self.rules):
            return False
        if self.session and self.session != asked.session:
            return False
        return self.scope.covers(asked.target) if self.scope is not None else self.fingerprint == asked.fingerprint

    def in_words(self) -> str:
        what = self.scope.in_words() if self.scope is not None else "exactly this request"
        return f"{what}, for the session" if self.session else what


@dataclass(frozen=True, slots=True)
class Asked:
    """What of a question a grant looks at."""

    client: str
    cluster: str
    fingerprint: str
    session: str
    rules: tuple[str, ...]
    target: Target = field(default_factory=Target)


_GLOB = str.maketrans({"*": "[*]", "?": "[?]", "[": "[[]"})


def literal(value: str) -> str:
    """`value` as a glob that matches only itself. No Kubernetes name has such characters, a client may send them."""
    return value.translate(_GLOB)
