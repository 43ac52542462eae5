"""One rule against one request: does it match, and if not, at which field.

Belongs here: `CompiledRule`, the checks in order, the direction in which each errs. Not here: which rules are asked
and what follows from the answer (`decision.py`), keeping answers (`index.py`), CEL (`conditions.py`).

The checks are in parts. `static_mismatch` looks at client, verbs, groups and resources only, so its answer may be kept
for the next request with the same ones; `request_mismatch` looks at the rest of the request; `found_mismatch` at what
the cluster may have to be asked for.
"""

from __future__ import annotations

from pratique.errors import Position
from pratique.policy import escalation
from pratique.policy.conditions import Condition
from pratique.policy.demands import Demand, Demands
from pratique.policy.escalation import Escalation
from pratique.policy.facts import Facts
from pratique.policy.needs import NOTHING, Needs
from pratique.policy.patterns import ANY, Globs, matches, matches_argv
from pratique.policy.powers import UNKNOWN, Template
from pratique.policy.request import ABSENT, PolicyRequest
from pratique.policy.rules import Rule
from pratique.verdict import Action, ApprovalTerms


class Resources:
    """`resources:` of a rule as sets; `named` are those that are written out in full."""

    __slots__ = ("everything", "named", "plain", "subresources")

    def __init__(self, resources: tuple[str, ...], *, allow: bool) -> None:
        split = [resource.partition("/") for resource in resources]
        self.named = frozenset(name for name in resources if ANY not in name)
        self.plain = ANY in resources or "*/*" in resources
        self.everything = "*/*" in resources or (ANY in resources and not allow)
        self.subresources = frozenset((resource, sub) for resource, slash, sub in split if slash)

    def match(self, resource: str, subresource: str) -> bool:
        if not subresource:
            return self.plain or resource in self.named
        if self.everything:
            return True
        pairs = ((resource, subresource), (ANY, subresource), (resource, ANY))
        return any(pair in self.subresources for pair in pairs)


