"""Policies that are watched before they are enforced (`mode: Observe`): what they would decide, beside what is decided.

Belongs here: the observed verdict as a value and as the text that is recorded. Pure. Not here: deciding (`decision.py`).

INVARIANT: an observed policy changes nothing. Its rules are in no set that decides: its Allow rules grant nothing, its Deny and
RequireApproval rules tighten nothing, it makes the gateway ask the cluster nothing, and a fault in it is only noted. What it would
say is the verdict of the enforced set with its rules in place of those of its `base`, or, without a base, in addition.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from pratique.policy.needs import Needs
from pratique.policy.patterns import Globs
from pratique.policy.request import PolicyRequest
from pratique.verdict import Verdict

UNKNOWN = "Unknown"
"""Where the cluster would have to be asked: for a verdict that decides nothing, it is not."""


class Observed(NamedTuple):
    """What policy `policy` would have made of a request: an Action, or UNKNOWN."""

    policy: str
    action: str
    rules: tuple[str, ...] = ()

    def __str__(self) -> str:
        return " ".join([self.policy, self.action, *self.rules])

    @classmethod
    def parse(cls, text: str) -> Observed:
        """Of what `str` made."""
        policy, _, rest = text.partition(" ")
        action, *rules = rest.split(" ")
        return cls(policy, action, tuple(rules))


class Set(Protocol):
    """What is used of a PolicySet."""

    def needs(self, request: PolicyRequest) -> Needs: ...
    def decide(self, request: PolicyRequest) -> Verdict: ...


class Observer(NamedTuple):
    """One observed policy: its set, and the clients that it or its base is about."""

    policy: str
    set: Set
    subjects: tuple[Globs, ...]

    def concerns(self, client: str) -> bool:
        """Whether its verdict says anything about this client."""
        return any(globs.match(client) for globs in self.subjects)

    def see(self, request: PolicyRequest) -> Observed:
        """Never raises: a fault is UNKNOWN."""
        try:
            if any(self.set.needs(request)):
                return Observed(self.policy, UNKNOWN)
            verdict = self.set.decide(request)
        except Exception:  # noqa: BLE001 - whatever it is, the enforced verdict must not suffer from it
            return Observed(self.policy, UNKNOWN)
        return Observed(self.policy, verdict.action.value, verdict.rules)
