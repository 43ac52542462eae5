"""`pratique approvals`, `revoke` and `reviewers`: the same desk on this machine and elsewhere."""

from __future__ import annotations

import json
import os
import pwd
import time

import pytest
from click.testing import CliRunner

from pratique.approvals.effects import AffectedObject, Effect
from pratique.approvals.reviewers import Reviewers
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.cli import main
from pratique.cli.desks import ADMIN, AUTHORITY, KEY
from pratique.documents import read_folder
from tests.approvals.admin import KEYS, Admin
from tests.approvals.helpers import question

ME = pwd.getpwuid(os.getuid()).pw_name
EFFECT = Effect(
    objects=(AffectedObject("Deployment", "payments", "api", "u1"),),
    total=1,
    cascade=(("Pod", 2),),
    difference=("-  replicas: 2", "+  replicas: 0"),
    risks=(("privileged", "c: true"),),
    digest="d",
)


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "approvals.sqlite")
    yield store
    store.close()


@pytest.fixture
def asked(store):
    return store.ask(question(effect=EFFECT), time.time())


@pytest.fixture(params=["here", "elsewhere"])
def where(request, store, tmp_path):
    """Environment and reviewer's name of both desks."""
    if request.param == "here":
        yield {}, ME
        return
    admin = Admin(store, tmp_path, time.time)
    authority = str(tmp_path / "admin.pem")
    yield {ADMIN: f"https://{admin.host}", KEY: KEYS["alice"].key.reveal(), AUTHORITY: authority}, "alice"
    admin.close()


@pytest.fixture
def run(tmp_path, where):
    environment, _ = where

    def run(*arguments, code=0, **more):
        clean = {ADMIN: None, KEY: None, AUTHORITY: None}
        found = CliRunner().invoke(main, [*arguments, "--state", str(tmp_path)], env=clean | environment | more)
        assert found.exit_code == code, found.output
        return found.output

    return run


def test_what_waits_is_listed_with_what_to_look_at(run, asked):
    (line,) = run("approvals", "list").splitlines()
    assert line.split("\t")[:5] == [
        asked.id,
        "pending",
        "agent",
        "delete Deployment payments/api",
        "2 more go with it, privileged",
    ]
    (entry,) = json.loads(run("approvals", "list", "--output", "json"))
    assert (entry["id"], entry["state"], entry["client"]) == (asked.id, "pending", "agent")
    assert entry["effect"]["cascade"] == [{"kind": "Pod", "number": 2}]
    assert "nonce" not in entry


def test_one_is_shown_with_its_effect_by_the_beginning_of_its_id(run, asked):
    shown = run("approvals", "show", asked.id[:8])
    for text in (
        "privileged: c: true",
        "Deployment payments/api u1",
        "2 Pod",
        "+  replicas: 0",
        "proved by its credential",
    ):
        assert text in shown
    assert json.loads(run("approvals", "show", asked.id, "-o", "json"))["words"] == "delete Deployment payments/api"


def test_approving_keeps_who_and_why(run, store, asked, where):
    assert f"{asked.id} approved" in run("approvals", "approve", asked.id, "--reason", "release 7")
    decided = store.get(asked.id, time.time())
    assert (decided.reviewer, decided.reason) == (where[1], "release 7")
    assert store.grants(time.time()) == []


def test_denying(run, store, asked):
    assert f"{asked.id} denied" in run("approvals", "deny", asked.id, "--reason", "no")
    assert store.get(asked.id, time.time()).state is State.DENIED


def test_approving_for_a_time_and_a_scope_and_taking_it_back(run, store, asked):
    run("approvals", "approve", asked.id, "--for", "10m", "--name", "*")
    (grant,) = store.grants(time.time())
    assert grant.scope.in_words() == "delete deployments.apps * in namespace payments"
    assert 590 < grant.expires_at - time.time() <= 600
    assert grant.id in run("approvals", "grants")
    assert json.loads(run("approvals", "grants", "-o", "json"))[0]["id"] == grant.id
    assert f"{grant.id} revoked" in run("revoke", "grant", grant.id)
    assert store.grants(time.time()) == []
    run("revoke", "grant", grant.id, code=1)


