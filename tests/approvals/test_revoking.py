"""Who may revoke and lift, at the desk, over HTTP and on the command line; what is kept of it."""

from __future__ import annotations

import json
import os
import pwd
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pratique.approvals.reviewers import MayDecide, Reviewer
from pratique.approvals.revoking import RevocationDesk, new_id
from pratique.approvals.sqlite_store import SqliteStore
from pratique.cli import main
from pratique.cli.desks import ADMIN, AUTHORITY, KEY
from pratique.errors import Refused
from pratique.identity.revoking.sqlite_store import SqliteRevocations
from pratique.revocation import Kind
from tests.approvals.admin import KEYS, Admin

ME = pwd.getpwuid(os.getuid()).pw_name
NOW = 1_700_000_000.0
ANY = Reviewer("alice", "alice", (MayDecide(),))
SHOP = Reviewer("shop", "shop", (MayDecide(clients=("shop-*",)),))
OWNER = Reviewer("owner", "owner", (MayDecide(),), clients=("agent",))


@pytest.fixture
def desk(tmp_path: Path) -> RevocationDesk:
    return RevocationDesk(SqliteRevocations(tmp_path / "revocations.sqlite"), lambda: NOW)


def code(call, *arguments) -> int:
    with pytest.raises(Refused) as refused:
        call(*arguments)
    return refused.value.code


def test_it_is_kept_with_who_why_and_until_when(desk: RevocationDesk) -> None:
    made = desk.revoke(ANY, Kind.CLIENT, "agent", "stolen", 60.0)
    assert (made.by, made.reason, made.at, made.until) == ("alice", "stolen", NOW, NOW + 60)
    assert desk.find(ANY) == [made]
    desk.lift(ANY, made.id)
    assert desk.find(ANY) == []
    (kept,) = desk.find(ANY, ended=True)
    assert (kept.lifted_by, kept.lifted_at) == ("alice", NOW)
    assert code(desk.lift, ANY, made.id) == 404


@pytest.mark.parametrize(
    ("kind", "name", "may"),
    [(Kind.CLIENT, "shop-a", True), (Kind.CLIENT, "agent", False), (Kind.SESSION, "s", False), (Kind.ALL, "", False)],
)
def test_a_reviewer_with_a_field_cuts_off_its_clients_only(
    desk: RevocationDesk, kind: Kind, name: str, may: bool
) -> None:
    if may:
        made = desk.revoke(SHOP, kind, name, "", None)
        desk.lift(SHOP, made.id)
        return
    assert code(desk.revoke, SHOP, kind, name, "", None) == 403
    made = desk.revoke(ANY, kind, name, "", None)
    assert code(desk.lift, SHOP, made.id) == 403
    assert (made in desk.find(SHOP)) is (kind is not Kind.CLIENT)


def test_nobody_lifts_what_stops_their_own_client(desk: RevocationDesk) -> None:
    """Cutting it off they may."""
    made = [desk.revoke(OWNER, Kind.CLIENT, "agent", "", None), desk.revoke(OWNER, Kind.ALL, "", "", None)]
    assert [code(desk.lift, OWNER, each.id) for each in made] == [403, 403]
    desk.lift(OWNER, desk.revoke(OWNER, Kind.CLIENT, "other", "", None).id)


def test_ids_can_be_told_over_a_telephone() -> None:
    assert len({new_id() for _ in range(100)}) == 100


# --- over HTTP ---


@pytest.fixture
def admin(tmp_path: Path):
    running = Admin(SqliteStore(tmp_path / "approvals.sqlite"), tmp_path, lambda: NOW)
    yield running
    running.close()


