"""A grant covers what was granted, for whom, for how long and for which rule, and nothing beside it."""

from __future__ import annotations

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.grants import MAX_GRANT_SECONDS, Grant, GrantKind, Scope, Target, Wish, narrowest
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.errors import Refused
from pratique.verdict import ApprovalTerms
from tests.approvals.helpers import HOUR, question

NOW = 1000.0
TARGET = Target("delete", "apps", "deployments", "payments", "api")
TEN = Wish(GrantKind.DURATION, 600)
ANY_NAME = Wish(GrantKind.DURATION, 600, Scope.of(TARGET, name="*"))
SESSION = Wish(GrantKind.SESSION, 600)


def granted(store, wish, asked=None):
    approval = store.ask(asked or question(session="s1"), NOW)
    store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, wish=wish)
    (grant,) = store.grants(NOW)
    return approval, grant


def use(store, approval, now=NOW):
    return store.consume(approval.id, approval.question.fingerprint, approval.client, now)


def test_once_is_the_default_and_leaves_no_grant(store):
    approval = store.ask(question(), NOW)
    store.decide(approval.id, Decision.APPROVE, "alice", "", NOW)
    assert store.grants(NOW) == []
    assert use(store, approval)
    assert store.ask(question(), NOW).state is State.PENDING


def test_for_minutes_each_repeat_is_an_approval_of_its_own_used_once(store):
    first, grant = granted(store, TEN)
    assert use(store, first)
    second, third = store.ask(question(), NOW + 1), store.ask(question(), NOW + 1)
    assert len({first.id, second.id, third.id}) == 3
    assert {second.state, third.state} == {State.APPROVED}
    assert (second.grant_id, third.grant_id) == (grant.id, grant.id)
    assert use(store, second, NOW + 2)
    assert not use(store, second, NOW + 2)
    assert use(store, third, NOW + 2)
    assert store.grants(NOW + 2)[0].uses == 2


def test_it_ends_with_its_time_for_asking_and_for_using(store):
    first, _ = granted(store, TEN)
    use(store, first)
    late = store.ask(question(), NOW + 599)
    assert late.state is State.APPROVED
    assert not use(store, late, NOW + 600)
    assert store.ask(question(), NOW + 600).state is State.PENDING
    assert store.grants(NOW + 600) == []
    assert len(store.grants(NOW + 600, ended=True)) == 1


@pytest.mark.parametrize(
    "other", [question("db", session="s1"), question(client="other"), question(query=b"gracePeriodSeconds=0")]
)
def test_exactly_this_request_is_no_other_name_client_or_query(store, other):
    use(store, granted(store, TEN)[0])
    assert store.ask(other, NOW).state is State.PENDING


def test_a_scope_covers_other_names_and_bodies_of_the_same_client(store):
    use(store, granted(store, ANY_NAME)[0])
    assert store.ask(question("db", body="[]"), NOW).state is State.APPROVED
    assert store.ask(question("db", client="other"), NOW).state is State.PENDING


@pytest.mark.parametrize(
    ("target", "covered"),
    [
        (TARGET, True),
        (Target("delete", "apps", "deployments", "payments", "db"), True),
        (Target("delete", "apps", "deployments", "kube-system", "api"), False),
        (Target("patch", "apps", "deployments", "payments", "api"), False),
        (Target("deletecollection", "apps", "deployments", "payments", ""), False),
        (Target("delete", "apps", "deployments/scale", "payments", "api"), False),
        (Target("delete", "", "deployments", "payments", "api"), False),
    ],
)
def test_what_a_scope_does_not_state_is_what_the_request_had(target, covered):
    assert Scope.of(TARGET, name="*").covers(target) is covered


def test_a_scope_of_a_dry_run_is_for_dry_runs():
    dry = Target("delete", "apps", "deployments", "payments", "api", dry_run=True)
    assert Scope.of(dry, name="*").covers(dry)
    assert not Scope.of(dry, name="*").covers(TARGET)
    assert Scope.of(TARGET).covers(dry)


