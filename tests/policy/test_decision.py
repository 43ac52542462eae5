"""The strictest rule wins, what cannot be told is denied, and `explain` agrees with `decide`."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest

from pratique.documents import parse
from pratique.errors import DocumentErrors
from pratique.policy.decision import compile_policies
from pratique.policy.demands import demands
from pratique.policy.explain import explain
from pratique.policy.index import MEMO_ENTRIES
from pratique.policy.matching import CompiledRule
from pratique.policy.patterns import Globs, matches, matches_argv
from pratique.policy.request import ExecOptions, PolicyRequest
from pratique.verdict import Action
from tests.kube.requests import canonical

A, R, D = Action.ALLOW, Action.REQUIRE_APPROVAL, Action.DENY


@dataclass(frozen=True)
class Info:
    verb: str = "get"
    resource: str = "pods"
    api_group: str = ""
    namespace: str = "dev"
    name: str = "web"
    subresource: str = ""
    is_resource_request: bool = True
    path: str = "/x"
    api_version: str = "v1"
    field_selector: str = ""
    label_selector: str = ""
    error: str | None = None


def ask(verb="get", resource="pods", *, client="mcp-1", info=None, **fields):
    resource, _, sub = resource.partition("/")
    name = "" if verb in {"list", "watch", "deletecollection"} or (verb == "create" and not sub) else "web"
    attributes = Info(verb="patch" if verb == "apply" else verb, resource=resource, subresource=sub, name=name)
    if verb == "apply":
        fields.setdefault("patch_type", "apply-patch")
    return PolicyRequest(client, replace(attributes, **(info or {})), **fields)


def policies(*rules, subjects="['*']"):
    text = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\nspec:\n"
    text += f"  subjects: {subjects}\n  rules:\n"
    for number, rule in enumerate(rules):
        text += f"  - {{name: r{number}, {rule}}}\n"
    return compile_policies(parse(text, "p.yaml"))


def agreed(compiled, request):
    """The verdict; the rules that `explain` says matched include those that decided."""
    verdict = compiled.decide(request)
    matched = {trace.rule for trace in compiled.explain(request) if trace.matched or trace.error}
    assert {rule for rule in verdict.rules if not rule.startswith("builtin/")} <= matched
    assert compiled.decide(request) == verdict
    return verdict


ALLOW_ALL = "verbs: ['*'], apiGroups: ['*'], resources: ['*/*'], action: Allow"


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        ([], D),
        (["verbs: [get], resources: [pods], action: Allow"], A),
        (
            [
                "verbs: [get], resources: [pods], action: Allow",
                "verbs: [get], resources: [pods], action: RequireApproval",
            ],
            R,
        ),
        (
            [
                "verbs: [get], resources: [pods], action: RequireApproval",
                "verbs: [get], resources: [pods], action: Deny",
                ALLOW_ALL,
            ],
            D,
        ),
    ],
)
def test_the_strictest_matching_rule_wins_whatever_the_order(rules, expected):
    if rules:
        assert agreed(policies(*rules), ask()).action is expected
        assert agreed(policies(*reversed(rules)), ask()).action is expected
    else:
        assert compile_policies([]).decide(ask()).action is expected


# (verbs of an Allow rule, request verb, resource, action)
@pytest.mark.parametrize(
    ("verbs", "verb", "resource", "expected"),
    [
        ("[patch]", "patch", "pods", D),
        ("[patch, get]", "patch", "pods", A),
        ("[patch, get]", "apply", "pods", D),
        ("[patch, get, apply]", "apply", "pods", D),
        ("[patch, get, apply, create]", "apply", "pods", A),
        ("[patch, get, apply]", "apply", "pods/status", A),
        ("[update, get]", "update", "pods", A),
        ("[update, get]", "update", "services", D),
        ("[update, get, create]", "update", "services", A),
        ("[deletecollection]", "deletecollection", "pods", D),
        ("[deletecollection, delete, list]", "deletecollection", "pods", A),
        ("[get]", "get", "pods/exec", D),
        ("[create]", "get", "pods/exec", A),
        ("[create]", "create", "pods/exec", A),
        ("[list]", "watch", "pods", D),
        ("[create]", "create", "pods/eviction", D),
    ],
)
def test_an_allow_rule_must_cover_every_verb_that_the_request_counts_as(verbs, verb, resource, expected):
    request = ask(verb, resource, document={})
    assert agreed(policies(f"verbs: {verbs}, resources: [{resource}], action: Allow"), request).action is expected


def test_several_allow_rules_cover_a_request_together():
    compiled = policies(
        "verbs: [patch], resources: [pods], action: Allow", "verbs: [get], resources: [pods], action: Allow"
    )
    assert agreed(compiled, ask("patch")).rules == ("p/r0", "p/r1")


@pytest.mark.parametrize(
    ("verb_of_rule", "verb", "resource"),
    [
        ("get", "patch", "pods"),
        ("get", "list", "pods"),
        ("get", "watch", "pods"),
        ("list", "deletecollection", "pods"),
        ("delete", "deletecollection", "pods"),
        ("create", "apply", "pods"),
        ("update", "patch", "pods"),
        ("patch", "update", "pods"),
        ("create", "update", "services"),
        ("create", "get", "pods/exec"),
        ("get", "create", "pods/attach"),
    ],
)
def test_a_deny_rule_matches_any_verb_that_the_request_counts_as(verb_of_rule, verb, resource):
    deny = f"verbs: [{verb_of_rule}], resources: [{resource}], action: Deny"
    if (verb_of_rule, verb) == ("get", "create"):
        assert agreed(policies(deny, ALLOW_ALL), ask(verb, resource)).action is A
    else:
        assert agreed(policies(deny, ALLOW_ALL), ask(verb, resource)).action is D


def test_denying_pod_deletes_denies_evictions():
    compiled = policies("verbs: [delete], resources: [pods], action: Deny", ALLOW_ALL)
    assert agreed(compiled, ask("create", "pods/eviction")).action is D


def test_the_same_object_under_two_groups_is_one():
    compiled = policies("verbs: [get], resources: [events], action: Deny", ALLOW_ALL)
    assert agreed(compiled, ask("get", "events", info={"api_group": "events.k8s.io"})).action is D


@pytest.mark.parametrize(
    ("resources", "resource", "allow", "deny"),
    [
        ("['*']", "pods", A, D),
        ("['*']", "pods/log", D, D),
        ("['*/*']", "pods/log", A, D),
        ("['pods/*']", "pods/log", A, D),
        ("['pods/*']", "pods", D, A),
        ("['*/log']", "pods/log", A, D),
        ("['*/log']", "pods/status", D, A),
        ("[pods]", "pods/log", D, A),
    ],
)
def test_wildcards_reach_subresources_only_where_it_is_safe(resources, resource, allow, deny):
    fields = f"verbs: ['*'], resources: {resources}"
    assert agreed(policies(f"{fields}, action: Allow"), ask("get", resource)).action is allow
    assert agreed(policies(f"{fields}, action: Deny", ALLOW_ALL), ask("get", resource)).action is deny


# What the request does not tell: an Allow rule does not match, a Deny rule does.
@pytest.mark.parametrize(
    ("field", "request_", "allow", "deny"),
    [
        ("resourceNames: [web]", ask(), A, D),
        ("resourceNames: ['w*']", ask(), A, D),
        ("resourceNames: [other]", ask(), D, A),
        ("resourceNames: [web]", ask("list"), D, D),
        ("resourceNames: [web]", ask("list", info={"name": "web"}), A, D),
        ("resourceNames: [web]", ask("create", document={"metadata": {"name": "web"}}), A, D),
        ("resourceNames: [web]", ask("create", document={"metadata": {"generateName": "w"}}), D, D),
        ("resourceNames: [web]", ask("create"), D, D),
        ("namespaces: [dev]", ask(), A, D),
        ("namespaces: ['d*']", ask(), A, D),
        ("namespaces: [prod]", ask(), D, A),
        ("namespaces: [dev]", ask("list", info={"namespace": ""}), D, D),
        ("namespaces: ['*']", ask("list", info={"namespace": ""}), A, D),
        ("namespaces: [dev]", ask("list", "nodes", info={"namespace": ""}), D, A),
        (
            "namespaces: [dev]",
            ask("create", "namespaces", info={"namespace": ""}, document={"metadata": {"name": "dev"}}),
            A,
            D,
        ),
        ("dryRun: true", ask("delete", dry_run=True), A, D),
        ("dryRun: true", ask("deletecollection", dry_run=True), D, A),
        ("dryRun: false", ask("delete", dry_run=True), D, A),
    ],
)
def test_each_field_errs_in_the_safe_direction(field, request_, allow, deny):
    fields = f"verbs: ['*'], resources: ['*'], {field}"
    assert agreed(policies(f"{fields}, action: Allow"), request_).action is allow
    assert agreed(policies(f"{fields}, action: Deny", ALLOW_ALL), request_).action is deny


def run(*command, **fields):
    return ask("create", "pods/exec", exec=ExecOptions(command, **fields))


def run_attach(**fields):
    """What it attaches to is not known."""
    return ask("create", "pods/attach", exec=ExecOptions(None, **fields))


@pytest.mark.parametrize(
    ("match", "request_", "allow", "deny"),
    [
        ("{commands: [[ls, '**']]}", run("ls"), A, D),
        ("{commands: [[ls, '**']]}", run("ls", "-l", "/"), A, D),
        ("{commands: [[ls]]}", run("ls", "-l"), D, A),
        ("{commands: [[ls, '-*']]}", run("ls", "-l"), A, D),
        ("{commands: [['ls -l']]}", run("ls", "-l"), D, A),
        ("{commands: [[ls]]}", run("ls", stdin=True), D, D),
        ("{commands: [[ls]], stdin: true}", run("ls", stdin=True), A, D),
        ("{stdin: true}", run("ls"), A, A),
        ("{tty: true}", run("ls", tty=True), A, D),
        ("{stdin: true}", run("sh", stdin=True, tty=True), D, D),
        ("{commands: [[ls]]}", ask("create", "pods/exec"), D, D),
        ("{commands: [[ls]]}", run_attach(), D, D),
        ("{}", run_attach(), A, D),
        ("{}", run_attach(stdin=True), D, D),
    ],
)
def test_exec_is_matched_by_its_argument_list_with_stdin_and_tty_apart(match, request_, allow, deny):
    fields = f"verbs: [create], resources: [pods/exec, pods/attach], exec: {match}"
    assert agreed(policies(f"{fields}, action: Allow"), request_).action is allow
    assert agreed(policies(f"{fields}, action: Deny", ALLOW_ALL), request_).action is deny


@pytest.mark.parametrize(
    ("ports", "allow", "deny"), [((80,), A, D), ((80, 81), D, D), ((81,), D, A), (None, D, D), ((), A, A)]
)
def test_ports_of_a_port_forward(ports, allow, deny):
    fields = "verbs: [create], resources: [pods/portforward], ports: [80]"
    request = ask("create", "pods/portforward", ports=ports)
    assert agreed(policies(f"{fields}, action: Allow"), request).action is allow
    assert agreed(policies(f"{fields}, action: Deny", ALLOW_ALL), request).action is deny


def test_an_approval_for_ports_that_streams_will_name_is_asked_before_the_first():
    fields = "verbs: [create], resources: [pods/portforward], ports: [80], action: RequireApproval"
    compiled = policies(fields)
    for ports, expected in (((), R), ((80,), R), ((81,), D), (None, D)):
        assert agreed(compiled, ask("create", "pods/portforward", ports=ports)).action is expected


@pytest.mark.parametrize(
    ("segment", "allow", "deny"),
    [
        ("web:80", A, D),
        ("https:web:80", A, D),
        ("web:0080", A, D),
        ("web:http", A, D),
        ("web:81", D, A),
        ("other:80", D, A),
        ("web", D, D),
        ("web:", D, D),
        ("ftp:web:80", D, D),
        ("a:b:c:d", D, D),
        (":80", D, D),
    ],
)
def test_a_proxy_is_matched_by_name_and_port(segment, allow, deny):
    fields = "verbs: [create], resources: [services/proxy], resourceNames: [web], ports: [80, http]"
    path = f"/api/v1/namespaces/dev/services/{segment}/proxy/metrics"
    request = PolicyRequest.from_canonical("mcp-1", canonical("GET", path))
    assert agreed(policies(f"{fields}, action: Allow"), request).action is allow
    every = "verbs: ['*'], resources: [services/proxy], action: Allow"
    assert agreed(policies(f"{fields}, action: Deny", every), request).action is deny


def test_options_of_streams_come_from_the_canonical_request():
    pod = "/api/v1/namespaces/dev/pods/web"
    execs = canonical("GET", f"{pod}/exec?command=ls&command=-l&stdin=true&stdout=true&container=c")
    assert PolicyRequest.from_canonical("a", execs).exec == ExecOptions(("ls", "-l"), True, False, True, False, "c")
    attach = canonical("GET", f"{pod}/attach?stdin=1&command=ls")
    assert PolicyRequest.from_canonical("a", attach).exec == ExecOptions(None, True, False, False, False, "")
    forward = canonical("GET", f"{pod}/portforward?ports=80,81")
    assert PolicyRequest.from_canonical("a", forward).ports == (80, 81)
    assert PolicyRequest.from_canonical("a", canonical("GET", f"{pod}/portforward")).ports is None
    assert PolicyRequest.from_canonical("a", canonical("GET", f"{pod}/proxy/x")).ports is None


@pytest.mark.parametrize(
    ("path", "verb", "expected"),
    [
        ("/version", "get", A),
        ("/apis/apps/v1", "get", A),
        ("/apis", "get", D),
        ("/metrics", "get", D),
        ("/version", "post", D),
        ("/version", "propfind", D),
    ],
)
def test_non_resource_urls_match_whole_or_by_a_trailing_star(path, verb, expected):
    compiled = policies("verbs: [get], nonResourceURLs: [/version, '/apis/*'], action: Allow", ALLOW_ALL)
    info = Info(verb=verb, path=path, is_resource_request=False)
    assert agreed(compiled, PolicyRequest("mcp-1", info)).action is expected


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (ask(info={"error": "boom"}), "cannot be read: boom"),
        (ask(info={"verb": ""}), "verb `` is not known"),
        (ask(info={"verb": "proxy"}), "verb `proxy` is not known"),
        (ask("get", method="DELETE"), "method `DELETE` does not fit verb `get`"),
    ],
)
def test_a_request_that_makes_no_sense_is_denied_with_an_error(request_, text):
    verdict = agreed(policies(ALLOW_ALL), request_)
    assert verdict.action is D
    assert text in verdict.errors[0]


def test_only_subjects_get_anything():
    compiled = policies(ALLOW_ALL, subjects="['viewer-*']")
    assert compiled.decide(ask()).action is D
    assert compiled.decide(ask(client="viewer-1")).action is A


# Conditions


def condition(expression, action="Allow"):
    return f'verbs: ["*"], resources: ["*"], action: {action}, conditions: [{{name: c, expression: "{expression}"}}]'


@pytest.mark.parametrize(
    ("expression", "request_", "expected", "error"),
    [
        ("request.name == 'web'", ask(), A, ""),
        ("request.name == 'x'", ask(), D, ""),
        ("object.spec.replicas < 5", ask("create", document={"spec": {"replicas": 3}}), A, ""),
        ("object.spec.replicas < 5", ask("create", document={"spec": {}}), D, "Key not found in map"),
        ("object.spec.replicas < 5", ask("create"), D, "`object` is not there"),
        (
            "object.spec.replicas < 5",
            ask("patch", patch_type="merge-patch", document={"spec": {"replicas": 3}}),
            D,
            "`object` is not there",
        ),
        (
            "object.spec.replicas < 5",
            ask("patch", patch_type="merge-patch", document={}, result={"spec": {"replicas": 3}}),
            A,
            "",
        ),
        ("exec.stdin", ask(), D, "No value"),
        ("object.a < 5", ask("create", document={"a": 2**70}), D, ""),
        ("object.a == 'x'", ask("create", document={"a": "\ud800"}), D, "construction from null"),
        ("client.name.startsWith('mcp-')", ask(), A, ""),
        ("client.labels['team'] == 'a'", ask(client_labels={"team": "a"}), A, ""),
        ("client.labels['team'] == 'a'", ask(), D, "Key not found"),
        ("'hostPID' in powers", ask("create", document={"spec": {"hostPID": True}}), A, ""),
    ],
)
def test_a_condition_decides_and_its_error_denies(expression, request_, expected, error):
    verdict = agreed(policies(condition(expression)), request_)
    assert verdict.action is expected
    assert error in "".join(verdict.errors)
    assert bool(verdict.errors) == bool(error) or "2**70"


def test_an_error_in_one_rule_denies_what_another_allows():
    verdict = agreed(policies(ALLOW_ALL, condition("object.x == 1", "RequireApproval")), ask())
    assert (verdict.action, verdict.rules) == (D, ("p/r1",))


def test_an_error_does_not_quote_values_of_the_body():
    body = {"a": {}, "b": "hunter2", "c": "(hunter2"}
    for expression in ("object.a[object.b] == 1", "'x'.matches(object.c)"):
        verdict = policies(condition(expression)).decide(ask("create", document=body))
        assert verdict.errors
        assert "hunter2" not in verdict.message + "".join(verdict.errors)


def test_a_loop_without_end_is_an_error():
    numbers = "[" + ",".join(map(str, range(150))) + "]"
    loop = f"{numbers}.all(x, {numbers}.all(y, {numbers}.all(z, x + y + z >= 0)))"
    verdict = policies(condition(loop)).decide(ask())
    assert verdict.action is D
    assert "budget" in verdict.errors[0]


# What a policy may not say


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("verbs: [gett], resources: [pods], action: Allow", "verb `gett` is not known"),
        ("verbs: [], resources: [pods], action: Allow", "`verbs` is empty"),
        ("verbs: [get], action: Allow", "rule needs either `resources` or `nonResourceURLs`"),
        ("verbs: [get], resources: [pods], nonResourceURLs: [/x], action: Allow", "rule needs either"),
        ("verbs: [get], resources: [Pods], action: Allow", "resource `Pods` is not a plural name"),
        ("verbs: [get], resources: ['po*'], action: Allow", "resource `po*` is not a plural name"),
        ("verbs: [get], nonResourceURLs: ['/a/*/b'], action: Allow", "URL `/a/*/b` does not start with"),
        (
            "verbs: [get], nonResourceURLs: [/a], namespaces: [x], action: Allow",
            "`namespaces` does not go with `nonResourceURLs`",
        ),
        ("verbs: [get], resources: [pods], action: allow", "value `allow` is not known. Did you mean `Allow`?"),
        ("verbs: [get], resources: [pods], action: Allow, approval: {}", "`approval` does not go with Allow"),
        (
            "verbs: [get], resources: [pods], action: RequireApproval, approval: {expiresAfter: 1d}",
            "`1d` is not a duration",
        ),
        (
            "verbs: [get], resources: [pods], action: RequireApproval, approval: {expiresAfter: 9000h}",
            "is not between 1s and 720h",
        ),
        (
            "verbs: [get], resources: [pods], action: RequireApproval, approval: {expiresAfter: ''}",
            "`` is not a duration",
        ),
        ("verbs: [create], resources: [pods], action: Allow, exec: {}", "`exec` does not go with resource `pods`"),
        (
            "verbs: [create], resources: [pods/exec], action: Allow, exec: {commands: [['**', a]]}",
            "has `**` before its end",
        ),
        (
            "verbs: [create], resources: [pods/exec], action: Allow, ports: [80]",
            "`ports` goes with pods/portforward and the proxies",
        ),
        (
            "verbs: [create], resources: [pods/portforward], action: Allow, ports: [http]",
            "port `http` is a text. Write the number; only proxies know names",
        ),
        ("verbs: [create], resources: [pods/proxy], action: Allow, ports: ['80']", "port `80` is a text"),
        (
            "verbs: [create], resources: [services/proxy], action: Allow, resourceNames: ['https:web:80']",
            "name `https:web:80` of a proxy holds a scheme or a port",
        ),
        ("verbs: [get], resources: [pods], action: Allow, namespaceSelector: {}", "`namespaceSelector` is empty"),
        (
            "verbs: [get], resources: [pods], action: Allow, namespaceSelector: {matchExpressions: [{key: a, operator: In}]}",
            "operator `In` needs `values`",
        ),
        (
            "verbs: [get], resources: [pods], action: Allow, namespaceSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}",
            "operator `Exists` takes no `values`",
        ),
        (
            "verbs: [get], resources: [pods], action: Allow, namespaceSelector: {matchExpressions: [{key: a, operator: Gt, values: [b]}]}",
            "value `Gt` is not known",
        ),
        (
            "verbs: [get], nonResourceURLs: [/a], namespaceSelector: {matchLabels: {a: b}}, action: Allow",
            "`namespaceSelector` does not go with `nonResourceURLs`",
        ),
        (
            "verbs: [create], resources: [pods], action: Allow, podPowers: [hostpath]",
            "value `hostpath` is not known. Did you mean `hostPath`?",
        ),
        ("verbs: [create], resources: [pods], action: Deny, podPowers: []", "`podPowers` is empty"),
        ("verbs: [create], resources: [pods], action: Deny, images: [a]", "`images` does not go with Deny"),
        (
            "verbs: [create], resources: [pods], action: Allow, imagesOutside: [a]",
            "`imagesOutside` does not go with Allow",
        ),
        (
            "verbs: [create], resources: [pods], action: Deny, escalations: [aws-auth]",
            "`escalations` does not go with Deny",
        ),
        (condition("request.verbb == 'x'"), "p.yaml:7:99: condition `c`: undeclared reference to `request.verbb`"),
        (condition("request.apiVersion == 'v1'"), "undeclared reference to `request.apiVersion`"),
        (condition("request.verb"), "condition `c` is of type string, not bool"),
        (condition("1 +"), "condition `c`: syntax error"),
        (condition("request.verb == 1"), "no matching overload"),
    ],
)
def test_what_a_rule_may_not_say_is_an_error_at_its_place(rule, message):
    with pytest.raises(DocumentErrors) as caught:
        policies(rule)
    assert message in str(caught.value)
    assert all(error.position.line == 7 for error in caught.value.errors)


def test_a_policy_without_rules_or_subjects_or_with_a_name_twice_is_an_error():
    text = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\nspec: {rules: [], subjects: []}\n"
    with pytest.raises(DocumentErrors, match=r"no rules(.|\n)*no subjects"):
        compile_policies(parse(text, "p"))
    with pytest.raises(DocumentErrors, match="rule `r0` stands twice"):
        policies(
            "verbs: [get], resources: [a], action: Allow}\n  - {name: r0, verbs: [get], resources: [a], action: Allow"
        )
    one = parse(
        "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\nspec: {rules: [{name: a, " + ALLOW_ALL + "}]}\n",
        "p",
    )
    with pytest.raises(DocumentErrors, match="stands twice"):
        compile_policies(one + parse("apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: p}\n", "q"))


# Approvals


def approval(terms):
    return f"verbs: [get], resources: [pods], action: RequireApproval, approval: {terms}"


def test_several_approvals_are_asked_on_the_strictest_terms():
    compiled = policies(
        approval("{quorum: 2, expiresAfter: 2h, grant: once, reviewers: [a, b]}"),
        approval("{expiresAfter: 1h30m, grant: session, reviewers: [b]}"),
    )
    terms = agreed(compiled, ask()).terms
    assert (terms.reviewers, terms.quorum, terms.expires_after, terms.grant) == (("b",), 2, 5400.0, "once")


def test_approvals_by_reviewers_without_one_in_common_are_denied():
    verdict = agreed(policies(approval("{reviewers: [a]}"), approval("{reviewers: [b]}")), ask())
    assert verdict.action is D
    assert "different reviewers" in verdict.errors[0]


def test_an_approval_does_not_stand_for_verbs_that_nothing_permits():
    compiled = policies("verbs: [delete], resources: [pods], action: RequireApproval")
    verdict = agreed(compiled, ask("deletecollection"))
    assert verdict.action is D
    assert "deletecollection pods, list pods" in verdict.message


@pytest.mark.parametrize(
    ("field", "known", "unknown"),
    [
        ("resources: [pods], namespaces: [dev]", ask("list"), ask("list", info={"namespace": ""})),
        ("resources: [pods], resourceNames: [web]", ask("delete"), ask("deletecollection")),
        (
            "resources: [pods], resourceNames: [web]",
            ask("create", document={"metadata": {"name": "web"}}),
            ask("create", document={"metadata": {"generateName": "w"}}),
        ),
        ("resources: [pods], namespaceSelector: {matchLabels: {a: b}}", ask(namespace_labels={"a": "b"}), ask()),
        ("resources: [pods], podPowers: [hostPID]", ask("create", document={"spec": {"hostPID": True}}), ask("create", document={"spec": 1})),
        ("resources: [pods], imagesOutside: [good]", ask("create", document={"spec": {"containers": [{"image": "x"}]}}), ask("create", document={"spec": 1})),
        ("resources: [pods/exec], exec: {commands: [[ls]]}", run("ls"), ask("create", "pods/exec")),
        ("resources: [pods/portforward], ports: [80]", ask("create", "pods/portforward", ports=(80,)), ask("create", "pods/portforward")),
        ("resources: [pods/portforward], ports: [80]", ask("create", "pods/portforward", ports=(80,)), ask("create", "pods/portforward", ports=(80, 81))),
    ],
)  # fmt: skip
def test_what_is_unknown_asks_for_an_approval_but_an_approval_rule_alone_does_not_permit_it(field, known, unknown):
    fields = f"verbs: ['*'], {field}, action: RequireApproval"
    alone, beside = policies(fields), policies(fields, ALLOW_ALL)
    assert [agreed(alone, each).action for each in (known, unknown)] == [R, D]
    assert [agreed(beside, each).action for each in (known, unknown)] == [R, R]


def test_a_power_that_is_unknown_can_be_listed():
    compiled = policies("verbs: [create], resources: [pods], podPowers: [hostPID, unknown], action: RequireApproval")
    assert agreed(compiled, ask("create", document={"spec": 1})).action is R


# explain, dry runs, memory, speed


def test_explain_says_for_each_rule_why_it_did_not_match():
    compiled = policies(
        "verbs: [delete], resources: [pods], action: Allow",
        "verbs: [get], resources: [pods], namespaces: [x], action: Allow",
        condition("request.name == 'x'"),
        ALLOW_ALL,
    )
    explanation = explain(compiled, ask())
    assert [trace.reason for trace in explanation.rules] == [
        "verb `get` does not match",
        "namespace `dev` does not match",
        "condition `c` is false",
        "",
    ]
    shown = explanation.as_json()
    assert shown["verdict"]["action"] == "Allow"
    assert shown["rules"][3]["matched"] is True


def test_memory_is_bounded_whatever_is_asked_for():
    compiled = policies(ALLOW_ALL, "verbs: [get], resources: [r1], namespaces: [dev, 'team-*'], action: Deny")
    memo = compiled._index.memo
    for number in range(MEMO_ENTRIES + 10):
        compiled.decide(ask(info={"resource": f"r{number}"}))
    assert len(memo) <= MEMO_ENTRIES
    memo.clear()
    for number in range(100):
        compiled.decide(ask(info={"resource": "r1", "namespace": f"team-{number}", "name": f"n{number}"}))
    compiled.decide(ask(info={"resource": "x" * 300}))
    [candidates] = memo.values()
    assert not candidates._groups, "names that a client makes up are not remembered"


def test_a_decision_among_1000_rules_does_not_look_at_all_of_them(monkeypatch):
    rules = [f"verbs: [get], resources: [r{number}], action: Allow" for number in range(1000)]
    compiled, looked = policies(*rules), []
    original = CompiledRule.static_mismatch
    monkeypatch.setattr(CompiledRule, "static_mismatch", lambda *args: looked.append(args) or original(*args))
    request = ask(info={"resource": "r500"})
    assert compiled.decide(request).rules == ("p/r500",)
    assert compiled.decide(replace(request)).rules == ("p/r500",)
    assert len(looked) == 1


def test_a_decision_among_1000_rules_of_one_resource_looks_at_those_of_the_namespace(monkeypatch):
    rules = [f"verbs: [get], resources: [pods], namespaces: [n{n}], dryRun: false, action: Allow" for n in range(1000)]
    compiled, looked = policies(*rules), []
    original = CompiledRule.request_mismatch
    monkeypatch.setattr(CompiledRule, "request_mismatch", lambda *args: looked.append(args) or original(*args))
    for number in (1, 2, 1):
        assert compiled.decide(ask(info={"namespace": f"n{number}"})).rules == (f"p/r{number}",)
    assert compiled.decide(ask(info={"namespace": "elsewhere"})).action is D
    assert len(looked) == 3


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("a", "a", True),
        ("a", "ab", False),
        ("a*", "ab", True),
        ("*b", "ab", True),
        ("a*c", "abbc", True),
        ("a*b*c", "acb", False),
        ("a*b*c", "axbxc", True),
        ("ab*ba", "aba", False),
        ("*", "", True),
        ("a*\n", "a\n", True),
    ],
)
def test_globs(pattern, text, expected):
    assert matches(pattern, text) is expected
    assert Globs([pattern]).match(text) is expected
    assert Globs(["zz", pattern, "zz*"]).match(text) is expected


def test_argument_lists_are_matched_element_by_element():
    assert matches_argv(["**"], [])
    assert not matches_argv(["a", "**"], [])
    assert not matches_argv(["a b"], ["a", "b"])


def test_put_in_a_foreign_group_counts_as_create():
    assert "create widgets.example.com" in map(str, demands("update", "example.com", "widgets", "").required)
    assert "create pods" not in map(str, demands("update", "", "pods", "").required)
