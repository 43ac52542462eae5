"""The real engine, asked about recorded requests.

Belongs here: `Engine`, and which verdicts a recording cannot tell. Pure. Not here: what the rules are (`pratique.policy`), counting
(`tally`), files.

The engine is asked exactly as the gateway asks it. Where it would have asked the cluster (the live object, the result of a
patch, the labels of a namespace) or looked at what the recording has lost, the outcome is Unknown, and says why: a verdict that is
a guess would be worse than none. The result of a patch is taken from the recorded answer, where that is the whole object.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, NamedTuple

from pratique.documents import Document
from pratique.errors import Refused
from pratique.identity.clients import Clients
from pratique.kube.canonical import CanonicalRequest, canonicalise, headers_only
from pratique.masking.mask import carries
from pratique.masking.rules import MaskSet, compile_masks
from pratique.policy import escalation
from pratique.policy.decision import PolicySet, compile_policies
from pratique.policy.outcome import MASKED_VALUES_RULE
from pratique.policy.possible import possible
from pratique.policy.request import PolicyRequest
from pratique.trial.audit_event import is_object
from pratique.trial.recorded import REFUSED, Answer, RecordedRequest, headers_of
from pratique.verdict import Action, ApprovalTerms, Verdict

DEFAULT_CLIENT = "demo"
MEMO_ENTRIES = 16_384
"""Requests that are remembered: agents repeat themselves. Then all are forgotten; some 50 MB at most."""
MEMO_BODY = 2048
"""Bytes of a body that is worth remembering."""
_SHAPING = (b"content-type", b"upgrade", b"connection", b"sec-websocket-protocol", b"x-stream-protocol-version")


class Outcome(StrEnum):
    """What becomes of a request. The first three are actions of policies."""

    ALLOW = "Allow"
    REQUIRE_APPROVAL = "RequireApproval"
    DENY = "Deny"
    REFUSED = "Refused"  # before any policy: malformed, or no client
    UNKNOWN = "Unknown"  # the recording does not hold what a rule looks at


class Asked(NamedTuple):
    """What was asked for, in the words of the policy. `resource` is `pods/exec`, `deployments.apps`, "" for none."""

    verb: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def words(self) -> str:
        """`get pods/log web -n shop`, or verb and path."""
        if not self.resource:
            return f"{self.verb} {self.path}".strip()
        where = f" -n {self.namespace}" if self.namespace and self.resource != "namespaces" else ""
        return " ".join(word for word in (self.verb, self.resource, self.name) if word) + where


class Judgement(NamedTuple):
    """`rules` decided (or, Unknown, could decide); `why` is for people. `request` is None where none could be read."""

    outcome: Outcome
    rules: tuple[str, ...]
    why: str
    client: str
    asked: Asked
    terms: ApprovalTerms | None = None
    request: PolicyRequest | None = None
    canonical: CanonicalRequest | None = None


@dataclass(frozen=True, slots=True)
class As:
    """As which client requests count that name none, or a user of a cluster (`force`: every request)."""

    client: str = ""
    force: bool = False

    def name(self, recorded: str) -> str:
        """The client that is judged."""
        if self.force or not recorded:
            return self.client or DEFAULT_CLIENT
        return recorded


class Engine:
    """One set of documents. Does not change, but for what it remembers."""

    def __init__(self, policies: PolicySet, masks: MaskSet, clients: Clients, asks: As | None = None) -> None:
        self.policies = policies
        self.masks = masks
        self._clients = clients
        self._as = asks or As()
        self._memo: dict[tuple[Any, ...], Judgement] = {}

    @classmethod
    def of(cls, documents: list[Document], asks: As | None = None) -> Engine:
        """Raises DocumentErrors."""
        return cls(compile_policies(documents), compile_masks(documents), Clients.from_documents(documents), asks)

    def judge(self, recorded: RecordedRequest) -> Judgement:
        """Never raises for a request."""
        raw = recorded.raw
        client = self._as.name(recorded.client)
        if recorded.result is not None or len(raw.body) > MEMO_BODY or raw.method == b"PATCH":
            return self._judge(recorded, client)
        shape = headers_of(raw, _SHAPING)
        key = (client, raw.method, raw.target, raw.body, shape, recorded.verdict, recorded.rules, recorded.lost)
        found = self._memo.get(key)
        if found is None:
            if len(self._memo) >= MEMO_ENTRIES:
                self._memo.clear()
            found = self._memo[key] = self._judge(recorded, client)
        return found

    def _judge(self, recorded: RecordedRequest, client: str) -> Judgement:
        if recorded.verdict == REFUSED:
            return self._refused(recorded, client, "refused before any policy, when it was recorded")
        whole = "body" not in recorded.lost
        try:
            canonical = canonicalise(recorded.raw) if whole else headers_only(_without_body(recorded))
        except Refused as refusal:
            return self._unreadable(recorded, client, refusal.rule or refusal.message)
        request = PolicyRequest.from_canonical(client, canonical, self._clients.labels_of(client))
        if request.patch_type:
            request = replace(request, result=result_of(recorded))
        asked = asked_of(request)
        why = self._unknown(recorded, request)
        if why and (sure := self._whatever(recorded, request)):
            return Judgement(
                Outcome(sure.action), sure.rules, sure.message, client, asked, sure.terms, request, canonical
            )
        if why:
            rules = tuple(sorted(rule.id for rule in self.policies.candidates(request) if not rule.is_static))
            return Judgement(Outcome.UNKNOWN, rules, why, client, asked, None, request, canonical)
        verdict = _with_builtin(self.policies.decide(request), recorded)
        why = "" if verdict.action is Action.ALLOW else verdict.message
        outcome = Outcome(verdict.action)
        return Judgement(outcome, verdict.rules, why, client, asked, verdict.terms, request, canonical)

    def _unreadable(self, recorded: RecordedRequest, client: str, why: str) -> Judgement:
        """What was judged when it was recorded was readable then."""
        if recorded.verdict or recorded.lost:
            why = f"what the recording holds of the request cannot be read ({why})"
            return self._refused(recorded, client, why)._replace(outcome=Outcome.UNKNOWN)
        return self._refused(recorded, client, why)

    def _refused(self, recorded: RecordedRequest, client: str, why: str) -> Judgement:
        target = recorded.raw.target.partition(b"?")[0].decode("utf-8", "backslashreplace")
        asked = Asked(recorded.raw.method.decode("latin-1"), path=target)
        return Judgement(Outcome.REFUSED, (), why, client, asked)

    def _whatever(self, recorded: RecordedRequest, request: PolicyRequest) -> Verdict | None:
        """The verdict that it gets whatever the cluster says, by the rules that decide in any case; None: there is none.

        Of a request only that went through when it was recorded: else the cluster may not have answered, which denies it.
        """
        if recorded.lost or request.result is not None or not _went_through(recorded):
            return None
        found = possible(self.policies, request)
        if len({(verdict.action, bool(verdict.errors), verdict.terms) for verdict in found}) != 1 or found[0].errors:
            return None
        common = set(found[0].rules).intersection(*(verdict.rules for verdict in found))
        return replace(min(found, key=lambda verdict: verdict.rules), rules=tuple(sorted(common)))

    def _unknown(self, recorded: RecordedRequest, request: PolicyRequest) -> str:
        """Why the recording cannot tell; "" if it can. Errs towards Unknown."""
        if needed := self.policies.needs(request).names:
            return f"the cluster would be asked for {', '.join(needed)}, which the recording does not hold"
        if not recorded.lost and not (request.patch_type and request.result is not None):
            return ""
        rules = [rule for rule in self.policies.candidates(request) if not rule.is_static]
        if "body" in recorded.lost and (rules or escalation.is_checked(request.attributes)):
            return "a rule looks at the body, which was not recorded whole"
        if "target" in recorded.lost and rules:
            return "a rule looks at a part of the request that was scrubbed from the recording"
        if any(rule.conditions for rule in rules) and ("values" in recorded.lost or _masked_result(request)):
            return "a condition looks at the object, of which values are masked in the recording"
        return ""


def _went_through(recorded: RecordedRequest) -> bool:
    """Whether the gateway, or the cluster, had all that it needed to take the request."""
    if recorded.verdict:
        return recorded.verdict in {Action.ALLOW.value, Action.REQUIRE_APPROVAL.value}
    return recorded.answer is not None and 200 <= recorded.answer.status < 300


def _without_body(recorded: RecordedRequest) -> Any:
    raw = recorded.raw
    framing = {b"content-length", b"transfer-encoding"}
    return replace(raw, headers=tuple(pair for pair in raw.headers if pair[0].lower() not in framing), body=b"")


def _with_builtin(verdict: Verdict, recorded: RecordedRequest) -> Verdict:
    """The gateway asked a person for a reason of its own: it still would, where the policy allows."""
    if MASKED_VALUES_RULE not in recorded.rules or verdict.action is not Action.ALLOW:
        return verdict
    why = "masked values would be deleted"
    return replace(verdict, action=Action.REQUIRE_APPROVAL, rules=(MASKED_VALUES_RULE,), message=why)


def asked_of(request: PolicyRequest) -> Asked:
    """The words of a request."""
    attributes = request.attributes
    applies = attributes.verb == "patch" and request.patch_type == "apply-patch"
    verb = "apply" if applies else attributes.verb
    if not attributes.is_resource_request:
        return Asked(verb, path=attributes.path)
    sub = f"/{attributes.subresource}" if attributes.subresource else ""
    group = f".{attributes.api_group}" if attributes.api_group else ""
    return Asked(
        verb, attributes.resource + sub + group, attributes.namespace, request.name or "", path=attributes.path
    )


def result_of(recorded: RecordedRequest) -> Any:
    """The object that a patch made, of the recording; None where it is not there, or not whole."""
    return recorded.result if recorded.result is not None else object_of(recorded.answer)


def object_of(answer: Answer | None) -> Any:
    """The object in the answer to a successful write."""
    if answer is None or answer.status not in {200, 201} or not answer.body.startswith(b"{"):
        return None
    try:
        found = json.loads(answer.body)
    except ValueError:  # cut
        return None
    return found if is_object(found) else None


def _masked_result(request: PolicyRequest) -> bool:
    return request.result is not None and carries(json.dumps(request.result).encode())
