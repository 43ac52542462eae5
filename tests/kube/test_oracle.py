"""Beyond the corpus: 1700 more requests, answered by Kubernetes' own code (`oracle/`), and what the gateway makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pratique.errors import Refused
from pratique.kube.attributes import resolve
from pratique.kube.canonical import canonicalise
from pratique.kube.forms import from_corpus
from pratique.kube.nethttp import own_answer
from pratique.kube.options import options_of
from tests.kube.oracle.requests import requests

ANSWERS = [json.loads(line) for line in Path(__file__).with_name("oracle").joinpath("answers.jsonl").open()]
ASKED = list(zip(requests(), ANSWERS, strict=True))
CATEGORIES = sorted({request["category"] for request, _ in ASKED})
SEEN = [(request, answer) for request, answer in ASKED if answer]


def of(category, asked=ASKED):
    return [(request, answer) for request, answer in asked if request["category"] == category]


@pytest.mark.parametrize("category", CATEGORIES)
def test_net_http_answers_itself_what_it_answers_itself(category):
    wrong = [request for request, answer in of(category) if (own_answer(from_corpus(request)) is None) != bool(answer)]
    assert wrong == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_what_no_handler_sees_is_refused(category):
    passed = []
    for request, answer in of(category):
        if not answer:
            try:
                passed.append((request, canonicalise(from_corpus(request)).target))
            except Refused:
                continue
    assert passed == []


@pytest.mark.parametrize("category", CATEGORIES)
def test_attributes_and_options_are_kubernetes_own(category):
    for request, answer in of(category, SEEN):
        raw = from_corpus(request)
        found = resolve(raw.method.decode("latin-1"), raw.target)
        info = found.attributes
        assert info.as_json() == answer["expect"], request
        if not info.is_resource_request or info.error:
            continue
        decoded, error = options_of(
            info.api_group, info.resource, info.subresource, info.verb, found.query, found.listed
        )
        decoded.get("podLogOptions", {}).pop("sinceTime", None)  # the oracle only says whether it is one
        assert shown(decoded) == answer["options"], request
        assert shown(error) == answer["optionsError"], request


def shown(value):
    """Go's JSON: U+FFFD for each byte that is not UTF-8."""
    if isinstance(value, str):
        return "".join("\ufffd" if "\udc80" <= c <= "\udcff" else c for c in value)
    if isinstance(value, list):
        return [shown(item) for item in value]
    return {key: shown(item) for key, item in value.items()} if isinstance(value, dict) else value


@pytest.mark.parametrize("category", CATEGORIES)
def test_the_target_that_is_sent_reads_as_what_was_judged(category):
    for request, answer in of(category, SEEN):
        try:
            canonical = canonicalise(from_corpus(request))
        except Refused:
            continue
        assert canonical.attributes.as_json() == answer["expect"], request
        again = resolve(canonical.method, canonical.target).attributes.as_json()
        assert again == {**answer["expect"], "path": canonical.path}, request
