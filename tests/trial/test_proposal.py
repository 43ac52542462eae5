"""Propose, then judge: what was used is let pass, or waits for a person where the policy says so; nothing else is."""

from __future__ import annotations

import json
import random
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pratique.documents import parse
from pratique.identity.clients import Clients
from pratique.kube.forms import from_corpus
from pratique.masking.rules import compile_masks
from pratique.policy.decision import PolicySet
from pratique.policy.demands import demands_of
from pratique.trial.judging import As, Engine, Outcome
from pratique.trial.naming import MAX_LISTED, generalised
from pratique.trial.proposal import proposed, wide_paths
from pratique.trial.proposal_text import policy_text, scalar
from pratique.trial.recorded import Answer, Place, RecordedRequest
from pratique.trial.role import Permission, manifests, permissions
from pratique.trial.usage import Left, Usage, action_of
from pratique.verdict import Action
from tests.kube.requests import corpus

NOTHING = Engine(PolicySet(()), compile_masks(()), Clients(), As("a", force=True))
JSON = [["Content-Type", "application/json"]]
MERGE = [["Content-Type", "application/merge-patch+json"]]
PODS = "/api/v1/namespaces/dev/pods"


def request(method, path, body=None, headers=None, **more):
    line = {
        "method": method,
        "path": path,
        "headers": headers or (JSON if body else []),
        "body": json.dumps(body) if body else None,
    }
    return RecordedRequest(from_corpus(line), Place("r", 0), **more)


def usage_of(requests, **more):
    """The usage, and the requests that rules will be for."""
    usage = Usage("a", **more)
    taken = [each for each in requests if usage.take(each, NOTHING.judge(each))]
    return usage, taken


def policy_of(usage):
    rules = proposed(usage)
    return rules, Engine.of(parse(policy_text(usage, rules, "p", "test"), "p.yaml"), As("a", force=True))


def expected(judged):
    """The strictest of what it counts as."""
    found = judged.request
    if not found.attributes.is_resource_request:
        return Outcome.ALLOW if found.attributes.verb in {"get", "head"} else Outcome.REQUIRE_APPROVAL
    actions = [
        action_of(
            each.verb, each.groups[0], f"{each.resource}/{each.subresource}".strip("/"), rehearses=found.rehearses
        )
        for each in demands_of(found).required
    ]
    return Outcome(max(actions, key=lambda action: action.strictness))


def check_round_trip(requests, **more):
    usage, taken = usage_of(requests, **more)
    if not taken:  # the command says so; a policy without rules is refused
        assert proposed(usage) == []
        return usage, [], None
    rules, engine = policy_of(usage)
    for each in taken:
        found = engine.judge(each)
        assert found.outcome is expected(found), (each.raw, found)
    return usage, rules, engine


def test_every_request_of_the_corpus():
    lines = [RecordedRequest(from_corpus(line), Place("corpus", number)) for number, line in enumerate(corpus())]
    usage, rules, _ = check_round_trip(lines)
    assert len(rules) > 50
    assert {reason for reason, _ in usage.left_out} == {Left.ESCALATION, Left.UNREADABLE, Left.UNNAMED}


NAMESPACES = ["dev", "prod", "ns-1"]
NAMES = ["web", "db", "web-7c5ddbdf54-2fsv8", "web-7c5ddbdf54-9xk2p", "web-7c5ddbdf54-qqqq7", "a"]


def session(seed):
    """Some requests of a client; by a seed, which is ten times faster than drawing each choice."""
    chance = random.Random(seed)
    return [any_request(chance) for _ in range(chance.randrange(1, 25))]