def test_approving_until_the_session_ends(run, store):
    asked = store.ask(question(session="s1"), time.time())
    run("approvals", "approve", asked.id, "--session")
    (grant,) = store.grants(time.time())
    assert (grant.session, grant.fingerprint) == ("s1", asked.question.fingerprint)


def test_revoking_before_and_after_the_use(run, store, asked):
    run("approvals", "approve", asked.id)
    assert f"{asked.id} revoked" in run("revoke", "approval", asked.id)
    other = store.ask(question("db"), time.time())
    run("approvals", "approve", other.id)
    store.consume(other.id, other.question.fingerprint, "agent", time.time())
    assert f"{other.id} taken back" in run("revoke", "approval", other.id)
    assert store.withdrawn([other.id]) == {other.id}
    assert "nothing to revoke" in run("revoke", "approval", other.id, code=1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--name", "*"), "a scope without a length"),
        (("--for", "soon"), "is not a duration"),
        (("--for", "9h"), "8 h"),
        (("--as", "bob"), "No such option"),
    ],
)
def test_options_that_make_no_sense_are_told(run, store, asked, arguments, message):
    code = 2 if arguments[0] == "--as" else 1
    assert message in run("approvals", "approve", asked.id, *arguments, code=code)
    assert store.get(asked.id, time.time()).state is State.PENDING


def test_an_id_that_is_none_or_several_is_told(run, store, asked):
    assert "names 0 approvals" in run("approvals", "show", "apr-zzz", code=1)
    store.ask(question("db"), time.time())
    assert "names 2 approvals" in run("approvals", "deny", "apr-", code=1)


def test_the_name_on_this_machine_is_the_operating_systems_and_no_variables(tmp_path, store, asked):
    environment = {"LOGNAME": "bob", "USER": "bob", "LNAME": "bob", "USERNAME": "bob", ADMIN: None}
    arguments = ["approvals", "approve", asked.id, "--state", str(tmp_path)]
    assert CliRunner().invoke(main, arguments, env=environment).exit_code == 0
    assert store.get(asked.id, time.time()).reviewer == ME


@pytest.mark.parametrize(
    ("admin", "key", "message"),
    [
        ("https://127.0.0.1:1", "", "no key to call"),
        ("http://127.0.0.1:1", "k", "is not https"),
        ("https://127.0.0.1:1", "k", "cannot be called"),
    ],
)
def test_a_gateway_that_cannot_be_called_is_told(tmp_path, admin, key, message):
    found = CliRunner().invoke(main, ["approvals", "list", "--admin", admin, "--state", str(tmp_path)], env={KEY: key})
    assert found.exit_code == 1
    assert message in found.output


def test_a_wrong_key_and_a_missing_store_are_told(tmp_path, store):
    admin = Admin(store, tmp_path, time.time)
    environment = {ADMIN: f"https://{admin.host}", KEY: "wrong", AUTHORITY: str(tmp_path / "admin.pem")}
    found = CliRunner().invoke(main, ["approvals", "list", "--state", str(tmp_path)], env=environment)
    assert (found.exit_code, "no valid reviewer's key" in found.output) == (1, True)
    admin.close()
    none = CliRunner().invoke(main, ["approvals", "list", "--state", str(tmp_path / "none")], env={ADMIN: None})
    assert (none.exit_code, "no approvals in" in none.output) == (1, True)


def test_a_reviewers_key_is_printed_once_and_kept_as_a_hash(tmp_path):
    add = ["reviewers", "add", "alice", "--policies", str(tmp_path), "--client", "mcp-*", "--namespace", "payments"]
    made = CliRunner().invoke(main, add)
    key = made.stdout.strip()
    assert key.startswith("pratique-reviewer_alice_")
    written = (tmp_path / "reviewer-alice.yaml").read_text()
    assert key not in written
    found = Reviewers.from_documents(read_folder(tmp_path))
    reviewer = found.authenticate(key, time.time())
    assert (reviewer.may[0].clients, reviewer.may[0].namespaces) == (("mcp-*",), ("payments",))
    assert "exists" in CliRunner().invoke(main, add).output
    assert CliRunner().invoke(main, ["reviewers", "list", "--policies", str(tmp_path)]).output == "alice\n"
    assert CliRunner().invoke(main, ["reviewers", "add", "No Name", "--policies", str(tmp_path)]).exit_code == 1
