"""Each answer means what it means, and every finding that is not in order has a remedy."""

from __future__ import annotations

import pytest

from pratique.doctor import findings
from pratique.doctor.findings import REVIEWS, State

SERVER = "https://api.example.com:443"
ROLE = "arn:aws:iam::111122223333:role/y"
X = "arn:aws:sts::111122223333:assumed-role/x/s"


def me(*groups):
    return {"status": {"userInfo": {"username": "u", "groups": [*groups, "system:authenticated"]}}}


def reviewed(**answers):
    """As a role of least privilege answers, but for these (by the review's text)."""
    usual = {str(review): review.wanted for review in REVIEWS}
    assert set(answers) <= set(usual)
    return [(review, {**usual, **answers}[str(review)]) for review in REVIEWS]


CASES = [
    (findings.reached(SERVER, 200, 0.2), State.OK, "answers"),
    (findings.reached(SERVER, 401, None), State.OK, "answers"),
    (findings.reached(SERVER, 404, None), State.WARNING, "answers 404"),
    (findings.reached(SERVER, 200, -90.0), State.WARNING, "clocks differ by 90 s"),
    (findings.own_identity(X, "container-role"), State.OK, "credentials from container-role"),
    (findings.own_identity(X, "env"), State.WARNING, "IRSA"),
    (findings.own_identity("arn:aws:iam::1:user/x", "sso"), State.WARNING, "IRSA"),
    (findings.assumed(X, 12, ""), State.OK, X),
    (findings.assumed(X, None, ""), State.OK, X),
    (findings.assumed(X, 93, ""), State.WARNING, "93 %"),
    (findings.minted(900, ""), State.OK, "900 bytes"),
    (findings.accepted(201, me("agents"), ROLE, ""), State.OK, "groups agents"),
    (findings.accepted(201, me(), ROLE, ""), State.OK, "groups none"),
    (findings.accepted(201, me("system:masters"), ROLE, ""), State.WARNING, "access entry"),
    (findings.accepted(401, None, ROLE, ""), State.BROKEN, f"access entry (STANDARD) for `{ROLE}`"),
    (findings.accepted(401, None, "", ""), State.BROKEN, "token's source"),
    (findings.accepted(403, {}, ROLE, ""), State.WARNING, "system:basic-user"),
    (findings.accepted(500, {}, ROLE, ""), State.BROKEN, "answers 500"),
    (findings.accepted(201, {"status": []}, ROLE, ""), State.BROKEN, "answers 201"),
    (findings.rights(reviewed(), ""), State.OK, "may not escalate"),
    (findings.rights(reviewed(**{"* *": True}), ""), State.WARNING, "may do everything"),
    (findings.rights(reviewed(**{"create serviceaccounts/token": True}), ""), State.WARNING, "may create serviceaccounts/token"),
    (findings.rights(reviewed(**{"get namespaces": False}), ""), State.WARNING, "namespaceSelector"),
    (findings.rights(reviewed(**{"impersonate users": None}), ""), State.UNKNOWN, "did not say: impersonate users"),
    (findings.endpoint_access({}, SERVER), State.OK, "--as-client"),
    (findings.endpoint_access({"endpoint": "https://api.example.com"}, SERVER), State.OK, "--as-client"),
    (findings.endpoint_access({"endpoint": "https://other"}, SERVER), State.WARNING, "Set `server` to `https://other`"),
    (findings.endpoint_access({"accessConfig": {"authenticationMode": "CONFIG_MAP"}}, SERVER), State.BROKEN, "API_AND_CONFIG_MAP"),
]  # fmt: skip


@pytest.mark.parametrize(("finding", "state", "says"), CASES)
def test_what_an_answer_means(finding, state, says):
    assert finding.state is state
    assert says in f"{finding.says}. {finding.remedy}"
    assert finding.remedy or state is State.OK


@pytest.mark.parametrize(
    ("cidrs", "public", "state"),
    [
        (["0.0.0.0/0"], True, State.WARNING),
        (["::/0"], True, State.WARNING),
        (["0.0.0.0/1", "203.0.113.0/24"], True, State.WARNING),
        (["what is this"], True, State.WARNING),
        (["203.0.113.0/24"], True, State.OK),
        (["0.0.0.0/0"], False, State.OK),
    ],
)
def test_an_endpoint_that_the_internet_can_reach_is_a_way_around(cidrs, public, state):
    vpc = {"endpointPublicAccess": public, "publicAccessCidrs": cidrs}
    assert findings.endpoint_access({"resourcesVpcConfig": vpc}, SERVER).state is state


def test_rules_are_a_line_each_and_not_too_many():
    rules = [
        {"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
        {"verbs": ["get"], "apiGroups": ["apps"], "resources": list("abcdefgh"), "resourceNames": ["x"]},
        "nonsense",
    ]
    assert findings.rules_of({"status": {"resourceRules": rules}}) == [
        "get a,b,c,d,e,f,… (8) of apps named x",
        "get,list pods,pods/log",
    ]
    many = [{"verbs": ["get"], "apiGroups": [""], "resources": [f"r{number:02}"]} for number in range(20)]
    lines = findings.rules_of({"status": {"resourceRules": many}})
    assert (len(lines), lines[-1]) == (13, "… and 8 more")
    assert findings.rules_of(None) == findings.rules_of({"status": {}}) == []
