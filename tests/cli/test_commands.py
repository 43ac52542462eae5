"""Every other command: what it prints for people and programs, and how it refuses bad input."""

from __future__ import annotations

import json
import re
import shutil
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from pratique import __version__
from pratique.approvals.sqlite_store import SqliteStore
from pratique.cli import main
from pratique.cli.output import default_policies
from pratique.identity.clients import Clients
from tests.approvals.helpers import question
from tests.cli.conftest import module
from tests.cli.test_sessions import UNSAFE

POLICIES = default_policies()
SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"p": "c2VjcmV0LUNBTkFSWQ=="}}


# --- the group ---


def test_help_names_every_command_and_version_the_version(run) -> None:
    text = run("--help").stdout
    for name in ("run", "check", "explain", "mask", "clients", "approvals", "sessions", "replay", "revoke"):
        assert re.search(rf"^  {name}\s", text, re.MULTILINE), name
    assert __version__ in run("--version").stdout


@pytest.mark.parametrize(
    "command", [["--help"], ["sessions", "--help"], ["approvals", "--help"], ["replay", "--help"], ["mask", "-h"]]
)
def test_every_help_is_a_success(run, command: list[str]) -> None:
    result = run(*command)
    assert result.exit_code == 0
    assert "Usage:" in result.stdout


BAD = [
    (["nonsense"], 2, "No such command 'nonsense'"),
    (["check"], 2, "Missing argument"),
    (["check", "/no/folder"], 1, "pratique: /no/folder:1:1: folder cannot be read"),
    (["explain", "no/file.jsonl"], 2, "no/file.jsonl"),
    (["explain", "--policies", "/no/folder", __file__], 1, "/no/folder:1:1: folder cannot be read"),
    (["mask", "-"], 2, "Missing option '--path'"),
    (["mask", "--path", "/api/v1/secrets", __file__], 1, "pratique: this is no JSON"),
    (["mask", "--path", "/api/v1/secrets", "/no/file"], 2, "/no/file"),
    (["clients", "add"], 2, "Missing argument"),
    (["clients", "add", "Bad/Name"], 1, "pratique: `Bad/Name` is not a DNS-1123 name. Use a-z"),
    (["clients", "add", "ok", "--policies", "/no/folder"], 1, "pratique: `/no/folder/client-ok.yaml`: No such file or directory"),
    (["clients", "add", "ok", "--expires", "soon"], 2, "soon"),
    (["clients", "list", "--policies", "/no/folder"], 1, "/no/folder:1:1"),
    (["approvals", "list", "--state", "/no/state"], 1, "pratique: no approvals in `/no/state`"),
    (["approvals", "approve", "x", "--state", "/no/state"], 1, "pratique: no approvals in `/no/state`"),
    (["revoke"], 2, "say what to revoke"),
    (["revoke", "nonsense", "x"], 2, "nonsense"),
    (["run", "--policies"], 2, "pratique: --policies needs a folder"),
    (["run", "--policies", "/no/folder"], 1, "pratique: /no/folder:1:1: folder cannot be read"),
    (["run", "--nonsense"], 2, "unrecognized arguments: --nonsense"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("command", "code", "said"), BAD, ids=[" ".join(case[0]).replace(__file__, "FILE") for case in BAD]
)
def test_bad_input_is_one_clear_line_and_an_exit_code(command: list[str], code: int, said: str) -> None:
    result = CliRunner().invoke(main, command, input="", catch_exceptions=False)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert [
            line for line in result.stderr.splitlines() if line.startswith("pratique: ")
        ] == result.stderr.splitlines()


@pytest.mark.parametrize(
    "command", [["check", "/no/folder\x1b[31m"], ["sessions", "show", "\x1b]0;x\x07", "--state", "/tmp"]]
)
def test_an_argument_is_not_echoed_as_a_control_sequence(run, command: list[str]) -> None:
    result = run(*command)
    assert result.exit_code == 1
    assert UNSAFE.search(result.stderr) is None


def test_the_module_form_refuses_alike() -> None:
    done = module("check", "/no/folder")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("pratique: /no/folder:1:1: ")
    assert module("nonsense").returncode == 2
    assert module("run", "--policies", "/no/folder").returncode == 1


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--set", "pratique_hold=long"], "long"), (["-v"], "pratique: -v logs requests with their credentials")],
)
def test_run_refuses_an_option_in_one_line(options: list[str], said: str) -> None:
    done = module("run", *options, "--policies", "/no/folder")
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# --- check, explain, mask ---