def any_request(chance):
    resource = chance.choice(["pods", "configmaps", "services", "nodes", "namespaces"])
    group, name = chance.choice(["/api/v1", "/apis/apps/v1"]), chance.choice(NAMES)
    space = chance.choice([*(f"/namespaces/{each}" for each in NAMESPACES), ""])
    collection, dry_run = f"{group}{space}/{resource}", chance.choice(["", "?dryRun=All"])
    body = {"metadata": {"name": name}}
    apply = [["Content-Type", "application/apply-patch+yaml"]]
    command = chance.choice(["ls", "sh", "a*"])
    return chance.choice([
        lambda: request("GET", collection),
        lambda: request("GET", f"{collection}?watch=1"),
        lambda: request("GET", f"{collection}/{name}"),
        lambda: request("GET", f"{collection}?fieldSelector=metadata.name%3D{name}"),
        lambda: request("POST", collection + dry_run, body),
        lambda: request("POST", collection, {"metadata": {"generateName": "x-"}}),
        lambda: request("PUT", f"{collection}/{name}{dry_run}", body),
        lambda: request("PATCH", f"{collection}/{name}{dry_run}", body, MERGE),
        lambda: request("PATCH", f"{collection}/{name}?fieldManager=m", {"apiVersion": "v1", "kind": "X", **body}, apply),
        lambda: request("DELETE", f"{collection}/{name}{dry_run}"),
        lambda: request("DELETE", collection),
        lambda: request("POST", f"{PODS}/{name}/eviction", body),
        lambda: request("GET", f"{PODS}/{name}/log"),
        lambda: request("GET", f"{PODS}/{name}/exec?command={command}&stdout=1"),
        lambda: request("GET", f"/apis/{name}"),
        lambda: request("GET", "/version"),
    ])()  # fmt: skip


SEEDS = st.integers(0, 2**64)
few = settings(max_examples=40, deadline=None)


@few
@given(SEEDS)
@example(379195)  # nothing of it that a rule could be for
def test_any_session(seed):
    check_round_trip(session(seed))


@few
@given(SEEDS, SEEDS)
def test_what_was_not_used_is_permitted_only_by_names_and_namespaces_that_were_generalised(seed, other):
    usage, _ = usage_of(session(seed))
    seen = {(cell.verb, cell.group, cell.resource) for cell in usage}
    _, engine = policy_of(usage) if usage.cells or usage.paths else (None, None)
    for each in session(other) if engine else ():
        found = engine.judge(each)
        if found.outcome in {Outcome.ALLOW, Outcome.REQUIRE_APPROVAL} and found.request.attributes.is_resource_request:
            demands = demands_of(found.request).required
            assert {(d.verb, d.groups[0], f"{d.resource}/{d.subresource}".strip("/")) for d in demands} <= seen


def test_names_stay_names_and_generated_ones_become_a_glob():
    pods = ["web-7c5ddbdf54-2fsv8", "web-7c5ddbdf54-9xk2p", "web-6dd9f7b9c8-qqqq7"]
    _, rules, engine = check_round_trip([request("GET", f"{PODS}/{name}") for name in [*pods, "db"]])
    (rule,) = rules
    assert (rule.namespaces, rule.names, rule.distinct_names) == (("dev",), ("db", "web-*"), 4)
    outcomes = {
        path: engine.judge(request("GET", path)).outcome
        for path in (f"{PODS}/web-1", f"{PODS}/x", f"{PODS.replace('dev', 'prod')}/db")
    }
    assert list(outcomes.values()) == ["Allow", "Deny", "Deny"]


@pytest.mark.parametrize(
    ("names", "rule"),
    [
        (["a", "b"], ("a", "b")),
        (["web-2fsv8", "web-9xk2p"], ("web-2fsv8", "web-9xk2p")),
        (["web-2fsv8", "web-9xk2p", "web-bbbbb"], ("web-*",)),
        (["db-0", "db-1", "db-2"], ("db-0", "db-1", "db-2")),
        (["data-0", "data-1", "data-2"], ("data-*",)),
        (["job-28310000", "job-28310001-x2x2x", "job-28310002"], ("job-*",)),
        (["web-hello", "web-world", "web-every"], ("web-every", "web-hello", "web-world")),
        ([f"n{n}" for n in range(MAX_LISTED)], tuple(sorted(f"n{n}" for n in range(MAX_LISTED)))),
        ([f"n{n}" for n in range(MAX_LISTED + 1)], None),
        (["a*"], None),
        ([], ()),
    ],
)  # fmt: skip
def test_where_the_evidence_supports_a_glob(names, rule):
    assert generalised(names) == rule