class CompiledRule:
    """A rule of a policy, ready to be asked. `id` is `POLICY/RULE`."""

    def __init__(
        self, policy: str, subjects: Globs, rule: Rule, conditions: tuple[Condition, ...], position: Position
    ) -> None:
        self.id = f"{policy}/{rule.name}"
        self.policy = policy
        self.rule = rule
        self.action = rule.action
        self.allow = rule.action is Action.ALLOW
        self.position = position
        self.conditions = conditions
        self.terms = self._terms()
        self.verbs = Globs(rule.verbs)
        self.resources = Resources(rule.resources, allow=self.allow)
        self._subjects = subjects
        self.subjects = (*sorted(subjects.exact), *subjects.patterns)
        self._groups = Globs(rule.api_groups)
        self.namespaces = None if rule.namespaces is None or ANY in rule.namespaces else Globs(rule.namespaces)
        self.is_static = self._is_static()
        self._reads_object = self._reads_result()
        self._reads_old_object = any(condition.reads_old_object for condition in conditions)
        self.asks = rule.namespace_selector is not None or self._reads_object or self._reads_old_object
        self._names = Globs(rule.resource_names) if rule.resource_names is not None else None

    def _terms(self) -> ApprovalTerms | None:
        if self.action is not Action.REQUIRE_APPROVAL:
            return None
        return self.rule.approval.terms() if self.rule.approval else ApprovalTerms()

    def _is_static(self) -> bool:
        """Whether client, verb, group, resource and namespace are all that it looks at."""
        rule = self.rule
        others = (rule.namespace_selector, rule.resource_names, rule.exec, rule.ports, rule.dry_run, rule.pod_powers)
        return all(each is None for each in (*others, rule.images, rule.images_outside)) and not (
            rule.escalations or rule.conditions
        )

    def _reads_result(self) -> bool:
        """Whether the object that a patch makes would change what this rule says."""
        rule = self.rule
        looks = rule.pod_powers is not None or rule.images is not None or rule.images_outside is not None
        return looks or any(condition.reads_object or condition.reads_template for condition in self.conditions)

    def needs(self, request: PolicyRequest) -> Needs:
        """What the cluster has to be asked before this rule can be, and was not asked yet."""
        if not self.asks:
            return NOTHING
        selects = self.rule.namespace_selector is not None
        return Needs(
            old_object=self._reads_old_object and request.old_object is ABSENT and request.acts_on_object,
            result=self._reads_object and request.result is None and bool(request.patch_type),
            namespace_labels=selects and bool(request.namespace) and request.labels_of_namespace is None,
        )

    def _demand(self, demand: Demand) -> str:
        if not self.verbs.match(demand.verb):
            return f"verb `{demand.verb}`"
        if not any(map(self._groups.match, demand.groups)):
            return f"apiGroup `{demand.groups[0]}`"
        if not self.resources.match(demand.resource, demand.subresource):
            return f"resource `{_name(demand)}`"
        return ""

    def _covers(self, demand: Demand) -> bool:
        """Whether this rule permits the demand: the escalation class must be named."""
        if self._demand(demand):
            return False
        return _name(demand) in self.resources.named or not escalation.by_resource(demand)

    def covered(self, demands: Demands) -> frozenset[Demand]:
        """The required demands that this rule permits. A Deny rule permits none."""
        if self.action is Action.DENY:
            return frozenset()
        return frozenset(demand for demand in demands.required if self._covers(demand))

    def static_mismatch(self, request: PolicyRequest, demands: Demands) -> str:
        """The first of client, verb, group and resource that does not match; "" if all do."""
        if not self._subjects.match(request.client):
            return f"client `{request.client}` is not a subject of policy `{self.policy}`"
        if not request.attributes.is_resource_request:
            return self._url_mismatch(request)
        if not self.rule.resources:
            return "rule is about nonResourceURLs, the request about a resource"
        asked = demands.required if self.allow else demands.strict
        mismatches = [self._demand(demand) for demand in asked]
        return f"{mismatches[0]} does not match" if all(mismatches) else ""

    def namespace_mismatch(self, namespace: str | None) -> str:
        """All namespaces at once: allowed only by `*`, denied by any. Cluster-scoped: in no namespace, so only `*`."""
        if self.namespaces is None:
            return ""
        if namespace is None:
            return "all namespaces does not match" if self.allow else ""
        if namespace and self.namespaces.match(namespace):
            return ""
        return f"namespace `{namespace}` does not match"

    def _url_mismatch(self, request: PolicyRequest) -> str:
        if not self.rule.non_resource_urls:
            return "rule is about resources, the request is not"
        if not self.verbs.match(request.attributes.verb):
            return f"verb `{request.attributes.verb}` does not match"
        if not any(matches(url, request.attributes.path) for url in self.rule.non_resource_urls):
            return f"path `{request.attributes.path}` does not match"
        return ""

    def request_mismatch(self, request: PolicyRequest, facts: Facts) -> str:
        """The first of the fields of the request itself that does not match; "" if all do."""
        rule = self.rule
        if self._names is not None and not self._reaches_name(self._names, request.name):
            return f"name `{request.name}` does not match" if request.name else "name is not known"
        if rule.dry_run is not None and rule.dry_run != request.rehearses:
            return f"dryRun is {str(request.rehearses).lower()}"
        if rule.exec is not None and (reason := self._exec_mismatch(request)):
            return reason
        if rule.ports is not None and not self._reaches_ports(frozenset(rule.ports), request.ports):
            return f"ports {list(request.ports)} do not match" if request.ports else "ports are not known"
        return self._escalation_mismatch(facts.escalations)

    def found_mismatch(self, request: PolicyRequest, facts: Facts) -> str:
        """The first of namespace labels, pod powers and images that does not match. Conditions are not asked."""
        rule = self.rule
        if rule.namespace_selector is not None and (reason := self._selector_mismatch(request)):
            return reason
        if rule.pod_powers is None and rule.images is None and rule.images_outside is None:
            return ""
        return self._content_mismatch(facts.template)

    def _selector_mismatch(self, request: PolicyRequest) -> str:
        """Cluster-scoped: no namespace, so no labels. Not known (all namespaces, or not asked): not for Allow."""
        selector, namespace = self.rule.namespace_selector, request.namespace
        labels = request.labels_of_namespace
        if namespace == "":
            return "request is in no namespace"
        if selector is None or labels is None:
            return "labels of the namespace are not known" if self.allow else ""
        return "" if selector.matches(labels) else f"labels of namespace `{namespace}` do not match"

    def _reaches_name(self, names: Globs, name: str | None) -> bool:
        if name is None:
            return not self.allow
        return names.match(name)

    def _reaches_ports(self, ports: frozenset[int | str], asked: tuple[int | str, ...] | None) -> bool:
        if asked is None:
            return not self.allow
        if not asked:  # each is asked about when its stream is opened; an approval must be had before the first
            return self.action is not Action.DENY
        return ports.issuperset(asked) if self.allow else not ports.isdisjoint(asked)

    def _exec_mismatch(self, request: PolicyRequest) -> str:
        wanted, asked = self.rule.exec, request.exec
        if wanted is None or asked is None:
            return "command is not known" if self.allow else ""
        if wanted.commands is not None:
            if asked.command is None and self.allow:
                return "command is not known"
            if asked.command is not None and not any(matches_argv(each, asked.command) for each in wanted.commands):
                return f"command {list(asked.command)} does not match"
        for name, want, has in (("stdin", wanted.stdin, asked.stdin), ("tty", wanted.tty, asked.tty)):
            if (has and not want) if self.allow else (want is not None and has != want):
                return f"{name} is {str(has).lower()}"
        return ""

    def _content_mismatch(self, template: Template) -> str:
        rule = self.rule
        if not self._reaches_powers(template):
            shown = ", ".join(sorted(template.powers)) or "none"
            return f"pod powers ({shown}) do not match"
        if rule.images is not None:
            outside = [
                image for image in sorted(template.images) if not any(matches(glob, image) for glob in rule.images)
            ]
            if outside or template.unknown:
                return f"image `{outside[0]}` does not match" if outside else "images are not known"
        if (
            rule.images_outside is not None
            and not template.unknown
            and not self._outside(rule.images_outside, template)
        ):
            return "no image is outside of the list"
        return ""

    def _escalation_mismatch(self, escalations: frozenset[Escalation]) -> str:
        """As with powers: Allow has no others than the rule lists, other rules any (with none listed: do not mind)."""
        listed = self.rule.escalations
        if self.allow and not escalations.issubset(listed):
            return f"escalation `{min(escalations.difference(listed))}` is not listed in the rule"
        if not self.allow and listed and escalations.isdisjoint(listed):
            return "request is none of the escalations that the rule lists"
        return ""

    def is_sure(self, request: PolicyRequest, facts: Facts) -> bool:
        """Whether a RequireApproval rule that matches does so by what is known, and not because something is unknown.

        INVARIANT: what is unknown asks for an approval, and permits nothing: a reviewer of namespace `a` is not asked
        to let a request to all namespaces pass.
        """
        rule = self.rule
        if self.namespaces is not None and request.namespace is None:
            return False
        if self.is_static:
            return True
        if rule.namespace_selector is not None and request.labels_of_namespace is None:
            return False
        if self._names is not None and request.name is None:
            return False
        if rule.exec is not None and (request.exec is None or (rule.exec.commands and request.exec.command is None)):
            return False
        if rule.ports is not None and (request.ports is None or not set(rule.ports).issuperset(request.ports)):
            return False
        reads_template = rule.images_outside is not None or (
            rule.pod_powers is not None and UNKNOWN not in rule.pod_powers
        )
        return not (reads_template and facts.template.unknown)

    def permits(self, escalations: frozenset[Escalation]) -> bool:
        """Whether this rule may let a request of these escalations pass, now or after an approval."""
        return self.action is not Action.DENY and escalations.issubset(self.rule.escalations)

    def _reaches_powers(self, template: Template) -> bool:
        powers = self.rule.pod_powers
        if powers is None:
            return True
        return (
            template.powers <= set(powers) if self.allow else template.unknown or not template.powers.isdisjoint(powers)
        )

    @staticmethod
    def _outside(globs: tuple[str, ...], template: Template) -> bool:
        return any(not any(matches(glob, image) for glob in globs) for image in template.images)


def _name(demand: Demand) -> str:
    return f"{demand.resource}/{demand.subresource}" if demand.subresource else demand.resource
