"""The corpus: what a real API server said about each request, and what the gateway says."""

from __future__ import annotations

import pytest

from pratique.errors import Refused
from pratique.kube.attributes import request_attributes, resolve
from pratique.kube.canonical import canonicalise
from pratique.kube.forms import from_corpus
from pratique.kube.nethttp import own_answer
from pratique.kube.options import options_of
from pratique.kube.rules import RULES
from tests.kube.requests import corpus

LINES = {line["id"]: line for line in corpus()}
# Which lines are refused, by rule: a change of a check shows here.
REFUSED = {
    "body/content-encoding": "k0735",
    "body/content-type": "k0374 k0734",
    "body/protobuf": "k0731",
    "body/duplicate-key": "k0792",
    "body/name": "k0799",
    "body/yaml": "k0794",
    "framing/both-lengths": "k0740",
    "framing/content-length": "k0742",
    "header/bearer-subprotocol": "k0283",
    "header/duplicate": "k0741",
    "header/impersonate": "k0699 k0700 k0701",
    "header/name": "k0746",
    "line/method": "k0078 k0103 k0107 k0108 k0109 k0112 k0113 k0115 k0116 k0122 k0129 k0130 k0682",
    "line/version": "k0687 k0688 k0689",
    "path/character": "k0538 k0539 k0540 k0546 k0548 k0556 k0562 k0564",
    "path/deprecated-proxy": "k0009 k0010 k0082 k0083 k0086 k0088 k0090",
    "path/deprecated-watch": "k0014 k0059 k0060 k0061 k0065 k0069 k0071 k0072 k0073 k0074 k0075 k0076 k0080 k0081 k0094 k0298",
    "path/dot-segment": "k0349 k0609 k0610 k0611 k0612 k0613 k0616 k0619",
    "path/empty-segment": (
        "k0581 k0584 k0586 k0589 k0591 k0596 k0600 k0606 k0607 k0608 k0625 k0626 k0629 k0631 k0633 k0659 k0680 "
    ),
    "path/encoded-character": "k0293 k0323 k0350 k0521 k0528 k0531 k0532 k0533 k0569",
    "path/encoded-percent": "k0541 k0542",
    "path/encoded-slash": "k0292 k0523 k0524 k0525 k0526 k0527 k0530 k0570 k0572 k0573 k0575 k0576 k0577 k0578",
    "path/escape": "k0551",
    "path/semicolon": "k0545 k0636 k0637 k0638",
    "query/boolean": (
        "k0141 k0142 k0146 k0147 k0148 k0149 k0150 k0151 k0152 k0153 k0155 k0156 k0163 k0165 k0168 k0200 "
        "k0205 k0209 k0280 "
    ),
    "query/characters": "k0169 k0170 k0171 k0272",
    "query/dry-run": "k0396 k0398",
    "query/duplicate": "k0057 k0173 k0174 k0175 k0176 k0252 k0253 k0264 k0279",
    "query/escape": "k0191 k0193 k0201",
    "query/misspelt": "k0178 k0274 k0400",
    "query/semicolon": "k0190",
    "target/bytes": "k0559 k0684 k0802",
    "target/form": "k0133 k0134 k0671 k0673 k0675 k0679 k0681",
    "target/fragment": "k0195 k0196 k0683",
}
RULE_OF = {line: rule for rule, lines in REFUSED.items() for line in lines.split()}


@pytest.mark.parametrize("line", LINES.values(), ids=list(LINES))
def test_the_canonical_request_has_the_server_s_attributes_or_is_refused_by_the_listed_rule(line):
    try:
        request = canonicalise(from_corpus(line))
    except Refused as error:
        request, rule = None, error.rule
    else:
        rule = None
    assert rule == RULE_OF.get(line["id"])
    if request is None:
        return
    assert request.attributes.as_json() == line["expect"]
    again = request_attributes(request.method, request.target).as_json()
    assert again == {**line["expect"], "path": request.path}, "the target that is sent reads as what was judged"


@pytest.mark.parametrize("line", [line for line in LINES.values() if line["expect"]], ids=lambda line: line["id"])
def test_attributes_and_options_equal_the_server_s_also_where_the_request_is_refused(line):
    raw = from_corpus(line)
    found = resolve(raw.method.decode(), raw.target)
    info = found.attributes
    assert info.as_json() == line["expect"]
    if info.is_resource_request:
        decoded, error = options_of(
            info.api_group, info.resource, info.subresource, info.verb, found.query, found.listed
        )
        assert decoded == line.get("options", {})
        assert error == line.get("optionsError", "")


@pytest.mark.parametrize("line", LINES.values(), ids=list(LINES))
def test_what_net_http_answers_itself_is_known_and_refused(line):
    answers_itself = own_answer(from_corpus(line)) is not None
    assert answers_itself == (line["expect"] is None)
    assert not answers_itself or line["id"] in RULE_OF


def test_every_listed_rule_is_documented():
    assert set(REFUSED) <= set(RULES)
    assert set(RULE_OF) <= set(LINES)
