"""`kind: Policy` as Structs, and what a rule may not say.

Belongs here: the fields of a policy document and their checks. Not here: matching (`matching.py`), CEL
(`conditions.py`).

Fields of a rule, and in which direction each of them errs when the request does not tell (unknown name, namespace,
template): an Allow rule then does not match, a Deny or RequireApproval rule does.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError
from pratique.policy.demands import NON_RESOURCE_VERBS, RESOURCE_VERBS
from pratique.policy.escalation import Escalation
from pratique.policy.labels import LabelSelector
from pratique.policy.patterns import ANY, REST
from pratique.policy.powers import Power
from pratique.verdict import Action, ApprovalTerms

OBSERVE = "Observe"
MAX_EXPIRY = 30 * 24 * 3600.0  # seconds; an approval that is open for longer is a standing permission: write a rule

_DURATION = re.compile(r"(?:(\d{1,4})h)?(?:(\d{1,5})m)?(?:(\d{1,6})s)?\Z")
RESOURCE_NAME = re.compile(r"(?:\*|[a-z0-9][a-z0-9.-]*)(?:/(?:\*|[a-z0-9][a-z0-9-]*))?\Z")
_RULE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,61}[a-z0-9])?\Z")

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]

_PROXIES = frozenset({"pods/proxy", "services/proxy", "nodes/proxy"})
_PORTED = frozenset({"pods/portforward", *_PROXIES})


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """Base: immutable, camelCase, no unknown fields."""


class ExecMatch(_Spec, frozen=True):
    """`exec:` of a rule, on pods/exec and pods/attach.

    `commands` are argument lists, one glob per argument, a trailing `**` for the rest; None: any command. An Allow rule
    allows stdin and tty only when it says so; a Deny or RequireApproval rule minds them only when it says so. The
    command of an attach is not known.
    """

    commands: tuple[tuple[str, ...], ...] | None = None
    stdin: bool | None = None
    tty: bool | None = None


class Condition(_Spec, frozen=True):
    """A CEL expression of type bool. All of a rule must be true, in order; the first false one ends it."""

    name: Text
    expression: Annotated[str, msgspec.Meta(min_length=1, max_length=16384)]


class Approval(_Spec, frozen=True):
    """`approval:`. `reviewers` are globs over Reviewer names; `expiresAfter` as in Go, units h, m and s.

    `grant` is the widest that a reviewer may give, not what one gives: an approval is for one use unless they say more.
    """

    reviewers: tuple[Text, ...] = ()
    quorum: Annotated[int, msgspec.Meta(ge=1, le=10)] = 1
    expires_after: str = "1h"
    grant: Literal["once", "session", "duration"] = "duration"

    def terms(self) -> ApprovalTerms:
        """Raises ValueError if `expiresAfter` is not a duration of 1 s to 30 days."""
        return ApprovalTerms(self.reviewers, self.quorum, seconds(self.expires_after), self.grant)


class Rule(_Spec, frozen=True):
    """One rule. Either `resources` (with `apiGroups`) or `nonResourceURLs`; a list left out means any.

    `resources`: `pods`, `pods/exec`, `pods/*`, `*/scale`; in an Allow rule `*` is every resource without its
    subresources and `*/*` with them (admissionregistration.k8s.io/v1 `Rule`), in other rules `*` is both.
    `podPowers`: an Allow rule matches when the pod template has no other powers than these; others, when it has any.
    `images`: for Allow rules, every image matches a glob. `imagesOutside`: for others, some image matches none.
    `resourceNames` of a proxy are without scheme and port. `ports`: of a port-forward or proxy, numbers or (proxy) names;
    an Allow rule needs all of them listed, others any. `escalations`: `escalation.py`. `namespaceSelector`: on the labels
    of the namespace, which the gateway looks up; a request to all namespaces at once matches no Allow rule with one.
    """

    name: Text
    action: Action
    verbs: tuple[Text, ...]
    api_groups: tuple[str, ...] = ("",)
    resources: tuple[Text, ...] = ()
    namespaces: tuple[str, ...] | None = None
    namespace_selector: LabelSelector | None = None
    resource_names: tuple[Text, ...] | None = None
    non_resource_urls: tuple[Text, ...] = msgspec.field(default=(), name="nonResourceURLs")
    exec: ExecMatch | None = None
    ports: tuple[Port | Text, ...] | None = None
    dry_run: bool | None = None
    pod_powers: tuple[Power, ...] | None = None
    images: tuple[Text, ...] | None = None
    images_outside: tuple[Text, ...] | None = None
    escalations: tuple[Escalation, ...] = ()
    conditions: tuple[Condition, ...] = ()
    message: str = ""
    approval: Approval | None = None


class PolicySpec(_Spec, frozen=True):
    """`spec:` of a Policy. `subjects` are globs over Client names.

    `mode: Observe`: its verdict is recorded and decides nothing. `base`: the enforced policy in whose place it is thought;
    without one it is thought beside all others (`observing.py`).
    """

    rules: tuple[Rule, ...]
    subjects: tuple[Text, ...] = (ANY,)
    description: str = ""
    mode: Literal["Enforce", "Observe"] = "Enforce"
    base: str = ""


def seconds(duration: str) -> float:
    """`1h30m`, `45s` in seconds. Raises ValueError."""
    match = _DURATION.match(duration)
    if not duration or match is None:
        raise ValueError(f"`{duration}` is not a duration")
    hours, minutes, rest = (int(part or 0) for part in match.groups())
    total = float(hours * 3600 + minutes * 60 + rest)
    if not 1 <= total <= MAX_EXPIRY:
        raise ValueError(f"`{duration}` is not between 1s and {MAX_EXPIRY / 3600:.0f}h")
    return total


def check_rules(document: Document, spec: PolicySpec) -> list[DocumentError]:
    """What the types do not say: every error of every rule, at its place."""
    errors: list[DocumentError] = []
    seen: set[str] = set()
    if not spec.rules:
        errors.append(document.error(("spec", "rules"), "policy has no rules", "Write one; nothing matching is Deny"))
    if not spec.subjects:
        errors.append(
            document.error(("spec", "subjects"), "policy has no subjects", "Remove `subjects:` or name clients")
        )
    if spec.base and spec.mode != OBSERVE:
        message = "`base` goes with `mode: Observe`"
        errors.append(document.error(("spec", "base"), message, "Write `mode: Observe`, or remove `base:`"))
    for index, rule in enumerate(spec.rules):
        checker = _Checker(document, ("spec", "rules", index), rule)
        if rule.name in seen:
            checker.refuse("name", f"rule `{rule.name}` stands twice", "Rename one of them")
        seen.add(rule.name)
        errors += checker.check()
    return errors


class _Checker:
    def __init__(self, document: Document, path: tuple[str | int, ...], rule: Rule) -> None:
        self._document = document
        self._path = path
        self._rule = rule
        self._errors: list[DocumentError] = []

    def refuse(self, field: str, message: str, remedy: str, *below: str | int) -> None:
        self._errors.append(DocumentError(self._document.value_position(*self._path, field, *below), message, remedy))

    def check(self) -> list[DocumentError]:
        if not _RULE_NAME.match(self._rule.name):
            self.refuse("name", f"rule name `{self._rule.name}` is not a DNS-1123 name", "Use a-z, 0-9, `-` and `.`")
        self._empty_lists()
        self._verbs()
        self._resources()
        if self._rule.namespace_selector is not None:
            for message, remedy in self._rule.namespace_selector.problems():
                self.refuse("namespaceSelector", message, remedy)
        self._action()
        self._exec()
        self._ports()
        return self._errors

    def _empty_lists(self) -> None:
        rule = self._rule
        lists = {
            "verbs": rule.verbs,
            "apiGroups": rule.api_groups,
            "namespaces": rule.namespaces,
            "resourceNames": rule.resource_names,
            "ports": rule.ports,
            "images": rule.images,
            "imagesOutside": rule.images_outside,
        }
        for name, values in lists.items():
            if values is not None and not values:
                self.refuse(name, f"`{name}` is empty and would match nothing", "Fill it, or leave it out for any")

    def _verbs(self) -> None:
        known = NON_RESOURCE_VERBS if self._rule.non_resource_urls else RESOURCE_VERBS
        for index, verb in enumerate(self._rule.verbs):
            if verb != ANY and verb not in known:
                listed = ", ".join(f"`{each}`" for each in sorted(known))
                self.refuse("verbs", f"verb `{verb}` is not known", f"Known are {listed} and `*`", index)

    def _resources(self) -> None:
        rule = self._rule
        if bool(rule.resources) == bool(rule.non_resource_urls):
            self._errors.append(
                self._document.error(
                    self._path, "rule needs either `resources` or `nonResourceURLs`", "Write one of them, not both"
                )
            )
        for index, resource in enumerate(rule.resources):
            if not RESOURCE_NAME.match(resource):
                self.refuse(
                    "resources",
                    f"resource `{resource}` is not a plural name",
                    "Write `pods`, `pods/exec`, `pods/*`, `*/scale`, `*` or `*/*`, in lower case",
                    index,
                )
        for index, url in enumerate(rule.non_resource_urls):
            if not url.startswith(("/", ANY)) or ANY in url[:-1]:
                message = f"URL `{url}` does not start with `/`, or has `*` before its end"
                self.refuse("nonResourceURLs", message, "Write `/version` or `/apis/*`", index)
        if rule.non_resource_urls:
            self._no_resource_fields()

    def _no_resource_fields(self) -> None:
        rule = self._rule
        given = {
            "namespaces": rule.namespaces,
            "namespaceSelector": rule.namespace_selector,
            "resourceNames": rule.resource_names,
            "exec": rule.exec,
            "ports": rule.ports,
            "dryRun": rule.dry_run,
            "podPowers": rule.pod_powers,
            "images": rule.images,
            "imagesOutside": rule.images_outside,
            "escalations": rule.escalations or None,
        }
        for name, value in given.items():
            if value is not None:
                self.refuse(name, f"`{name}` does not go with `nonResourceURLs`", "Put it in a rule with `resources`")

    def _action(self) -> None:
        rule = self._rule
        if rule.approval is not None:
            self._approval(rule.approval)
        if rule.action is Action.ALLOW and rule.images_outside is not None:
            self.refuse("imagesOutside", "`imagesOutside` does not go with Allow", "Write `images`")
        if rule.action is not Action.ALLOW and rule.images is not None:
            self.refuse("images", f"`images` does not go with {rule.action}", "Write `imagesOutside`")
        if rule.action is Action.DENY and rule.escalations:
            self.refuse(
                "escalations", "`escalations` does not go with Deny", "Leave it out: they are denied unless allowed"
            )
        if rule.action is not Action.ALLOW and rule.pod_powers == ():
            self.refuse("podPowers", "`podPowers` is empty and would match nothing", "Name the powers")

    def _approval(self, approval: Approval) -> None:
        if self._rule.action is not Action.REQUIRE_APPROVAL:
            self.refuse(
                "approval", f"`approval` does not go with {self._rule.action}", "Write `action: RequireApproval`"
            )
        try:
            approval.terms()
        except ValueError as error:
            self.refuse("approval", f"expiresAfter {error}", "Write for example `30m` or `1h`", "expiresAfter")

    def _exec(self) -> None:
        rule = self._rule
        wrong = [name for name in rule.resources if name not in {"pods/exec", "pods/attach"}]
        if rule.exec is not None and wrong:
            self.refuse(
                "exec", f"`exec` does not go with resource `{wrong[0]}`", "It goes with pods/exec and pods/attach"
            )
        for index, command in enumerate((rule.exec and rule.exec.commands) or ()):
            if not command or REST in command[:-1]:
                message = "command is empty, or has `**` before its end"
                self.refuse("exec", message, "Write one glob per argument, `**` last for the rest", "commands", index)

    def _ports(self) -> None:
        rule = self._rule
        if rule.ports is not None and not _PORTED.issuperset(rule.resources):
            message = "`ports` goes with pods/portforward and the proxies of pods, services and nodes only"
            self.refuse("ports", message, "Put it in a rule of its own")
        for index, port in enumerate(rule.ports or ()):
            if isinstance(port, str) and (port.isdigit() or not _PROXIES.issuperset(rule.resources)):
                self.refuse("ports", f"port `{port}` is a text", "Write the number; only proxies know names", index)
        for index, name in enumerate(rule.resource_names or ()):
            if ":" in name and rule.resources and _PROXIES.issuperset(rule.resources):
                message = f"name `{name}` of a proxy holds a scheme or a port"
                self.refuse("resourceNames", message, "Write the name alone, and the port under `ports`", index)