def test_check_passes_the_shipped_policies(run, run_json) -> None:
    result = run("check", POLICIES)
    assert result.exit_code == 0
    assert re.fullmatch(r"ok: \d+ policies, \d+ rules, \d+ cases, 0 failed", result.stdout.splitlines()[-1])
    assert "\x1b" not in result.stdout
    shown = run_json("check", POLICIES)
    assert set(shown) >= {"passed", "policies", "rules", "cases", "failed", "findings"}
    assert (shown["passed"], shown["failed"]) == (True, 0)


def test_check_names_file_line_and_column_of_every_error(run, run_json, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    (folder / "bad.yaml").write_text(
        "apiVersion: pratique/v1\nkind: Policy\nmetadata: {name: bad\x1b}\nspec: {rules: 5}\n"
    )
    result = run("check", folder)
    assert result.exit_code == 1
    text = result.stdout + result.stderr
    assert re.search(r"bad\.yaml:\d+:\d+: ", text)
    assert "Traceback" not in text
    assert UNSAFE.search(text) is None


def test_check_ends_with_1_where_a_case_fails(run, run_json, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    cases = folder / "read-only.cases.yaml"
    text = cases.read_text()
    assert "action: Deny" in text
    cases.write_text(text.replace("action: Deny", "action: Allow", 1))
    assert run("check", folder).exit_code == 1
    shown = run_json("check", folder, code=1)
    assert (shown["passed"], shown["failed"]) == (False, 1)


def test_explain_prints_a_verdict_for_each_line(run) -> None:
    lines = [{"id": "a", "method": "GET", "path": "/api/v1/pods"}, {"id": "b\x1b[31m", "method": "GET", "path": "//x"}]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    result = run("explain", "--policies", POLICIES, "-", stdin=text)
    assert result.exit_code == 0
    assert "list  pods  in v1" in result.stdout
    assert UNSAFE.search(result.stdout) is None
    found = run("explain", "--policies", POLICIES, "-", "--output", "json", stdin=text)
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == ["a", "b\x1b[31m"]


@pytest.mark.parametrize("line", ["{", "[]", "5", '{"method":"GET"}', '"x"'])
def test_explain_names_the_line_that_is_no_request_and_goes_on(run, tmp_path: Path, line: str) -> None:
    file = tmp_path / "requests.jsonl"
    file.write_text(f'{line}\n{{"method":"GET","path":"/version"}}\n')
    result = run("explain", "--policies", POLICIES, file)
    assert result.exit_code == 1
    assert re.search(r"^pratique: \S+:1:\d: ", result.stderr, re.MULTILINE)
    assert "/version" in result.stdout or "get" in result.stdout


def test_mask_masks_and_says_by_which_rule(run) -> None:
    result = run(
        "mask", "--policies", POLICIES, "--path", "/api/v1/namespaces/d/secrets/s", "-", stdin=json.dumps(SECRET)
    )
    assert result.exit_code == 0
    assert "c2VjcmV0LUNBTkFSWQ" not in result.stdout
    assert json.loads(result.stdout)["metadata"]["name"] == "s"
    assert re.search(r"^default/secret-data\t1$", result.stderr, re.MULTILINE)


# --- clients ---


def test_a_new_client_is_a_document_and_a_key_that_is_shown_once(run, run_json, tmp_path: Path) -> None:
    folder = tmp_path / "policies"
    shutil.copytree(POLICIES, folder)
    result = run("clients", "add", "agent-7", "--policies", folder)
    assert result.exit_code == 0
    key = result.stdout.strip()
    assert "\n" not in key
    document = folder / "client-agent-7.yaml"
    assert key not in document.read_text()
    listed = run("clients", "list", "--policies", folder, "--output", "text").stdout.splitlines()
    assert [line.split() for line in listed] == [["agent-7", "apiKey"]]
    assert run_json("clients", "list", "--policies", folder) == [{"name": "agent-7", "credentials": ["apiKey"]}]
    from pratique.documents import read_folder

    clients = Clients.from_documents(read_folder(folder))
    assert clients.of_key(key, time.time())[0].name == "agent-7"
    again = run("clients", "add", "agent-7", "--policies", folder)
    assert again.exit_code == 1
    assert "exists. Remove it, or run `pratique clients key agent-7`" in again.stderr
    second = run("clients", "key", "agent-7", "--policies", folder)
    line = second.stderr.splitlines()[1]
    assert second.stdout.strip() not in second.stderr
    document.write_text(document.read_text() + f"{line}\n")
    both = Clients.from_documents(read_folder(folder))
    for each in (key, second.stdout.strip()):
        assert both.of_key(each, time.time())[0].name == "agent-7"
    assert run("clients", "key", "agent-8", "--policies", folder).exit_code == 1


# --- approvals, revoke ---


@pytest.fixture
def asked(tmp_path: Path) -> tuple[Path, str, str]:
    """A state folder with two pending approvals; the second one's words hold control characters."""
    store = SqliteStore(tmp_path / "approvals.sqlite")
    now = time.time()
    first = store.ask(question("api"), now)
    second = store.ask(question("web", body='{"a":"\x1b]0;owned\x07\u202e"}'), now)
    return tmp_path, first.id, second.id


def test_pending_approvals_are_listed_shown_and_decided(run, run_json, asked) -> None:
    state, first, second = asked
    rows = [line.split("\t") for line in run("approvals", "list", "--state", state).stdout.splitlines()]
    assert {row[0] for row in rows} == {first, second}
    assert all(row[1] == "pending" for row in rows)
    listed = run_json("approvals", "list", "--state", state)
    assert {
        "id",
        "state",
        "client",
        "words",
        "method",
        "path",
        "body",
        "rules",
        "createdAt",
        "expiresAt",
        "decisions",
    } <= set(listed[0])
    shown = run("approvals", "show", second, "--state", state)
    assert "delete Deployment payments/web" in shown.stdout
    assert UNSAFE.search(shown.stdout) is None
    assert run_json("approvals", "show", second[:9], "--state", state)["id"] == second
    approved = run("approvals", "approve", first, "--state", state)
    assert (approved.exit_code, approved.stdout.startswith(f"{first} approved")) == (0, True)
    denied = run("approvals", "deny", second, "--reason", "no\x1b[31m", "--state", state)
    assert denied.exit_code == 0
    assert run_json("approvals", "show", second, "--state", state)["state"] == "denied"
    assert UNSAFE.search(run("approvals", "show", second, "--state", state).stdout) is None
    assert run("approvals", "list", "--state", state).stdout.split("\t")[0] == first
    assert len(run("approvals", "list", "--all", "--state", state).stdout.splitlines()) == 2


def test_a_decision_is_made_once(run, asked) -> None:
    state, first, _ = asked
    assert run("approvals", "deny", first, "--state", state).exit_code == 0
    again = run("approvals", "approve", first, "--state", state)
    assert again.exit_code == 1
    assert again.stderr.startswith("pratique: ")
    assert again.stderr.count("\n") == 1


def test_an_unknown_or_ambiguous_approval_is_named(run, asked) -> None:
    state, first, _ = asked
    unknown = run("approvals", "show", "nope", "--state", state)
    assert (unknown.exit_code, "names 0 approvals" in unknown.stderr) == (1, True)
    ambiguous = run("approvals", "show", first[:4], "--state", state)
    assert (ambiguous.exit_code, "names 2 approvals" in ambiguous.stderr) == (1, True)


def test_a_grant_that_was_not_used_is_taken_back_once(run, run_json, asked) -> None:
    state, first, second = asked
    run("approvals", "approve", first, "--state", state)
    revoked = run("revoke", "approval", first, "--state", state)
    assert (revoked.exit_code, revoked.stdout) == (0, f"{first} revoked\n")
    assert run_json("approvals", "show", first, "--state", state)["state"] == "revoked"
    again = run("revoke", "approval", first, "--state", state)
    assert again.exit_code == 1
    assert again.stderr.startswith("pratique: ")
