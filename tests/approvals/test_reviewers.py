"""A reviewer proves who they are by a key, and decides only what is theirs."""

from __future__ import annotations

import datetime

import pytest

from pratique.approvals.grants import GrantKind, Scope, Target, Wish
from pratique.approvals.reviewers import (
    MayDecide,
    Reviewer,
    Reviewers,
    local_reviewer,
    new_reviewer_key,
    reviewer_document,
)
from pratique.documents import parse
from pratique.errors import DocumentErrors, Refused
from pratique.identity.clients import Clients, client_document, new_api_key
from pratique.identity.proof import NotProvedError

NOW = 1_700_000_000.0
KEY = new_reviewer_key("alice", bytes(range(32)))
OTHER = new_reviewer_key("bob", bytes(32))
TARGET = Target("delete", "apps", "deployments", "payments", "api")


def reviewers(*texts):
    return Reviewers.from_documents([document for text in texts for document in parse(text, "r.yaml")])


def alice(**fields):
    return reviewers(reviewer_document("alice", KEY.sha256, **fields))


def refusal(work):
    with pytest.raises(Refused) as raised:
        work()
    return raised.value


def test_a_key_authenticates_its_reviewer():
    found = alice().authenticate(KEY.key.reveal(), NOW)
    assert (found.name, found.person, found.trust) == ("alice", "alice", "by key")
    assert found.may_grant is GrantKind.DURATION


@pytest.mark.parametrize(
    "key",
    [
        "",
        "x",
        KEY.key.reveal()[:-1],
        KEY.key.reveal() + "x",
        KEY.key.reveal().replace("alice", "bob"),
        OTHER.key.reveal(),
        new_api_key("alice", bytes(range(32))).key.reveal(),
        KEY.key.reveal() * 100,
    ],
)
def test_every_other_key_gets_the_same_refusal(key):
    refused = refusal(lambda: alice().authenticate(key, NOW))
    assert (refused.code, refused.message) == (401, "this is no valid reviewer's key")


def test_a_reviewers_key_is_no_clients_key_and_the_other_way_round():
    clients = Clients.from_documents(parse(client_document("alice", KEY.sha256), "c.yaml"))
    with pytest.raises(NotProvedError):
        clients.of_key(KEY.key.reveal(), NOW)


def test_an_expired_key_is_refused_and_ends_sessions():
    expires = datetime.datetime.fromtimestamp(NOW + 10, datetime.UTC)
    found = alice(expires=expires)
    assert found.authenticate(KEY.key.reveal(), NOW + 9).name == "alice"
    assert found.is_current("alice", KEY.sha256, NOW + 9)
    assert refusal(lambda: found.authenticate(KEY.key.reveal(), NOW + 10)).code == 401
    assert not found.is_current("alice", KEY.sha256, NOW + 10)
    assert not found.is_current("bob", KEY.sha256, NOW)
    assert not found.is_current("alice", OTHER.sha256, NOW)


def test_nobody_is_a_reviewer_without_a_document():
    assert refusal(lambda: Reviewers().authenticate(KEY.key.reveal(), NOW)).code == 401
    assert Reviewers().get("alice") is None


@pytest.mark.parametrize(
    ("may", "allowed"),
    [
        (MayDecide(), True),
        (MayDecide(clients=("mcp-*",)), True),
        (MayDecide(clients=("other",)), False),
        (MayDecide(namespaces=("payments", "shop")), True),
        (MayDecide(namespaces=("shop",)), False),
        (MayDecide(resources=("deployments",), api_groups=("apps",)), True),
        (MayDecide(resources=("pods/*",)), False),
        (MayDecide(verbs=("patch", "update")), False),
    ],
)
def test_what_is_not_theirs_is_not_shown_and_not_decided(may, allowed):
    reviewer = Reviewer("alice", "alice", (may,))
    assert reviewer.may_see("mcp-1", TARGET) is allowed
    if allowed:
        reviewer.check("mcp-1", TARGET, Wish())
    else:
        assert refusal(lambda: reviewer.check("mcp-1", TARGET, Wish())).code == 403


