"""A decision among 1,000 rules, and what adds to it."""

from __future__ import annotations

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


def rules(count: int, *extra: str) -> PolicySet:
    """`count` rules on as many resources, in ten policies, and `extra` ones."""
    documents = []
    for number in range(10):
        text = f"apiVersion: pratique/v1\nkind: Policy\nmetadata: {{name: p{number}}}\nspec:\n  rules:\n"
        for index in range(number, count, 10):
            name = "pods" if index == count // 2 else f"kind{index}s"
            text += f"  - {{name: r{index}, verbs: [get, list, create], resources: [{name}], action: Allow}}\n"
        if number == 0:
            text += "".join(f"  - {{name: x{index}, {rule}}}\n" for index, rule in enumerate(extra))
        documents += parse(text, f"p{number}.yaml")
    return compile_policies(documents)


def _fresh(policies: PolicySet) -> Any:
    """A request whose namespace was never asked for: nothing of it is remembered."""
    count = iter(range(10**9))

    def decide() -> None:
        attributes = replace(GET, namespace=f"n{next(count)}")
        policies.decide(PolicyRequest("mcp-1", attributes, "GET"))

    return decide


def run(meter: Meter) -> None:
    few, many = rules(10), rules(1000)
    request = PolicyRequest("mcp-1", GET, "GET")
    create = PolicyRequest(
        "mcp-1",
        replace(GET, verb="create", resource="deployments", api_group="apps", name=""),
        "POST",
        document={"metadata": {"name": "web"}, "spec": {"replicas": 3, "template": {"spec": _pod()}}},
    )
    apps = "verbs: [create], apiGroups: [apps], resources: [deployments], action: Allow"
    shipped = compile_policies(read_files(sorted(p for p in POLICIES.glob("*.yaml") if ".cases." not in p.name)))
    budgets = {"1,000 rules": BUDGET, "1,000 rules, never asked before": BUDGET, "shipped policies": BUDGET}
    conditioned = rules(1000, f'{apps}, conditions: [{{name: c, expression: "{CONDITION}"}}]')
    with_powers = rules(1000, f"{apps}, podPowers: []")
    meter.compare(
        {
            "10 rules": lambda: few.decide(request),
            "1,000 rules": lambda: many.decide(request),
            "1,000 rules, never asked before": _fresh(many),
            "shipped policies": lambda: shipped.decide(request),
            "1,000 rules, pod powers of a create": lambda: with_powers.decide(create),
            "1,000 rules, a CEL condition over the body": lambda: conditioned.decide(create),
        },
        budgets=budgets,
    )
    meter.note("CPU per decision of a request that is parsed already; the body has 4 containers with 20 variables each")


def _pod() -> dict[str, Any]:
    variables = [{"name": f"V{number}", "value": "x" * 20} for number in range(20)]
    return {"containers": [{"name": f"c{n}", "image": "registry.example/app:1", "env": variables} for n in range(4)]}
