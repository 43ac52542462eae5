"""A decision among 1,000 rules, and what adds to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from pratique.documents import parse
from pratique.documents.folder import read_files
from pratique.kube.attributes import RequestAttributes
from pratique.policy.decision import PolicySet, compile_policies
from pratique.policy.request import PolicyRequest
from tests.bench.meter import Meter

POLICIES = Path(__file__).parents[2] / "policies"
BUDGET = 10.0  # µs for one decision with 1,000 rules
GET = RequestAttributes(True, "get", "/api/v1/namespaces/dev/pods/web", "api", "", "v1", "dev", "pods", "", "web")
CONDITION = "object.spec.replicas < 5 && object.metadata.name.startsWith('w')"
POOL = 5000  # requests that differ; more than the engine remembers


def policies(rules: Iterable[str]) -> PolicySet:
    """The rules in ten policies."""
    texts = [f"apiVersion: pratique/v1\nkind: Policy\nmetadata: {{name: p{n}}}\nspec:\n  rules:\n" for n in range(10)]
    for index, rule in enumerate(rules):
        texts[index % 10] += f"  - {{name: r{index}, {rule}}}\n"
    return compile_policies([document for n, text in enumerate(texts) for document in parse(text, f"p{n}.yaml")])


def kinds(count: int) -> list[str]:
    """One rule for each of `count` resources, pods in the middle."""
    names = [f"kind{index}s" for index in range(count)]
    names[count // 2] = "pods"
    return [f"verbs: [get, list, create], resources: [{name}], action: Allow" for name in names]


def request(attributes: RequestAttributes = GET, **fields: Any) -> PolicyRequest:
    return PolicyRequest("mcp-1", attributes, "GET" if attributes.verb == "get" else "POST", **fields)


def decide(rules: PolicySet, requests: list[PolicyRequest]) -> Callable[[], Any]:
    """As the gateway does: first whether the cluster must be asked, then the verdict."""
    following = itertools.cycle(requests)

    def both() -> None:
        asked = next(following)
        if any(rules.needs(asked)):
            raise AssertionError("the figure would be without the call")
        rules.decide(asked)

    return both


def run(meter: Meter) -> None:
    few, many = policies(kinds(10)), policies(kinds(1000))
    spaces = policies(f"verbs: [get], resources: [pods], namespaces: [n{n}], action: Allow" for n in range(1000))
    apps = "verbs: [create], apiGroups: [apps], resources: [deployments], action: Allow"
    conditions = policies([*kinds(999), f'{apps}, conditions: [{{name: c, expression: "{CONDITION}"}}]'])
    powers = policies([*kinds(999), f"{apps}, podPowers: []"])
    shipped = compile_policies(read_files(sorted(p for p in POLICIES.glob("*.yaml") if ".cases." not in p.name)))
    plain, shell = [request()], [request(replace(GET, subresource="exec"))]
    new_names = [request(replace(GET, name=f"w{n}", namespace=f"n{n % 1000}")) for n in range(POOL)]
    new_kinds = [request(replace(GET, resource=f"kind{n % 1000}s", api_version=str(n))) for n in range(POOL)]
    for number, each in enumerate(new_kinds):
        new_kinds[number] = replace(each, client=f"mcp-{number}")
    create = replace(GET, verb="create", resource="deployments", api_group="apps", name="")
    body = {"metadata": {"name": "web"}, "spec": {"replicas": 3, "template": {"spec": _pod()}}}
    creates = [request(create, document=body)]
    cases = {
        "10 rules": decide(few, plain),
        "1,000 rules": decide(many, plain),
        "1,000 rules, names and namespaces never asked for before": decide(many, new_names),
        "1,000 rules about one resource, each in a namespace": decide(spaces, new_names),
        "shipped policies, a read": decide(shipped, plain),
        "shipped policies, an exec (to be approved)": decide(shipped, shell),
    }
    more = {
        "1,000 rules, clients and resources never asked for before": decide(many, new_kinds),
        "1,000 rules, pod powers of a create": decide(powers, creates),
        "1,000 rules, a CEL condition over the body": decide(conditions, creates),
    }
    meter.compare({**cases, **more}, budgets=dict.fromkeys(cases, BUDGET))
    meter.note(
        "CPU per decision of a request that is parsed already; the body has 4 containers with 20 variables each."
    )
    meter.note("The last three are outside of the budget: the first is the index itself, the others read the body.")


def _pod() -> dict[str, Any]:
    variables = [{"name": f"V{number}", "value": "x" * 20} for number in range(20)]
    return {"containers": [{"name": f"c{n}", "image": "registry.example/app:1", "env": variables} for n in range(4)]}
