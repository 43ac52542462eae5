"""`pratique explain`: the contract on the corpus, every form of a request, and what it says to people."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from pratique.cli import main
from pratique.kube.rules import RULES
from pratique.recorder.flowfile import encode
from tests.kube.requests import CORPUS, corpus
from tests.kube.test_corpus import RULE_OF

POLICIES = str(Path(__file__).parents[2] / "policies")


def explain(*arguments: str, stdin: str | bytes = "") -> Result:
    return CliRunner().invoke(main, ["explain", "--policies", POLICIES, *arguments], input=stdin)


def answers(*arguments: str, stdin: str | bytes = "") -> list[dict]:
    result = explain("--output", "json", *arguments, stdin=stdin)
    assert result.exit_code == 0, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def explained() -> list[dict]:
    return answers(str(CORPUS))


def test_each_line_of_the_corpus_is_answered_in_the_contract_s_form(explained):
    assert [answer["id"] for answer in explained] == [line["id"] for line in corpus()]
    for answer in explained:
        assert list(answer) == ["id", "refused", "attributes", "canonical", "verdict"]
        assert set(answer["verdict"]) == {"action", "rules", "errors"}
        assert answer["refused"] is None or {"code", "message", "rule"} == set(answer["refused"])


def test_attributes_are_the_server_s_on_every_line_also_on_those_that_are_refused(explained):
    wrong = [a["id"] for a, line in zip(explained, corpus(), strict=True) if a["attributes"] != line["expect"]]
    assert wrong == []


def test_a_line_is_refused_by_its_documented_rule_and_by_no_other(explained):
    refused = {answer["id"]: answer["refused"]["rule"] for answer in explained if answer["refused"]}
    assert refused == RULE_OF
    for answer in explained:
        if answer["refused"]:
            assert (answer["canonical"], answer["verdict"]["action"]) == (None, "Deny")
            assert answer["refused"]["code"] == RULES[answer["refused"]["rule"]].code


def test_options_are_the_server_s_on_every_line_that_is_sent(explained):
    for answer, line in zip(explained, corpus(), strict=True):
        if answer["canonical"] is not None:
            decoded = dict(answer["canonical"]["options"])
            assert decoded.pop("optionsError", "") == line.get("optionsError", ""), line["id"]
            assert decoded == line.get("options", {}), line["id"]


def test_lines_of_standard_input_and_malformed_ones_among_them():
    lines = [
        "{",
        "[]",
        '{"id": 1}',
        '{"method": "GET", "path": 1}',
        '{"method": "GET", "path": "/", "headers": [1]}',
        "[" * 50_000,
    ]
    lines += ['{"method": "GET", "path": "/\\ud800"}', '{"method": "GET", "path_b64": "!", "path": "/"}']
    good = '{"id": "x", "method": "GET", "path": "/version"}'
    result = explain("-o", "json", "-", stdin="\n".join([*lines, "", good, ""]))
    assert result.exit_code == 1
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["x"]
    said = result.stderr.splitlines()
    assert [line.split(": ")[1] for line in said] == [f"<stdin>:{n}:{2 if n == 1 else 1}" for n in range(1, 9)]
    assert "`path` is missing" in said[2]
    assert "`path` is not a string" in said[3]


def test_a_line_may_hold_any_text():
    line = '{"id": "\\udcff", "method": "GET", "path": "/api/v1/pods?%ff=\\u001b"}\n'
    (answer,) = answers("-", stdin=line)
    assert answer["id"] == "\udcff"
    assert answer["refused"]["rule"] == "target/bytes"


@pytest.mark.parametrize(
    ("arguments", "attributes", "action"),
    [
        (["/api/v1/namespaces/a/pods?watch=1"], ("watch", "pods", "a", ""), "Allow"),
        (["-X", "DELETE", "/api/v1/namespaces/a/pods/p?gracePeriodSeconds=0"], ("delete", "pods", "a", "p"), "RequireApproval"),
        (["https://10.0.0.1:6443/api/v1/secrets?limit=5"], ("list", "secrets", "", ""), "Allow"),
        (["-d", '{"kind":"Namespace","metadata":{"name":"n"}}', "/api/v1/namespaces"], ("create", "namespaces", "", ""), "RequireApproval"),
        (["curl", "-k", "-XPOST", "https://h/api/v1/namespaces", "-H", "Authorization: Bearer x", "--data", '{"metadata":{"name":"n"}}'], ("create", "namespaces", "", ""), "RequireApproval"),
        (["--", "curl", "https://h/api/v1/nodes/n1/proxy/run"], ("get", "nodes", "", "n1"), "Deny"),
        (["curl", "-sSk", "-H", "Impersonate-User: admin", "https://h/api"], ("get", "", "", ""), "Deny"),
    ],
)  # fmt: skip
def test_a_curl_line(arguments, attributes, action):
    (answer,) = answers(*arguments)
    found = answer["attributes"]
    assert (found["verb"], found["resource"], found["namespace"], found["name"]) == attributes
    assert answer["verdict"]["action"] == action


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["curl", "-F", "a=b", "https://h/api"], "`-F` of curl is not known here"),
        (["curl", "-d", "@body.json", "https://h/api"], "is not read here"),
        (["curl", "-s"], "0 URLs"),
        (["-H", "no colon", "/api"], "has no colon"),
        (["-X", "PUT", str(CORPUS)], "go with a path"),
        (["/api", "/apis"], "give one thing"),
        (["missing.jsonl"], "there is no file"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_explained_is_said(arguments, message):
    result = explain(*arguments)
    assert result.exit_code == 2
    assert message in result.stderr


def flow(path: bytes, **metadata: str) -> bytes:
    request = {
        "method": b"GET", "path": path, "headers": ((b"Host", b"h"), (b"Content-Length", b"9")), "content": b"", "http_version": b"HTTP/1.1",
    }  # fmt: skip
    return encode({"type": "http", "id": "f1", "request": request, "metadata": metadata})


def test_a_recorded_flow(tmp_path):
    file = tmp_path / "x.flow"
    file.write_bytes(flow(b"/api/v1/pods") + flow(b"/api/v1/pods", **{"pratique.client": "viewer-1"}))
    first, second = answers(str(file))
    assert first["id"] == f"{file}:1 f1"
    assert (first["attributes"]["verb"], first["verdict"]["rules"]) == ("list", ["mcp-default/read"])
    assert second["verdict"]["rules"] == ["read-only/read"], "judged as the client that was recorded"
    assert "masks stand for" in second["assumed"][0]
    assert answers("--client", "nobody", str(file))[1]["verdict"]["action"] == "Deny"


def test_a_damaged_flow_file_is_said_after_its_good_records(tmp_path):
    file = tmp_path / "x.flow"
    file.write_bytes(flow(b"/api/v1/pods") + b"9999999:oops")
    assert len(answers(str(file))) == 1, "an unfinished last record is left out"
    file.write_bytes(flow(b"/api/v1/pods") + b"4:oops?")
    result = explain("-o", "json", str(file))
    assert result.exit_code == 2
    assert "flow 2" in result.stderr
    assert result.stdout.count("\n") == 1


def test_a_session_that_does_not_exist_is_said(tmp_path):
    result = explain("--state", str(tmp_path), "20260101")
    assert result.exit_code == 1
    assert "names no session" in result.stderr


def test_people_see_attributes_what_is_sent_each_rule_and_the_verdict():
    shown = explain("kubectl", "delete", "deploy", "api", "-n", "payments").stdout
    for text in (
        "kubectl delete deploy api -n payments  (delete)",
        "attributes   delete  deployments  in apps/v1  namespace payments  name api",
        "sent         DELETE /apis/apps/v1/namespaces/payments/deployments/api",
        "matches  RequireApproval  mcp-default/queue-delete",
        "verb `delete` does not match",
        "client `demo` is not a subject of policy `read-only`",
        "verdict      RequireApproval  by mcp-default/queue-delete",
        "assumed      kubectl also reads discovery",
    ):
        assert text in shown


def test_people_see_why_a_request_is_refused():
    shown = explain("-H", "Cookie: a", "/api/v1/namespaces/default%2Fsecrets").stdout
    for text in (
        "attributes   list  secrets  in v1  namespace default",
        "refused      400 the path",
        "by           path/encoded-slash: the server decodes %2F before it splits the path; other hops do not (row 1.1, 1.7)",
        "verdict      Deny  before any policy was asked",
    ):
        assert text in shown


def test_people_see_what_is_not_sent_and_never_an_escape_sequence():
    shown = explain("-H", "Cookie: a=b", "-H", "X-Remote-User: x", "/api/v1/pods?limit=x").stdout
    assert "not sent     headers Cookie, X-Remote-User" in shown
    assert "a=b" not in shown
    assert 'the server answers 400: strconv.ParseInt: parsing "x"' in shown
    evil = json.dumps({"id": "\x1b]52;c;x\x07", "method": "GET", "path": "/api/v1/pods/\x1b[31m"})
    assert "\x1b" not in explain("-", stdin=evil + "\n").stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [
            "-X",
            "PATCH",
            "-H",
            "Content-Type: application/merge-patch+json",
            "-d",
            '{"spec":{"hostNetwork":true}}',
            "/api/v1/namespaces/a/pods/p",
        ],
        ["/healthz"],
    ],
)
def test_people_see_every_kind_of_request(arguments):
    result = explain(*arguments)
    assert (result.exit_code, "verdict" in result.stdout) == (0, True)