def test_no_rule_multiplies_what_was_seen():
    """`a` in dev and `b` in prod is not `b` in dev; pods got and services listed are not services got."""
    _, _, engine = check_round_trip([
        request("GET", "/api/v1/namespaces/dev/pods/a"), request("GET", "/api/v1/namespaces/prod/pods/b"),
        request("GET", "/api/v1/namespaces/dev/services"), request("GET", "/apis/apps/v1/namespaces/dev/deployments/a"),
    ])  # fmt: skip
    for path in ("/api/v1/namespaces/dev/pods/b", "/api/v1/namespaces/dev/services/a", "/api/v1/namespaces/dev/pods",
                 "/api/v1/namespaces/prod/services", "/api/v1/namespaces/dev/deployments/a"):  # fmt: skip
        assert engine.judge(request("GET", path)).outcome is Outcome.DENY, path


def test_what_changes_something_waits_for_a_person_and_a_dry_run_does_not():
    requests = [request("DELETE", f"{PODS}/web{dry_run}") for dry_run in ("", "?dryRun=All")]
    _, rules, engine = check_round_trip(requests)
    assert [(rule.action, rule.dry_run) for rule in rules] == [(Action.ALLOW, True), (Action.REQUIRE_APPROVAL, False)]
    assert [engine.judge(each).outcome for each in requests] == ["RequireApproval", "Allow"]


def test_an_exec_lists_the_commands_that_were_run_unless_they_are_not_known():
    headers = [["Connection", "Upgrade"], ["Upgrade", "SPDY/3.1"], ["X-Stream-Protocol-Version", "v4.channel.k8s.io"]]
    ls, sh = (
        request("POST", f"{PODS}/web/exec?command={word}&command=-l&stdout=1", None, headers) for word in ("ls", "sh")
    )
    _, rules, engine = check_round_trip([ls])
    assert rules[0].commands == (("ls", "-l"),)
    assert engine.judge(sh).outcome is Outcome.DENY
    masked = request("POST", f"{PODS}/web/exec?command=**scrubbed**&stdout=1", None, headers)
    assert policy_of(usage_of([ls, masked])[0])[0][0].commands is None


def test_what_escalates_is_named_and_in_no_rule():
    requests = [
        request("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", {"metadata": {"name": "x"}}),
        request("POST", "/api/v1/namespaces/dev/serviceaccounts/a/token", {"spec": {}}),
        request("PUT", "/api/v1/namespaces/kube-system/configmaps/aws-auth", {"metadata": {"name": "aws-auth"}}),
        request("GET", "/api/v1/nodes/n/proxy/x"),
        replace(request("POST", "/api/v1/namespaces/dev/secrets"), lost=frozenset({"body"})),
    ]
    usage, taken = usage_of(requests)
    assert taken == []
    assert [reason for reason, _ in usage.left_out] == [Left.ESCALATION] * 5
    assert "escalation of privileges" in policy_text(usage, [], "p", "x")


def test_only_what_was_used_counts():
    denied = request("GET", PODS, verdict="Deny", client="a")
    forbidden = request("GET", PODS, answer=Answer(403, "", b"", raw=True))
    others = replace(request("GET", PODS), client="b")
    used = [
        request("GET", PODS, verdict="Allow"),
        request("GET", PODS, verdict="RequireApproval"),
        request("GET", PODS, answer=Answer(404, "", b"", raw=True)),
    ]
    assert usage_of([denied, forbidden, *used])[1] == used
    assert usage_of([denied, forbidden], also_denied=True)[1] == [denied, forbidden]
    usage = Usage("a")
    assert not usage.take(others, Engine(PolicySet(()), compile_masks(()), Clients()).judge(others))
    assert usage.requests == 0


