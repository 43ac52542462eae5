"""`pratique sessions`: the whole command through click, with recordings as a gateway leaves them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pratique.cli import sessions
from pratique.recorder import keys, layout
from pratique.recorder.flowfile import scan
from tests.cli.conftest import module
from tests.cli.support import ESCAPES, OTHER, SESSION, flow_id

UNSAFE = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def state(folder: Path) -> tuple[str, Path]:
    return "--state", folder


def test_list_shows_the_newest_first_as_plain_columns(run, recorded: Path) -> None:
    result = run("sessions", "list", *state(recorded))
    assert result.exit_code == 0
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert [row[0] for row in rows] == [OTHER, SESSION]
    assert rows[1][1:3] == ["agent", "2026-01-01 12:00:00Z"]
    assert rows[1][4:9] == ["6", "create,delete,get,list,watch", "Allow,Deny,RequireApproval,refused",
                            "1 terminal, 1 stream", "claude-code/2.1"]  # fmt: skip


def test_list_as_json_has_stable_keys(run_json, recorded: Path) -> None:
    rows = run_json("sessions", "list", *state(recorded))
    assert set(rows[0]) == {
        "session", "client", "cluster", "opened", "closed", "reason", "requests", "bytes", "kubectl_session", "user_agent",
        "mcp_client", "verbs", "namespaces", "verdicts", "approvals", "parts",
    }  # fmt: skip
    assert rows[1]["parts"] == [f"{flow_id(5)}.events", f"{flow_id(6)}.cast", "flow"]
    assert rows[1]["approvals"] == ["apr-1"]


FILTERS = [
    (["--client", "robot"], [OTHER], {OTHER: 1}),
    (["--verb", "delete"], [SESSION], {SESSION: 1}),
    (["--resource", "pods/exec"], [SESSION], {SESSION: 1}),
    (["--resource", "pods"], [OTHER, SESSION], {SESSION: 2, OTHER: 1}),
    (["--namespace", "shop", "--verb", "watch"], [SESSION], {SESSION: 1}),
    (["--verdict", "deny"], [SESSION], {SESSION: 1}),
    (["--verdict", "refused"], [SESSION], {SESSION: 1}),
    (["--grep", "NAMESPACES STAY"], [SESSION], {SESSION: 1}),
    (["--grep", "mcp/exec"], [SESSION], {SESSION: 1}),
    (["--since", "2026-01-01"], [OTHER, SESSION], {SESSION: 6, OTHER: 1}),
    (["--since", "2026-01-02"], [], {SESSION: 0}),
    (["--since", "1h"], [], {SESSION: 0}),
    (["--until", "2026-01-01T12:00:03Z", "--verb", "get"], [SESSION], {SESSION: 1}),
    (["--grep", "%"], [], {SESSION: 0}),
]


@pytest.mark.parametrize(("options", "listed", "shown"), FILTERS, ids=[" ".join(case[0]) for case in FILTERS])
def test_list_and_show_filter_alike(
    run, run_json, recorded: Path, options: list[str], listed: list[str], shown
) -> None:
    rows = run("sessions", "list", *state(recorded), *options).stdout.splitlines()
    assert [row.split("\t")[0] for row in rows] == listed
    for session, count in shown.items():
        assert len(run_json("sessions", "show", session, *state(recorded), *options)["requests"]) == count


def test_show_is_the_timeline_of_a_session(run, recorded: Path) -> None:
    result = run("sessions", "show", "20260101T120001", *state(recorded))
    head, claims, tally, *rows = result.stdout.splitlines()
    assert head.startswith(f"session {SESSION}")
    assert "mcp_client claude-code/2.1" in claims
    assert tally == (
        "6 requests: 3 Allow, 1 Deny, 1 RequireApproval, 1 refused; 1 approval; values masked in 2; 1 terminal"
    )
    columns = [row.split("\t") for row in rows]
    assert columns[2] == ["2026-01-01T12:00:03.000Z", "Deny", "403", "1.0 s", "delete namespaces shop",
                          "mcp/no-namespaces", "", "", "namespaces stay"]  # fmt: skip
    assert columns[5][1:7] == [
        "RequireApproval",
        "101",
        "1.0 s",
        "create pods/exec web -n shop: sh",
        "mcp/exec",
        "apr-1",
    ]
    assert columns[1][7] == "default/secret-data"


def test_show_as_json_has_stable_keys(run_json, recorded: Path) -> None:
    shown = run_json("sessions", "show", SESSION, *state(recorded))
    assert set(shown) == {"session", "client", "cluster", "claims", "notes", "requests"}
    assert set(shown["requests"][0]) == {
        "time", "milliseconds", "verdict", "status", "verb", "resource", "namespace", "name", "method", "path", "argv",
        "rules", "errors", "approval", "masks", "message", "note", "answeredBy", "requestBytes", "responseBytes", "auditID",
        "userAgent", "flow", "entry", "open", "stream", "cast", "request", "observed",
    }  # fmt: skip
    assert [row["stream"] for row in shown["requests"]] == [False, False, False, False, True, False]
    assert shown["requests"][5]["cast"] == f"{flow_id(6)}.cast"


@pytest.mark.parametrize("command", [["list"], ["show", SESSION], ["play", SESSION], ["verify"]])
def test_no_control_character_of_the_data_is_printed(run, recorded: Path, command: list[str]) -> None:
    result = run("sessions", *command, *state(recorded))
    assert result.exit_code == 0
    assert UNSAFE.search(result.stdout) is None
    if command[0] == "show":
        assert "\\x1b]0;owned\\x07" in result.stdout


def test_a_terminal_gets_an_aligned_coloured_timeline_without_the_datas_escapes(recorded: Path) -> None:
    from io import StringIO

    from rich.console import Console

    buffer = StringIO()
    drawn = Console(file=buffer, force_terminal=True, width=140, color_system="standard")
    rows = sessions.timeline(sessions.Recordings(recorded), SESSION)
    drawn.print(sessions._aligned(rows))
    text = buffer.getvalue()
    assert "\x1b[31mDeny" in text
    assert "\x1b]0" not in text
    assert UNSAFE.search(re.sub(r"\x1b\[[0-9;]*m", "", text)) is None
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert lines[0].split() == ["TIME", "VERDICT", "STATUS", "TOOK", "REQUEST", "RULES", "APPROVAL"]
    assert any("masked by default/secret-data" in line for line in lines)


BAD = [
    (["sessions", "show"], 2, "Missing argument"),
    (["sessions", "show", "1999"], 1, "names no session"),
    (["sessions", "show", "2026"], 1, "names 2 sessions"),
    (["sessions", "show", "../../etc/passwd"], 1, "names no session"),
    (["sessions", "list", "--since", "soon"], 2, "`soon` is no time. Write 30m"),
    (["sessions", "list", "--verdict", "maybe"], 2, "maybe"),
    (["sessions", "list", "--nonsense"], 2, "No such option"),
    (["sessions", "nonsense"], 2, "No such command"),
    (["sessions", "play", OTHER], 1, "no recorded terminal"),
    (["sessions", "play", SESSION, "--speed", "0"], 2, "0"),
    (["sessions", "export", SESSION, "--format", "pdf"], 2, "pdf"),
    (["sessions", "verify", "--anchor", "5"], 2, "`5` is no head"),
    (["sessions", "verify", "--key", "missing.pem"], 2, "missing.pem"),
]


@pytest.mark.parametrize(("command", "code", "said"), BAD, ids=[" ".join(case[0][1:]) for case in BAD])
def test_bad_input_is_one_clear_error(run, recorded: Path, command: list[str], code: int, said: str) -> None:
    result = run(*command, "--state", recorded)
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert result.stderr.count("\n") == 1
        assert result.stderr.startswith("pratique: ")


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["play", "x"], ["verify"], ["export", "x"]])
def test_a_folder_without_recordings_is_named(run, tmp_path: Path, command: list[str]) -> None:
    result = run("sessions", *command, "--state", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == f"pratique: no recordings in `{tmp_path}`. Name the gateway's state folder with --state\n"


def test_play_waits_as_recorded_but_never_longer_than_idle(recorded: Path, monkeypatch, capsys) -> None:
    waited: list[float] = []
    monkeypatch.setattr(sessions, "sleep", waited.append)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    found = sessions.Recordings(recorded)
    row = next(row for row in sessions.timeline(found, SESSION) if row.cast)
    sessions._play(found, SESSION, row, speed=2.0, idle=2.0)
    assert [round(each, 3) for each in waited] == [0.05, 0.4, 1.0, 0.25]
    shown = capsys.readouterr().out
    assert "\x1b[1;32mroot@web" in shown
    assert "\x1b]0;" not in shown
    assert "\x9b" not in shown
    assert "exit 0" in shown
    assert shown.index("\x1b[?1049l") > shown.index("alert(1)"), "the terminal is put back at the end"


def test_play_in_a_pipe_is_text_at_once(run, recorded: Path, monkeypatch) -> None:
    monkeypatch.setattr(sessions, "sleep", lambda _seconds: pytest.fail("a pipe does not wait"))
    text = run("sessions", "play", SESSION, "--state", recorded).stdout
    assert "root@web:/app# ls\n" in text
    assert "exit 0" in text


def test_verify_is_ok_for_what_was_not_touched_and_prints_the_head(run, run_json, recorded: Path) -> None:
    text = run("sessions", "verify", "--state", recorded).stdout
    assert text.splitlines()[0] == "ok: 2 sessions, 12 records"
    head = text.splitlines()[1].removeprefix("head ")
    shown = run_json("sessions", "verify", "--state", recorded, "--anchor", head)
    assert shown == {"ok": True, "sessions": 2, "records": 12, "head": head, "heads": [head], "findings": []}
    assert run_json("sessions", "verify", SESSION, "--state", recorded)["records"] == 11


def test_verify_names_what_was_changed_and_ends_with_1(run, run_json, own_state: Path) -> None:
    path = layout.part_path(own_state, SESSION, "flow")
    data = bytearray(path.read_bytes())
    offset, length = list(scan(bytes(data)))[1]
    data[offset + length - 40] ^= 1
    path.write_bytes(data)
    result = run("sessions", "verify", "--state", own_state)
    assert result.exit_code == 1
    assert result.stdout.splitlines()[:2] == [
        f"flipped: {path.name} entry 2: the bytes of the record were changed",
        "NOT ok: 2 sessions, 12 records",
    ]
    (finding,) = run_json("sessions", "verify", "--state", own_state, code=1)["findings"]
    assert finding == {"change": "flipped", "session": SESSION, "file": path.name, "entry": 2,
                       "message": "the bytes of the record were changed", "provesChange": True}  # fmt: skip


def test_verify_with_a_key_from_elsewhere_trusts_no_key_of_the_folder(run, recorded: Path, tmp_path: Path) -> None:
    keys.signer(tmp_path)
    (other,) = (tmp_path / keys.KEYS).glob("*.pub")
    (own,) = (recorded / keys.KEYS).glob("*.pub")
    assert run("sessions", "verify", "--state", recorded, "--key", own).exit_code == 0
    result = run("sessions", "verify", "--state", recorded, "--key", other)
    assert result.exit_code == 1
    assert "forged" in result.stdout


def test_verify_finds_that_the_newest_sessions_were_cut_off_by_a_head_noted_elsewhere(run, own_state: Path) -> None:
    head = run("sessions", "verify", "--state", own_state).stdout.splitlines()[-1].removeprefix("head ")
    chain = layout.recordings(own_state) / layout.SESSIONS_CHAIN
    chain.write_bytes(b"".join(chain.read_bytes().splitlines(keepends=True)[:2]))
    for path in layout.chain_path(own_state, SESSION).parent.iterdir():
        path.unlink()
    assert run("sessions", "verify", "--state", own_state).exit_code == 0
    result = run("sessions", "verify", "--state", own_state, "--anchor", head)
    assert result.exit_code == 1
    assert result.stdout.startswith("truncated: sessions.chain")


def test_export_audit_is_one_event_per_request(run, recorded: Path) -> None:
    lines = run("sessions", "export", SESSION, "--state", recorded).stdout.splitlines()
    events = [json.loads(line) for line in lines]
    assert [event["auditID"] for event in events] == [f"audit-{n}" for n in range(1, 7)]
    assert {event["kind"] for event in events} == {"Event"}
    assert events[2]["responseStatus"] == {
        "metadata": {},
        "status": "Failure",
        "message": "namespaces stay",
        "code": 403,
    }
    assert events[5]["annotations"]["pratique/approval"] == "apr-1"
    assert ESCAPES not in "".join(lines)


def test_export_har_has_bodies_and_streams(run, recorded: Path) -> None:
    entries = json.loads(run("sessions", "export", SESSION, "--format", "har", "--state", recorded).stdout)["log"][
        "entries"
    ]
    assert len(entries) == 6
    assert "masked-by-pratique" in entries[1]["response"]["content"]["text"]
    assert entries[4]["response"]["content"]["text"].count('"type": "ADDED"') == 3
    assert entries[4]["_rules"] == ["readers/pods"]


def test_export_to_a_file_is_private(run, recorded: Path, tmp_path: Path) -> None:
    target = tmp_path / "page.html"
    result = run("sessions", "export", SESSION, "--format", "html", "--to", target, "--state", recorded)
    assert result.exit_code == 0
    assert result.stderr == f"wrote {target}\n"
    assert target.stat().st_mode & 0o077 == 0
    assert run("sessions", "export", SESSION, "--to", tmp_path / "no" / "x", "--state", recorded).exit_code == 1


def test_the_module_form_behaves_alike(recorded: Path, tmp_path: Path) -> None:
    listed = module("sessions", "list", "--state", recorded, "--output", "json")
    assert (listed.returncode, len(json.loads(listed.stdout))) == (0, 2)
    bad = module("sessions", "list", "--state", tmp_path)
    assert (bad.returncode, bad.stdout) == (1, "")
    assert bad.stderr.startswith("pratique: no recordings")
    usage = module("sessions", "list", "--since", "soon", "--state", recorded)
    assert usage.returncode == 2
    assert "Traceback" not in usage.stderr