def test_one_of_several_fields_is_enough():
    reviewer = Reviewer("alice", "alice", (MayDecide(verbs=("patch",)), MayDecide(verbs=("delete",))))
    reviewer.check("mcp-1", TARGET, Wish())


def test_their_own_clients_are_decided_by_somebody_else():
    reviewer = Reviewer("alice", "alice", (MayDecide(),), clients=("mcp-alice-*",))
    assert "your own client" in refusal(lambda: reviewer.check("mcp-alice-1", TARGET, Wish())).message
    reviewer.check("mcp-bob", TARGET, Wish())


def test_nobody_grants_more_than_their_document_says():
    reviewer = Reviewer("alice", "alice", (MayDecide(),), GrantKind.ONCE)
    assert refusal(lambda: reviewer.check("c", TARGET, Wish(GrantKind.DURATION, 60))).rule == "grant"


@pytest.mark.parametrize(
    ("own", "stated", "allowed"),
    [
        (None, "*", True),
        (("*",), "*", True),
        (("payments",), "", True),
        (("payments",), "*", False),
        (("pay*",), "pay*", True),
        (("pay*",), "payments-*", True),
        (("pay*",), "p*", False),
        (("p?y*",), "p?y*", True),
        (("?ayments",), "*", False),
    ],
)
def test_a_scope_stays_inside_the_reviewers_own_namespaces(own, stated, allowed):
    reviewer = Reviewer("alice", "alice", (MayDecide(namespaces=own),))
    wish = Wish(GrantKind.DURATION, 60, Scope.of(TARGET, namespace=stated, name="*"))
    if allowed:
        reviewer.check("c", TARGET, wish)
    else:
        assert "may not decide all of" in refusal(lambda: reviewer.check("c", TARGET, wish)).message


def test_whoever_uses_the_command_line_is_who_the_operating_system_says():
    assert local_reviewer("root").trust == "login on the gateway's machine"
    local_reviewer("root").check("c", TARGET, Wish(GrantKind.DURATION, 60))


GOOD = reviewer_document("alice", KEY.sha256)
BAD = {
    "no field at all": ("  mayDecide: [{}]", "  mayDecide: []", "`mayDecide` is empty", 7),
    "an empty list": ("  mayDecide: [{}]", "  mayDecide: [{namespaces: []}]", "`namespaces` is empty", 7),
    "a mistyped field": ("  mayDecide: [{}]", "  mayDecide: [{namespace: [a]}]", "`namespace` is not known", 7),
    "no hash": (KEY.sha256, "secret", "not a SHA-256", 9),
    "no such grant": ("  apiKeys:", "  mayGrant: always\n  apiKeys:", "`always` is not known", 8),
}


@pytest.mark.parametrize(("old", "new", "message", "line"), BAD.values(), ids=BAD)
def test_a_bad_document_says_where_and_what(old, new, message, line):
    assert old in GOOD
    with pytest.raises(DocumentErrors, match=message) as raised:
        reviewers(GOOD.replace(old, new))
    assert str(raised.value).startswith(f"r.yaml:{line}:")


def test_a_reviewer_with_the_name_of_a_client_is_an_error():
    with pytest.raises(DocumentErrors, match="nobody decides their own requests"):
        reviewers(GOOD, client_document("alice", OTHER.sha256))


def test_two_reviewers_with_one_key_are_an_error():
    with pytest.raises(DocumentErrors, match="reviewer `alice` has the same key"):
        reviewers(GOOD, reviewer_document("bob", KEY.sha256))


def test_the_document_that_is_written_is_the_one_that_is_read():
    found = alice(clients=["mcp-*"], namespaces=["payments"]).get("alice")
    assert found.may == (MayDecide(clients=("mcp-*",), namespaces=("payments",)),)
    assert alice().names == ("alice",)