def test_the_text_holds_the_evidence_and_nothing_that_breaks_out_of_it():
    evil = request("GET", PODS + "/web", client="a")
    usage, _ = usage_of([evil] * 3)
    text = policy_text(replace_client(usage), proposed(usage), "p", "x\n- evil: true\r\n")
    assert "    # 3 requests\n    #   get pods web -n dev  (r byte 0)\n    - name: get-pods\n" in text
    assert parse(text, "p.yaml")[0].data["spec"]["subjects"] == ["a\nb: c"]


def replace_client(usage):
    usage.client = "a\nb: c"
    return usage


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=20))
def test_any_text_is_a_yaml_string(text):
    clean = text.encode("utf-8", "ignore").decode()
    assert (
        parse(f"apiVersion: pratique/v1\nkind: Policy\nmetadata: {{name: x}}\nspec: {{a: {scalar(clean)}}}\n", "x")[
            0
        ].data["spec"]["a"]
        == clean
    )


def test_discovery_is_walked_as_the_cluster_grows():
    assert wide_paths(["/apis/a", "/apis/b/v1", "/apis/c", "/version", "/api/v1"]) == ("/api/v1", "/apis/*", "/version")


# --- RBAC ---


def rbac_permits(documents, verb, group, resource, namespace, name):
    """As kubernetes/pkg/registry/rbac/validation does."""
    for document in documents:
        if (
            document["kind"] not in {"ClusterRole", "Role"}
            or document["metadata"].get("namespace", namespace) != namespace
        ):
            continue
        for rule in document["rules"]:
            named = not rule.get("resourceNames") or name in rule["resourceNames"]
            if (
                verb in rule["verbs"]
                and group in rule.get("apiGroups", ())
                and resource in rule.get("resources", ())
                and named
            ):
                return True
    return False


@few
@given(SEEDS)
def test_the_role_permits_what_the_api_server_asks_for(seed):
    usage, taken = usage_of(session(seed))
    documents = manifests(proposed(usage), "a", "g")
    for each in taken:
        attributes = NOTHING.judge(each).request.attributes
        if attributes.is_resource_request:
            resource = f"{attributes.resource}/{attributes.subresource}".strip("/")
            assert rbac_permits(
                documents, attributes.verb, attributes.api_group, resource, attributes.namespace, attributes.name
            )
        else:
            (role,) = [one for one in documents if one["kind"] == "ClusterRole"]
            urls = [url for rule in role["rules"] for url in rule.get("nonResourceURLs", ())]
            assert any(
                attributes.path == url or (url.endswith("*") and attributes.path.startswith(url[:-1])) for url in urls
            )


def test_a_role_is_as_narrow_as_rbac_can_say():
    requests = [
        request("GET", f"{PODS}/web"),
        request("DELETE", f"{PODS}/db"),
        request("GET", "/api/v1/namespaces/prod/services"),
    ]
    usage, _ = usage_of(requests)
    rules = proposed(usage)
    assert permissions(rules) == {
        Permission("dev", "", "pods", "get", "web"), Permission("dev", "", "pods", "get", "db"),
        Permission("dev", "", "pods", "delete", "db"), Permission("prod", "", "services", "list"),
    }  # fmt: skip
    documents = manifests(rules, "A client/x", "g")
    assert [(one["kind"], one["metadata"].get("namespace")) for one in documents] == [
        ("Role", "dev"), ("RoleBinding", "dev"), ("Role", "prod"), ("RoleBinding", "prod"),
    ]  # fmt: skip
    assert {one["metadata"]["name"] for one in documents} == {"pratique-a-client-x"}
    assert documents[1]["subjects"] == [{"kind": "Group", "apiGroup": "rbac.authorization.k8s.io", "name": "g"}]


def test_the_order_of_requests_does_not_matter():
    requests = [request("GET", f"{PODS}/{name}") for name in NAMES] + [request("DELETE", f"{PODS}/a")]
    shuffled = random.sample(requests, len(requests))
    bare = [[replace(rule, examples=()) for rule in proposed(usage_of(each)[0])] for each in (requests, shuffled)]
    assert bare[0] == bare[1]
