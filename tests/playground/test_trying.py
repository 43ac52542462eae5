"""The playground judges and masks as the gateway does, and says what is wrong with what was pasted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.documents import read_folder
from pratique.playground.trying import Pasted, try_out, with_policy

FOLDER = Path(__file__).parents[2] / "policies"
DOCUMENTS = read_folder(FOLDER)
CLOSED = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: closed}
spec:
  subjects: ["*"]
  rules: [{name: nothing, verbs: ["*"], apiGroups: ["*"], resources: ["*"], action: Deny, message: closed}]
"""
SECRET = json.dumps(
    {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "x"}, "data": {"password": "aHVudGVyMg=="}}
)


def tried(request: str, **fields: Any) -> dict[str, Any]:
    return try_out(DOCUMENTS, Pasted(request, client=fields.pop("client", "demo"), **fields))


@pytest.mark.parametrize(
    "text",
    [
        "kubectl get pods -n payments",
        "curl -k https://gateway/api/v1/namespaces/payments/pods",
        "/api/v1/namespaces/payments/pods",
        "GET /api/v1/namespaces/payments/pods HTTP/1.1\nAccept: application/json\n",
        '{"id": "x", "method": "GET", "path": "/api/v1/namespaces/payments/pods"}',
    ],
)
def test_a_request_in_whatever_form_is_judged(text: str) -> None:
    said = tried(text)
    assert not said["problem"]
    last = said["steps"][-1]
    assert (last["attributes"]["verb"], last["attributes"]["resource"]) == ("list", "pods")
    assert last["action"] == "Allow"
    assert last["rules"]


def test_a_pasted_body_is_looked_at() -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "x"},
        "spec": {"containers": [], "hostNetwork": True},
    }
    said = tried(f"POST /api/v1/namespaces/payments/pods\n\n{json.dumps(pod)}", client="break-glass-1")
    assert said["steps"][0]["action"] != "Allow"


def test_a_pasted_policy_is_added_and_the_strictest_rule_decides() -> None:
    said = tried("/api/v1/namespaces/payments/pods", policy=CLOSED)
    assert said["steps"][0]["action"] == "Deny"
    assert said["steps"][0]["rules"] == ["closed/nothing"]
    (rule,) = [one for one in said["steps"][0]["considered"] if one["rule"] == "closed/nothing"]
    assert rule["matched"]
    assert rule["position"].startswith("policy:7")


def test_a_pasted_policy_stands_in_for_that_of_its_name_or_for_all() -> None:
    own = CLOSED.replace("closed}", "mcp-default}", 1)
    names = [each.name for each in with_policy(DOCUMENTS, Pasted("", policy=own)) if each.kind == "Policy"]
    assert sorted(names) == sorted(each.name for each in DOCUMENTS if each.kind == "Policy")
    names = [each.name for each in with_policy(DOCUMENTS, Pasted("", policy=own, alone=True)) if each.kind == "Policy"]
    assert names == ["mcp-default"]
    kinds = {each.kind for each in with_policy(DOCUMENTS, Pasted("", policy=own, alone=True))}
    assert "MaskPolicy" in kinds, "only documents of the kinds that were pasted are put away"


@pytest.mark.parametrize(
    ("policy", "place"),
    [
        ("kind: Policy", "policy:1:1"),
        ("{", "policy:"),
        (CLOSED.replace("action: Deny", "action: Denied"), "policy:7:"),
        (CLOSED + "---" + CLOSED, "closed"),
        ("apiVersion: pratique/v1\nkind: Client\nmetadata: {name: x}\nspec: {}\n", "policy:2:"),
    ],
)
def test_a_policy_with_errors_says_where(policy: str, place: str) -> None:
    said = tried("/api/v1/pods", policy=policy)
    assert place in said["problems"][0]
    assert not said["steps"]


@pytest.mark.parametrize(
    "text", ["hello", "kubectl frobnicate", "curl", "{", '{"id": 1}', "GET pods", "kubectl get 'x"]
)
def test_what_is_no_request_says_so(text: str) -> None:
    said = tried(text)
    assert said["problem"]
    assert not said["steps"]


def test_a_malformed_request_is_refused_by_a_named_rule() -> None:
    refused = tried("GET /api/v1/namespaces/payments/pods/../secrets")["steps"][0]["refused"]
    assert refused["code"] == 400


def test_an_answer_is_shown_as_the_client_would_get_it() -> None:
    said = tried("/api/v1/namespaces/payments/secrets/x", answer=SECRET)
    assert "aHVudGVyMg==" not in json.dumps(said)
    assert sum(said["masked"]["hits"].values()) == 1
    assert json.loads(said["masked"]["body"])["data"].keys() == {"password"}


def test_an_answer_that_cannot_be_masked_is_not_shown() -> None:
    said = tried("/api/v1/namespaces/payments/secrets/x", answer="password: hunter2")
    assert said["masked"]["body"] == ""
    assert "hunter2" not in json.dumps(said)
    assert said["masked"]["problem"]


@settings(deadline=None, max_examples=60)
@given(request=st.text(max_size=80), policy=st.text(max_size=60), answer=st.text(max_size=60))
def test_whatever_is_pasted_is_answered(request: str, policy: str, answer: str) -> None:
    said = try_out(DOCUMENTS, Pasted(request, policy=policy, answer=answer))
    json.dumps(said)
    assert said["problems"] or said["problem"] or said["steps"] or not request.strip()