def test_a_name_with_glob_characters_covers_only_itself():
    odd = Target("delete", "apps", "deployments", "payments", "*")
    assert Scope.of(odd).covers(odd)
    assert not Scope.of(odd).covers(TARGET)


def test_for_the_session_is_for_no_other_session(store):
    use(store, granted(store, SESSION)[0])
    assert store.ask(question(session="s2"), NOW).state is State.PENDING
    assert store.ask(question(session="s1"), NOW).state is State.APPROVED


def test_a_request_that_another_rule_asks_for_is_not_covered():
    grant = Grant(
        "g", "a", "agent", "prod", GrantKind.DURATION, ("p/r",), NOW, NOW + 60, scope=Scope.of(TARGET, name="*")
    )
    asked = question("db").asked
    assert grant.covers(asked, NOW)
    from dataclasses import replace

    assert not grant.covers(replace(asked, rules=("p/r", "p/stricter")), NOW)
    assert not grant.covers(replace(asked, cluster="other"), NOW)
    assert not grant.covers(asked, NOW + 60)


def test_whoever_waits_for_what_a_grant_covers_is_told_to_repeat(store):
    waiting = store.ask(question("db"), NOW)
    granted(store, ANY_NAME)
    assert store.ask(question("db"), NOW).state is State.APPROVED
    ended = store.get(waiting.id, NOW)
    assert ended.state is State.CANCELLED
    assert "grant" in ended.note


def test_a_fresh_denial_stands_though_a_grant_covers_it(store):
    denied = store.ask(question("db"), NOW)
    store.decide(denied.id, Decision.DENY, "bob", "not that one", NOW)
    granted(store, ANY_NAME)
    assert store.ask(question("db"), NOW + 1).id == denied.id


def test_revoking_takes_back_what_was_not_used_and_withdraws_what_was(store):
    origin, grant = granted(store, TEN)
    use(store, origin)
    used, unused = store.ask(question(), NOW), store.ask(question(), NOW)
    use(store, used)
    assert store.withdrawn([origin.id, used.id, unused.id]) == set()
    assert store.revoke_grant(grant.id, "alice", NOW + 1)
    assert not store.revoke_grant(grant.id, "alice", NOW + 1)
    assert not use(store, unused, NOW + 1)
    assert store.get(unused.id, NOW + 1).state is State.REVOKED
    assert store.withdrawn([origin.id, used.id, unused.id]) == {origin.id, used.id}
    assert store.ask(question(), NOW + 2).state is State.PENDING
    (ended,) = store.grants(NOW + 2, ended=True)
    assert (ended.revoked_at, ended.revoked_by) == (NOW + 1, "alice")


def test_a_used_approval_is_withdrawn_once(store):
    approval, _ = granted(store, TEN)
    assert not store.withdraw(approval.id, NOW)
    use(store, approval)
    assert store.withdraw(approval.id, NOW)
    assert not store.withdraw(approval.id, NOW)


@pytest.mark.parametrize("widest", ["once", "session", "duration"])
@pytest.mark.parametrize("wish", [Wish(), SESSION, TEN], ids=lambda wish: wish.kind)
def test_a_rule_says_how_widely_its_reviewers_may_grant(store, wish, widest):
    approval = store.ask(question(terms=ApprovalTerms(expires_after=HOUR, grant=widest)), NOW)
    if wish.kind.width <= GrantKind(widest).width:
        store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, wish=wish)
        return
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, wish=wish)
    assert raised.value.code == 403
    assert store.get(approval.id, NOW).state is State.PENDING


@pytest.mark.parametrize(
    "wish",
    [
        Wish(GrantKind.DURATION, 0),
        Wish(GrantKind.DURATION, MAX_GRANT_SECONDS + 1),
        Wish(GrantKind.SESSION, 0.5),
        Wish(GrantKind.ONCE, 60),
        Wish(GrantKind.ONCE, 0, Scope.of(TARGET)),
    ],
)
def test_a_grant_has_a_sensible_length(wish):
    with pytest.raises(Refused) as raised:
        wish.check("duration")
    assert raised.value.code == 400


