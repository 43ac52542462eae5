"""The core of `pratique explain`: one request, each rule that was considered, the verdict; as data.

Belongs here: what is explained. Not here: parsing a curl or kubectl line, printing (`pratique.cli`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pratique.policy import escalation
from pratique.policy.decision import PolicySet, RuleTrace
from pratique.policy.demands import demands_of
from pratique.policy.observing import Observed
from pratique.policy.powers import template_of
from pratique.policy.request import PolicyRequest
from pratique.verdict import Verdict


@dataclass(frozen=True, slots=True)
class Explanation:
    """`required` and `strict` are the demands of the request (`demands.py`) as `verb resource.group`."""

    client: str
    required: tuple[str, ...]
    strict: tuple[str, ...]
    escalations: tuple[str, ...]
    powers: tuple[str, ...]
    images: tuple[str, ...]
    needs: tuple[str, ...]
    rules: tuple[RuleTrace, ...]
    verdict: Verdict
    observed: tuple[Observed, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For `--output json`; keys in camelCase, as everywhere in Kubernetes."""
        return {
            "client": self.client,
            "required": list(self.required),
            "strict": list(self.strict),
            "escalations": list(self.escalations),
            "podPowers": list(self.powers),
            "images": list(self.images),
            "needs": list(self.needs),
            "rules": [_trace_json(trace) for trace in self.rules],
            "verdict": _verdict_json(self.verdict),
            "observed": [
                {"policy": one.policy, "action": one.action, "rules": list(one.rules)} for one in self.observed
            ],
        }


def explain(policies: PolicySet, request: PolicyRequest) -> Explanation:
    """Why `policies.decide(request)` says what it says."""
    asked = request.attributes.is_resource_request
    demands = demands_of(request) if asked else None
    required = demands.required if demands else ()
    classes = set(escalation.by_content(request))
    shown = [f"resource:{demand}" for demand in required if escalation.by_resource(demand)]
    template = template_of(request)
    return Explanation(
        client=request.client,
        required=tuple(map(str, required)),
        strict=tuple(map(str, demands.strict)) if demands else (),
        escalations=(*sorted(classes), *shown),
        powers=tuple(sorted(template.powers)),
        images=tuple(sorted(template.images)),
        needs=policies.needs(request).names,
        rules=tuple(policies.explain(request)),
        verdict=policies.decide(request),
        observed=policies.observe(request),
    )


def _trace_json(trace: RuleTrace) -> dict[str, Any]:
    return {
        "rule": trace.rule,
        "action": trace.action,
        "matched": trace.matched,
        "reason": trace.reason,
        "error": trace.error,
        "position": str(trace.position),
    }


def _verdict_json(verdict: Verdict) -> dict[str, Any]:
    terms = verdict.terms
    return {
        "action": verdict.action.value,
        "rules": list(verdict.rules),
        "errors": list(verdict.errors),
        "message": verdict.message,
        "approval": {
            "reviewers": list(terms.reviewers),
            "quorum": terms.quorum,
            "expiresAfterSeconds": terms.expires_after,
            "grant": terms.grant,
        }
        if terms
        else None,
    }
