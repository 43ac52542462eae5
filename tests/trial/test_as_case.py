"""Recorded requests as cases: the same request, in few words, and a file that is otherwise as it was."""

from __future__ import annotations

import pytest

from pratique.documents import parse
from pratique.errors import Position, Refused
from pratique.kube.canonical import canonicalise
from pratique.kube.forms import from_corpus
from pratique.policy.cases import Case, CaseRequest, CaseSpec, Expect, parse_cases, policy_request
from pratique.policy.request import PolicyRequest
from pratique.trial.as_case import MAX_BODY, NotACase, add_case, case_request, new_file
from tests.kube.requests import corpus

HEAD = "apiVersion: pratique/v1\nkind: PolicyCases\nmetadata: {name: c}\nspec:\n  client: a\n"
TEXT = (
    HEAD
    + """\
  cases:
  # about pods
  - name: one   # the first
    request: {verb: get,   resource: pods}
    expect: {action: Allow, why: "quoted"}

"""
)
SPEC = CaseSpec("two", CaseRequest(verb="list", resource="pods"), Expect("Deny", why="it: must # be"))


def requests():
    for line in corpus():
        try:
            yield line["id"], canonicalise(from_corpus(line))
        except Refused:
            continue


CANONICAL = dict(requests())


def same(again, request):
    looked_at = [(one.exec, one.ports, one.patch_type, one.dry_run, one.document) for one in (again, request)]
    attributes = [(one.attributes.verb, one.attributes.path.rstrip("/")) for one in (again, request)]
    return looked_at[0] == looked_at[1] and attributes[0] == attributes[1]


def test_every_request_of_the_corpus_is_a_case_that_asks_the_same():
    position = Position("x")
    for name, canonical in CANONICAL.items():
        request = PolicyRequest.from_canonical("a", canonical)
        if not canonical.proxied or not canonical.body:  # of a proxied one the body is the application's
            spec = CaseSpec("two", case_request(request, canonical), Expect("Deny"))
            assert same(policy_request(Case("two", "a", spec, position)), request), name


@pytest.mark.parametrize("name", sorted(CANONICAL)[::12])
def test_a_case_comes_back_from_the_file_as_it_was(name):
    canonical = CANONICAL[name]
    request = PolicyRequest.from_canonical("a", canonical)
    made = case_request(request, canonical)
    (_, case) = parse_cases(add_case(TEXT, "c.yaml", CaseSpec("two", made, Expect("Deny"))), "c.yaml")
    assert case.spec.request == made
    assert same(policy_request(case), request)


def test_plain_requests_are_written_by_verb_and_resource():
    short = [case_request(PolicyRequest.from_canonical("a", one), one) for one in CANONICAL.values() if not one.proxied]
    assert sum(bool(one.verb) for one in short) > len(short) / 2


def test_what_was_there_stays_byte_for_byte_and_the_new_case_is_in_the_same_indentation():
    assert add_case(TEXT, "c.yaml", SPEC) == TEXT.rstrip("\n") + "\n" + (
        "  - name: two\n    request: {verb: list, resource: pods}\n    expect: {action: Deny, why: 'it: must # be'}\n\n"
    )


def test_the_case_goes_to_the_end_of_the_list_wherever_that_is():
    text = TEXT.rstrip("\n") + "\n\n  # about the file\n  description: x\n"
    added = add_case(text, "c.yaml", SPEC)
    assert added.index("- name: two") < added.index("# about the file")
    assert added.replace(added[added.index("  - name: two") : added.index("\n\n  # about") + 1], "", 1) == text


def test_a_long_body_is_a_block():
    body = {"metadata": {"name": "x"}, "data": {f"key-{n}": "value " * 3 for n in range(9)}}
    spec = CaseSpec("two", CaseRequest(method="POST", path="/x", body=body), Expect("Deny"))
    added = add_case(TEXT, "c.yaml", spec)
    assert "\n        key-8: 'value value value '\n" in added or "\n          key-8: 'value value value '\n" in added
    assert parse_cases(added, "c.yaml")[1].spec.request.body == body


@pytest.mark.parametrize(
    "text",
    ["yes", "no", "null", "~", "1", "1e3", "0x1f", "0o7", "a: b", "- x", "#", " x ", "é\n漢", "*", "{}", "'", '"', ""],
)
def test_any_text_comes_back_as_it_was(text):
    spec = CaseSpec(
        "two", CaseRequest(method="POST", path="/x", body={"a": [text, {text: 1.5}]}), Expect("Deny", why=text)
    )
    assert parse_cases(add_case(TEXT, "c.yaml", spec), "c.yaml")[1].spec == spec


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (TEXT.replace("one", "two"), "has a case `two` already"),
        (TEXT + "---\n" + TEXT, "2 documents"),
        (HEAD + "  cases: []\n", "by hand"),
        (HEAD + "  cases: [{name: x, request: {verb: get, resource: pods}, expect: {action: Deny}}]\n", "by hand"),
    ],
)
def test_what_cannot_be_written_to_is_said(text, said):
    with pytest.raises(NotACase, match=said):
        add_case(text, "c.yaml", SPEC)


def test_a_body_that_nobody_reads_is_left_in_its_flow():
    line = {
        "method": "POST",
        "path": "/api/v1/namespaces/a/configmaps",
        "headers": [["Content-Type", "application/json"]],
    }
    canonical = canonicalise(from_corpus({**line, "body": '{"metadata":{"name":"' + "x" * MAX_BODY + '"}}'}))
    with pytest.raises(NotACase, match="flow"):
        case_request(PolicyRequest.from_canonical("a", canonical), canonical)


def test_a_new_file():
    text = new_file("p", "a", CaseSpec("two", SPEC.request, SPEC.expect, "a"))
    assert [(case.name, case.client) for case in parse_cases(text, "p.cases.yaml")] == [("two", "a")]
    assert parse(text, "p", kinds={"PolicyCases"})[0].name == "p"
    assert Case("x", "a", SPEC, Position("x")).client == "a"
