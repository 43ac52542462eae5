"""CloudFormation and Terraform make in AWS what `scripts/setup` makes there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.constructor import SafeConstructor

from pratique.setup.plan import Thing
from pratique.setup.wanted import MAX_SESSION_SECONDS, TRUST_ACTIONS, Installation, aws_things

DEPLOY = Path(__file__).parents[2] / "scripts" / "deploy"
USUAL = Installation("prod", "arn:cluster", "111122223333", "aws", "arn:aws:iam::111122223333:role/x", "pratique-prod")


class Template(SafeConstructor):
    """`!Ref X` and the like are the text or list that follows, with the function's name in front."""


def _function(loader: SafeConstructor, tag: str, node: Any) -> Any:
    if hasattr(node.value, "isalnum"):
        return f"{tag} {node.value}"
    return (tag, *loader.construct_sequence(node, deep=True))


Template.add_multi_constructor("!", _function)


def template() -> dict[str, Any]:
    yaml = YAML(typ="safe", pure=True)
    yaml.Constructor = Template
    return yaml.load(DEPLOY / "cloudformation.yaml")


def terraform() -> str:
    return "\n".join(path.read_text() for path in sorted((DEPLOY / "terraform").glob("*.tf")))


def by_kind() -> dict[str, Thing]:
    return {thing.kind: thing for thing in aws_things(USUAL)}


def test_cloudformation_makes_the_same_role_trust_right_and_entry() -> None:
    resources = template()["Resources"]
    wanted = by_kind()
    role = resources["RoleY"]["Properties"]
    assert set(role["AssumeRolePolicyDocument"]["Statement"][0]["Action"]) == set(TRUST_ACTIONS)
    assert len(role["AssumeRolePolicyDocument"]["Statement"]) == 1
    assert role["MaxSessionDuration"] == MAX_SESSION_SECONDS
    assert not {"ManagedPolicyArns", "Policies"} & set(role)
    assert role["RoleName"].replace("Sub ", "").replace("${ClusterName}", "prod") == USUAL.role_y
    given = [
        set(_list(each["Action"])) for each in resources["RoleXPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    ]
    assert given == [set(_list(each["Action"])) for each in wanted["iam/role-policy"].wanted["Statement"]]
    entry = resources["AccessEntry"]["Properties"]
    assert entry["Type"] == wanted["eks/access-entry"].wanted["type"]
    assert "Username" not in entry
    group = template()["Parameters"]["KubernetesGroup"]["Default"]
    assert [group] == wanted["eks/access-entry"].wanted["kubernetesGroups"]


def test_terraform_makes_the_same_role_trust_right_and_entry() -> None:
    text = terraform()
    (assume,) = re.findall(r"assume\s+= \[(.+)\]", text)
    assert set(re.findall(r'"(.+?)"', assume)) == set(TRUST_ACTIONS)
    assert re.findall(r"actions\s+= (.+)", text).count("local.assume") == 2
    assert re.findall(r"max_session_duration = (\d+)", text) == [str(MAX_SESSION_SECONDS)]
    assert "aws_iam_role_policy_attachment" not in text
    assert f'"{USUAL.group}"' in text
    assert 'type              = "STANDARD"' in text
    assert "replace_triggered_by = [aws_iam_role.y.unique_id]" in text
    assert text.count("{") == text.count("}")
    declared = set(re.findall(r'variable "(\w+)"', text))
    assert declared == set(re.findall(r"var\.(\w+)", text))


def test_every_name_in_the_template_is_declared() -> None:
    text = (DEPLOY / "cloudformation.yaml").read_text()
    parts = template()
    known = {*parts["Parameters"], *parts["Resources"]}
    used = (
        set(re.findall(r"!Ref (\w+)(?!:)\b", text))
        | set(re.findall(r"\$\{(\w+)\}", text))
        | set(re.findall(r"!GetAtt (\w+)", text))
    )
    assert used - {"AWS"} <= known
    assert set(parts["Parameters"]) <= used
    conditions = set(re.findall(r"!If \[(\w+)", text)) | set(re.findall(r"Condition: (\w+)", text))
    assert conditions <= set(parts["Conditions"])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
