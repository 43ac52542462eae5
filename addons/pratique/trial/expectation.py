"""What a trial is expected to show, as a file that is read in review. `kind: PolicyExpectation`.

Belongs here: the format, and what does not meet it. Pure. Not here: the trial, files.

::

    apiVersion: pratique/v1
    kind: PolicyExpectation
    metadata: {name: no-exec}
    spec:
      outcomes:                         # of all requests; what is not named may be any number
        Unknown: 0
        Allow: {atLeast: 100}
      changes:                          # with --against; what is not named must not happen
        newlyDenied: 2
        otherRules: {atLeast: 0}
      requests:                         # each of these must be there, and end so
        - {client: mcp-1, verb: create, resource: pods/exec, namespace: shop, action: Deny, rules: [mcp/no-exec]}
        - {client: "*", verb: list, resource: pods, action: Allow, count: {atLeast: 1}}

`resource` as in `pods/exec` and `deployments.apps`; `client`, `verb`, `resource`, `namespace`, `name` and `path` are globs, left out
they stand for any. Every request that is meant must end as `action` says, by just the `rules` where they are given; `count` is
how many there are, at least one unless it says so. Where `changes` stands, a kind of change that it does not name is expected not to happen;
`maybeVisible`, `notKnown`, `otherRules` and `newlyMasked` are let pass unless they are named.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

import msgspec

from pratique.documents import parse
from pratique.errors import DocumentError, DocumentErrors, Position
from pratique.policy.patterns import matches
from pratique.trial.judging import Judgement, Outcome
from pratique.trial.tally import Change, Tally
from pratique.trial.visibility import Sight

KIND = "PolicyExpectation"
ANY = "*"

_LET_PASS = frozenset({Change.NOT_KNOWN, Change.RULES, Sight.MAY_BE_VISIBLE, Sight.HIDDEN})
_ALL_CHANGES = (*Change, *Sight)

Number = Annotated[int, msgspec.Meta(ge=0)]


class Bounds(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A number of requests, both ends included."""

    at_least: Number = 0
    at_most: Number | None = None

    def problem(self, count: int) -> str:
        """What is wrong with `count`; empty if nothing is."""
        if count < self.at_least:
            return f"expected at least {self.at_least}"
        if self.at_most is not None and count > self.at_most:
            return f"expected at most {self.at_most}"
        return ""


type Count = Number | Bounds
type OutcomeName = Literal["Allow", "RequireApproval", "Deny", "Refused", "Unknown"]
type ChangeName = Literal[
    "newlyDenied", "newlyQueued", "newlyAllowed", "otherTerms", "notKnown", "otherRules", "newlyVisible", "maybeVisible",
    "newlyMasked",
]  # fmt: skip


class NamedRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Requests that must end in one way."""

    action: OutcomeName
    client: str = ANY
    verb: str = ANY
    resource: str = ANY
    namespace: str = ANY
    name: str = ANY
    path: str = ANY
    rules: tuple[str, ...] | None = None
    count: Count = Bounds(at_least=1)
    why: str = ""

    def means(self, found: Judgement) -> bool:
        """Whether it is one of these requests."""
        asked = found.asked
        pairs = (
            (self.client, found.client),
            (self.verb, asked.verb),
            (self.resource, asked.resource),
            (self.namespace, asked.namespace),
            (self.name, asked.name),
            (self.path, asked.path),
        )
        return all(glob == ANY or matches(glob, text) for glob, text in pairs)

    def met_by(self, found: Judgement) -> bool:
        """Whether such a request ends as it must."""
        by = self.rules is None or sorted(self.rules) == list(found.rules)
        return found.outcome == self.action and by

    @property
    def words(self) -> str:
        """For the report."""
        globs = {name: getattr(self, name) for name in ("client", "verb", "resource", "namespace", "name", "path")}
        said = " ".join(f"{name}={glob}" for name, glob in globs.items() if glob != ANY)
        return f"{said or 'any request'} → {self.action}"


class ExpectationSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`spec:`."""

    outcomes: dict[OutcomeName, Count] = {}
    changes: dict[ChangeName, Count] | None = None
    requests: tuple[NamedRequest, ...] = ()
    description: str = ""


def parse_expectation(text: str, file: str) -> ExpectationSpec:
    """The one expectation of a file. DocumentErrors."""
    found = parse(text, file, kinds={KIND})
    if len(found) != 1:
        raise DocumentErrors([DocumentError(Position(file), f"file holds {len(found)} expectations", "Write one")])
    return found[0].convert(("spec",), ExpectationSpec)


def unmet(spec: ExpectationSpec, tally: Tally, *, against: bool) -> Iterator[str]:
    """What is not as expected, one line each."""
    for name, count in spec.outcomes.items():
        yield from _unmet(name, count, tally.of_outcome(Outcome(name)))
    if spec.changes is not None and not against:
        yield "`changes` are expected, but there is nothing to compare with. Name the old folder with --against"
    elif spec.changes is not None:
        for change in _ALL_CHANGES:
            known = tally.of_change(change) if isinstance(change, Change) else tally.of_sight(change)
            expected = spec.changes.get(change.value)
            if expected is not None or change not in _LET_PASS:
                yield from _unmet(change, expected or 0, known)
    for index, request in enumerate(spec.requests):
        yield from _unmet_request(request, index, tally)


def _unmet(what: str, expected: Count, found: int) -> Iterator[str]:
    bounds = Bounds(expected, expected) if isinstance(expected, int) else expected
    if problem := bounds.problem(found):
        said = f"expected {expected}" if isinstance(expected, int) else problem
        yield f"{what}: {said}, found {found}"


def _unmet_request(request: NamedRequest, index: int, tally: Tally) -> Iterator[str]:
    met, missed = tally.named.get(index), tally.missed.get(index)
    found = (met.count if met else 0) + (missed.count if missed else 0)
    yield from _unmet(request.words, request.count, found)
    if missed:
        first = missed.examples[0] if missed.examples else None
        where = f", such as `{first.words}` ({first.place}): {first.why or 'Allow'}" if first else ""
        yield f"{request.words}: {missed.count} of {found} end otherwise{where}"