def test_of_several_wishes_the_narrowest_counts():
    assert narrowest([]) == Wish()
    assert narrowest([TEN, Wish()]) == Wish()
    assert narrowest([TEN, Wish(GrantKind.DURATION, 60)]) == Wish(GrantKind.DURATION, 60)
    assert narrowest([ANY_NAME, TEN]) == TEN
    assert narrowest([ANY_NAME, ANY_NAME]) == ANY_NAME
    assert narrowest([SESSION, ANY_NAME]) == SESSION


def test_with_a_quorum_nobody_grants_more_than_the_other_wants(store):
    approval = store.ask(question(terms=ApprovalTerms(quorum=2, expires_after=HOUR)), NOW)
    store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, wish=ANY_NAME)
    assert store.grants(NOW) == []
    store.decide(approval.id, Decision.APPROVE, "bob", "", NOW, wish=TEN)
    (grant,) = store.grants(NOW)
    assert (grant.scope, grant.fingerprint) == (None, approval.question.fingerprint)
    assert grant.reviewers == ("alice", "bob")


def test_two_names_of_one_person_are_one_voice(store):
    approval = store.ask(question(terms=ApprovalTerms(quorum=2, expires_after=HOUR)), NOW)
    store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, person="alice")
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.APPROVE, "alice-phone", "", NOW, person="Alice")
    assert raised.value.code == 409
    assert store.get(approval.id, NOW).state is State.PENDING


def test_the_client_behind_another_name_cannot_decide(store):
    approval = store.ask(question(client="agent"), NOW)
    with pytest.raises(Refused) as raised:
        store.decide(approval.id, Decision.APPROVE, "a-reviewer", "", NOW, person="Agent")
    assert raised.value.code == 403


def test_another_patch_supersedes_and_a_repeat_after_use_says_so(store):
    first = store.ask(question(query=b"a=1"), NOW)
    second = store.ask(question(query=b"a=2"), NOW + 1)
    assert (first.supersedes, second.supersedes) == ("", first.id)
    store.decide(second.id, Decision.APPROVE, "alice", "", NOW)
    use(store, second)
    again = store.ask(question(query=b"a=2"), NOW + 2)
    assert again.repeats == second.id
    assert store.ask(question("db"), NOW + 2).supersedes == ""
    assert store.ask(question(query=b"a=3"), NOW + 10_000).supersedes == ""


def test_a_store_of_the_first_version_is_brought_forward(tmp_path):
    import sqlite3

    from pratique.approvals.sqlite_schema import MIGRATIONS

    with sqlite3.connect(tmp_path / "old") as db:
        db.executescript(MIGRATIONS[0])
        row = ("apr-old", "f" * 64, "agent", "prod", "pending", 1.0, 9e9, 1, 1.0, None)
        summary = '{"words":"w","method":"DELETE","path":"/"}'
        db.execute(f"INSERT INTO approvals VALUES ({','.join('?' * 13)})", (*row, summary, '{"quorum":1}', 2))
        db.execute("PRAGMA user_version = 1")
    store = SqliteStore(tmp_path / "old")
    old = store.get("apr-old", NOW)
    assert (old.state, old.question.target, old.grant_id) == (State.PENDING, Target(), "")
    assert store.decide("apr-old", Decision.APPROVE, "alice", "", NOW).state is State.APPROVED
    store.close()


def test_whether_a_question_is_new_is_told_without_asking_it(store):
    assert store.is_new(question(), NOW)
    assert store.find(NOW) == []
    approval = store.ask(question(), NOW)
    assert not store.is_new(question(), NOW)
    assert store.get(approval.id, NOW).attempts == 1
    store.decide(approval.id, Decision.APPROVE, "alice", "", NOW, wish=ANY_NAME)
    assert not store.is_new(question("db"), NOW)


def test_over_quota_is_told_before_anything_is_looked_at(stores):
    store = stores.open(max_pending=1)
    store.ask(question(), NOW)
    with pytest.raises(Refused) as raised:
        store.is_new(question("db"), NOW)
    assert (raised.value.code, raised.value.retry_after) == (429, None)