def test_over_http_it_needs_a_reviewer_and_a_browser_its_own_page(admin: Admin) -> None:
    body = {"kind": "client", "name": "agent", "reason": "x", "seconds": 60}
    assert admin.call("POST", "/api/v1/revocations", body).code == 401
    assert admin.call("GET", "/api/v1/revocations").code == 401
    cookie = admin.login()
    assert admin.call("POST", "/api/v1/revocations", body, cookie=cookie, origin=False).code == 403
    assert admin.revocations.in_force(NOW) == ()
    made = admin.call("POST", "/api/v1/revocations", body, cookie=cookie)
    assert made.code == 201
    assert made.json == {
        "id": made.json["id"], "kind": "client", "name": "agent", "reason": "x", "by": "alice", "at": NOW,
        "until": NOW + 60, "inForce": True, "liftedAt": None, "liftedBy": "",
    }  # fmt: skip
    assert admin.call("GET", "/api/v1/revocations", cookie=cookie).json == {"revocations": [made.json]}
    path = f"/api/v1/revocations/{made.json['id']}/lift"
    assert admin.call("POST", path, {}, cookie=cookie, origin=False).code == 403
    assert admin.call("POST", path, {}).code == 401
    assert admin.call("POST", path, {}, key="bob").code == 204
    assert admin.call("POST", path, {}, key="bob").code == 404
    (ended,) = admin.call("GET", "/api/v1/revocations?show=all", key="bob").json["revocations"]
    assert (ended["inForce"], ended["liftedBy"]) == (False, "bob")


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "planet"}, {"kind": "client"}, {"kind": "all", "name": "x"}, {"kind": "client", "name": "a b"},
        {"kind": "client", "name": "a", "seconds": 0}, {"kind": "client", "name": "a", "more": 1},
        {"kind": "client", "name": "a", "reason": "x" * 501},
    ],
)  # fmt: skip
def test_over_http_what_is_no_revocation_is_refused(admin: Admin, body) -> None:
    assert admin.call("POST", "/api/v1/revocations", body, key="alice").code == 400
    assert admin.revocations.in_force(NOW) == ()


# --- on the command line ---


@pytest.fixture(params=["here", "elsewhere"])
def run(request, tmp_path: Path):
    SqliteStore(tmp_path / "approvals.sqlite").close()
    environment, running = {}, None
    if request.param == "elsewhere":
        running = Admin(SqliteStore(tmp_path / "approvals.sqlite"), tmp_path, time.time)
        environment = {ADMIN: f"https://{running.host}", KEY: KEYS["alice"].key.reveal()}
        environment[AUTHORITY] = str(tmp_path / "admin.pem")

    def run(*arguments: str, code: int = 0) -> str:
        clean = {ADMIN: None, KEY: None, AUTHORITY: None}
        found = CliRunner().invoke(main, ["revoke", *arguments, "--state", str(tmp_path)], env=clean | environment)
        assert found.exit_code == code, found.output
        return found.output

    run.who = "alice" if running else ME
    yield run
    if running:
        running.close()


def test_on_the_command_line(run) -> None:
    (made,) = json.loads(run("client", "agent", "--reason", "stolen", "--for", "2h", "--output", "json"))
    assert (made["by"], made["name"], made["reason"]) == (run.who, "agent", "stolen")
    assert made["until"] - made["at"] == pytest.approx(7200)
    (line,) = run("--list").splitlines()
    assert line.split("\t")[:4] == [made["id"], "client", "agent", run.who]
    assert "lifted" in run("--lift", made["id"])
    assert run("--list") == ""
    assert "lifted 20" in run("--list", "--all")
    assert "no revocation" in run("--lift", made["id"], code=1)
    assert run("all").split("\t")[1:3] == ["all", ""]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["client"],
        ["all", "agent"],
        ["grant"],
        ["client", "a", "--list"],
        ["--list", "--lift", "rev-1"],
        ["moon", "x"],
    ],
)
def test_on_the_command_line_half_a_sentence_is_no_order(run, arguments: list[str]) -> None:
    run(*arguments, code=2)
    assert run("--list", "--all") == ""


def test_on_the_command_line_a_bad_time_or_reason_is_refused(run) -> None:
    assert "--for" in run("all", "--for", "soon", code=1)
    assert "--reason" in run("all", "--reason", "x" * 501, code=1)
    assert run("--list", "--all") == ""
