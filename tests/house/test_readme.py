"""README: its links lead somewhere, the tests that it names exist, and the policy cookbook does what it says."""

from __future__ import annotations

import re
from pathlib import Path

from click.testing import CliRunner

from pratique.cli.policies import check

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
CASES = """apiVersion: pratique/v1
kind: PolicyCases
metadata: {name: cookbook}
spec:
  client: shop-agent
  cases:
    - name: a list
      request: {verb: list, resource: pods, namespace: shop}
      expect: {action: Allow, rules: [shop-read/read]}
    - name: a log
      request: {verb: get, resource: pods/log, namespace: shop, name: a}
      expect: {action: Allow, rules: [shop-read/read]}
    - name: another namespace
      request: {verb: list, resource: pods, namespace: bank}
      expect: {action: Deny, rules: []}
    - name: a write
      request: {verb: create, resource: configmaps, namespace: shop, body: {metadata: {name: a}}}
      expect: {action: Deny, rules: []}
    - name: a delete
      request: {verb: delete, resource: pods, namespace: shop, name: a}
      expect: {action: RequireApproval, rules: [more/delete-by-two]}
    - name: an eviction
      request: {verb: create, resource: pods/eviction, namespace: shop, name: a, body: {metadata: {name: a}}}
      expect: {action: RequireApproval, rules: [more/delete-by-two, more/evict-by-two]}
    - name: a look
      request: {verb: create, resource: pods/exec, namespace: shop, name: a, command: [cat, /app/config.yaml]}
      expect: {action: Allow, rules: [more/look-around]}
    - name: another look
      request: {verb: create, resource: pods/exec, namespace: shop, name: a, command: [cat, /etc/shadow]}
      expect: {action: Deny, rules: []}
    - name: a look with stdin
      request: {verb: create, resource: pods/exec, namespace: shop, name: a, command: [ls], stdin: true}
      expect: {action: Deny, rules: []}
    - name: the system's pods
      request: {verb: list, resource: pods, namespace: kube-system}
      expect: {action: Deny, rules: [more/not-kube]}
    - name: all pods
      request: {verb: list, resource: pods}
      expect: {action: Deny, rules: [more/not-kube]}
    - name: a few more
      request:
        {verb: patch, apiGroup: apps, resource: deployments/scale, namespace: shop, name: a, patchType: merge-patch,
         body: {spec: {replicas: 9}}, result: {spec: {replicas: 9}}}
      expect: {action: Allow, rules: [more/scale]}
    - name: too many
      request:
        {verb: patch, apiGroup: apps, resource: deployments/scale, namespace: shop, name: a, patchType: merge-patch,
         body: {spec: {replicas: 99}}, result: {spec: {replicas: 99}}}
      expect: {action: Deny, rules: []}
    - name: an edit
      request: {verb: patch, apiGroup: apps, resource: deployments, namespace: shop, name: a, body: {spec: {replicas: 9}}}
      expect: {action: Deny, rules: []}
"""
MORE = "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: more}\nspec:\n  subjects: [shop-*]\n  rules:\n"


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def anchors() -> set[str]:
    titles = re.findall(r"^#{2,3} (.+)$", README, re.MULTILINE)
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_link_within_the_repository_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)\s]+)\)", README) if not link.startswith("http")]
    assert {link[1:] for link in links if link.startswith("#")} <= anchors()
    assert [link for link in links if not link.startswith("#") and not (ROOT / link).exists()] == []


def test_the_table_of_contents_names_every_section() -> None:
    contents = README.split("\n## ")[0]
    assert re.findall(r"\[([^\]]+)\]\(#", contents) == re.findall(r"^## (.+)$", README, re.MULTILINE)


def test_the_tests_that_the_threat_model_names_exist() -> None:
    named = re.findall(r"`([a-z0-9]+/test_[a-z0-9_]+\.py)`", section("Threat model"))
    assert len(named) > 30
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []


def cookbook(folder: Path) -> Path:
    blocks = re.findall(r"^```yaml\n(.*?)^```$", section("Policy cookbook"), re.MULTILINE | re.DOTALL)
    documents = [block for block in blocks if block.startswith("apiVersion:")]
    rules = [block for block in blocks if not block.startswith("apiVersion:")]
    (folder / "cookbook.yaml").write_text("---\n".join([*documents, MORE + "".join(rules)]))
    return folder


def test_the_policy_cookbook_does_what_it_says(tmp_path: Path) -> None:
    (cookbook(tmp_path) / "cookbook.cases.yaml").write_text(CASES)
    done = CliRunner().invoke(check, [str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert f"{CASES.count('- name:')} cases, 0 failed" in done.output
