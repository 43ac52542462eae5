"""A whole trial: counts, differences, expectations, several processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pratique.errors import DocumentErrors, RecordError
from pratique.trial import running
from pratique.trial.expectation import ExpectationSpec, parse_expectation, unmet
from pratique.trial.judging import As, Outcome
from pratique.trial.reading import Piece
from pratique.trial.running import Plan, batches, run
from pratique.trial.tally import Change, Tally
from pratique.trial.visibility import Sight
from tests.process.gateway import eventually
from tests.trial.support import ASKS, PODS, READ, SECRETS, flow, lines, masks, policy

SECRET = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "s"}, "data": {"p": "**masked-by-pratique**"}}


@pytest.fixture
def make(tmp_path):
    def folder(name, text):
        (tmp_path / name).mkdir()
        (tmp_path / name / "p.yaml").write_text(text)
        return tmp_path / name

    return folder


@pytest.fixture
def recordings(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()
    for number in range(4):
        secret = flow("GET", PODS.replace("pods", "secrets") + "/s", answer=SECRET, flow="s")
        deletes = flow("DELETE", PODS + f"/web-{number}", client=f"mcp-{number}", flow="d")
        (folder / f"{number}.flow").write_bytes(flow() + secret + deletes)
    return folder


def silent(_total):
    return lambda _done: None


def tried(plan, *paths):
    return run(plan, paths, silent)


def test_counts_by_client_and_rule_with_examples(make, recordings):
    tally = tried(Plan(make("new", policy(READ + ASKS) + masks(SECRETS))), recordings)
    assert tally.requests == 12
    assert {(row.client, row.outcome, row.rules): group.count for row, group in tally.outcomes.items()} == {
        ("mcp-1", "Allow", ("p/read",)): 8,
        **{(f"mcp-{n}", "RequireApproval", ("p/asks",)): 1 for n in range(4)},
    }
    (group,) = [group for row, group in tally.outcomes.items() if row.client == "mcp-2"]
    assert group.examples[0][:2] == (
        "delete pods web-2 -n dev",
        f"{recordings}/2.flow byte {2 * len(flow()) + _extra()}",
    )
    assert {key: (group.count, group.values) for key, group in tally.masks.items()} == {("mcp-1", "m/secrets"): (4, 4)}


def _extra():
    return len(flow("GET", PODS.replace("pods", "secrets") + "/s", answer=SECRET, flow="s")) - len(flow())


def test_only_differences_with_what_they_were_and_are(make, recordings):
    old = make("old", policy(READ + ASKS) + masks(SECRETS))
    denies = ASKS.replace("RequireApproval", "Deny")
    other = SECRETS.replace("data", "other")
    tally = tried(Plan(make("new", policy(READ + denies) + masks(other)), against=old), recordings)
    assert {(row.change, row.client, row.what, row.before, row.after) for row in tally.changes} == {
        (Change.DENIED, f"mcp-{n}", "delete pods", Outcome.REQUIRE_APPROVAL, Outcome.DENY) for n in range(4)
    }
    assert {(row.sight, row.resource, row.field): group.count for row, group in tally.sights.items()} == {
        (Sight.VISIBLE, "secrets", ".data.p"): 4
    }
    assert tried(Plan(old, against=old), recordings).changes == {}


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        ("Allow", "RequireApproval", Change.QUEUED),
        ("Deny", "RequireApproval", Change.QUEUED),
        ("Deny", "Allow", Change.ALLOWED),
        ("RequireApproval", "Allow", Change.ALLOWED),
        ("RequireApproval, approval: {quorum: 2}", "RequireApproval", Change.TERMS),
        ("Allow, dryRun: false", "Allow, namespaceSelector: {matchLabels: {a: b}}", Change.NOT_KNOWN),
    ],
)
def test_every_kind_of_change(make, recordings, before, after, change):
    rule = "  - {{name: d, verbs: [delete], resources: [pods], action: {}}}\n"
    folders = [make(name, policy(READ + rule.format(action))) for name, action in (("old", before), ("new", after))]
    tally = tried(Plan(folders[1], against=folders[0]), recordings)
    assert {row.change for row in tally.changes} == {change}
    assert tally.of_change(change) == 4


def test_the_same_outcome_by_another_rule_is_a_change_of_rules(make, recordings):
    folders = [make(name, policy(READ + ASKS, name)) for name in ("old", "new")]
    tally = tried(Plan(folders[1], against=folders[0]), recordings)
    assert {row.change for row in tally.changes} == {Change.RULES}


def test_several_processes_count_what_one_counts(make, recordings, monkeypatch):
    monkeypatch.setattr(running, "SMALL_BYTES", 0)
    monkeypatch.setattr(running, "BATCH_PIECES", 1)
    old = make("old", policy(READ + ASKS) + masks(SECRETS))
    new = make("new", policy(READ) + masks(SECRETS))
    done = []
    plan = Plan(new, against=old, jobs=2, keep_going=True)
    (recordings / "bad.flow").write_bytes(b"12:")
    together = run(plan, [recordings], lambda total: lambda read: done.append((read, total)))
    assert sum(read for read, _ in done) == done[0][1]
    alone = tried(Plan(new, against=old, keep_going=True), recordings)
    assert together == alone


def test_a_bad_recording_ends_the_trial_unless_it_keeps_going(make, recordings):
    (recordings / "1.flow").write_bytes(flow() + b"12:abc")
    folder = make("new", policy(READ + ASKS))
    with pytest.raises(RecordError, match=rf"1\.flow byte {len(flow())}: "):
        tried(Plan(folder), recordings)
    tally = tried(Plan(folder, keep_going=True), recordings)
    assert (tally.requests, tally.bad_count) == (10, 1)


def test_only_some_users(make, recordings):
    tally = tried(Plan(make("new", policy(READ)), users=("*-2", "mcp-3")), recordings)
    assert tally.requests == 2


def test_small_files_go_together():
    found = [Piece("a", 0, size, flows=True) for size in (1, 2, running.BATCH_BYTES, 3)]
    assert [len(batch) for batch in batches(found)] == [3, 1]
    assert len(batches([found[0]] * 1000)) == 4


# --- what is expected ---

EXPECTATION = "apiVersion: pratique/v1\nkind: PolicyExpectation\nmetadata: {{name: x}}\nspec: {}\n"


def expected(spec, tally, *, against=False):
    parsed = parse_expectation(EXPECTATION.format(spec), "e.yaml")
    return list(unmet(parsed, tally, against=against))


def checked(make, recordings, spec, new=READ + ASKS, old=READ + ASKS):
    parsed = parse_expectation(EXPECTATION.format(spec), "e.yaml")
    folders = [make(name, policy(rules) + masks(SECRETS)) for name, rules in (("new", new), ("old", old))]
    tally = tried(Plan(folders[0], against=folders[1], expectation=parsed), recordings)
    return list(unmet(parsed, tally, against=True))


@pytest.mark.parametrize(
    ("spec", "problems"),
    [
        ("{outcomes: {Allow: 8, Deny: 0, RequireApproval: {atLeast: 1, atMost: 4}}}", []),
        ("{outcomes: {Allow: 7}}", ["Allow: expected 7, found 8"]),
        ("{outcomes: {RequireApproval: {atMost: 3}}}", ["RequireApproval: expected at most 3, found 4"]),
        ("{outcomes: {Deny: {atLeast: 1}}}", ["Deny: expected at least 1, found 0"]),
        ("{requests: [{verb: delete, resource: pods, action: RequireApproval, count: 4}]}", []),
        ("{requests: [{verb: delete, client: mcp-2, action: RequireApproval, rules: [p/asks]}]}", []),
        ("{requests: [{verb: delete, namespace: prod, action: Deny}]}",
         ["verb=delete namespace=prod → Deny: expected at least 1, found 0"]),
        ("{requests: [{name: web-3, path: '/api/v1/*', action: RequireApproval}]}", []),
        ("{changes: {}}", []),
    ],
)  # fmt: skip
def test_expectations(make, recordings, spec, problems):
    assert checked(make, recordings, spec) == problems


def test_a_request_that_ends_otherwise_is_shown_with_its_place_and_message(make, recordings):
    spec = "{requests: [{verb: delete, action: Allow}]}"
    (problem,) = checked(make, recordings, spec)
    assert problem.startswith("verb=delete → Allow: 4 of 4 end otherwise, such as `delete pods web-0 -n dev` (")
    assert "0.flow byte" in problem
    (problem,) = checked_again(make, recordings, "{requests: [{verb: delete, action: RequireApproval, rules: [p/x]}]}")
    assert "4 of 4 end otherwise" in problem


def checked_again(make, recordings, spec):
    parsed = parse_expectation(EXPECTATION.format(spec), "e.yaml")
    tally = tried(Plan(make("again", policy(READ + ASKS)), expectation=parsed), recordings)
    return list(unmet(parsed, tally, against=False))


def test_changes_that_are_not_named_must_not_happen(make, recordings):
    assert checked(make, recordings, "{changes: {}}", new=READ) == ["newlyDenied: expected 0, found 4"]
    assert checked_changes(make, recordings, "{changes: {newlyDenied: 4}}") == []


def checked_changes(make, recordings, spec):
    parsed = parse_expectation(EXPECTATION.format(spec), "e.yaml")
    new, old = make("n2", policy(READ)), make("o2", policy(READ + ASKS))
    tally = tried(Plan(new, against=old, expectation=parsed), recordings)
    return list(unmet(parsed, tally, against=True))


def test_changes_need_something_to_compare_with():
    (problem,) = expected("{changes: {}}", Tally())
    assert "--against" in problem


@pytest.mark.parametrize(
    "spec", ["{outcomes: {Allowed: 1}}", "{changes: {newly: 1}}", "{requests: [{verb: get}]}", "{outcomes: {Allow: -1}}", "{x: 1}"]
)  # fmt: skip
def test_an_expectation_with_errors_names_the_place(spec):
    with pytest.raises(DocumentErrors, match=r"e\.yaml:4:"):
        parse_expectation(EXPECTATION.format(spec), "e.yaml")
    with pytest.raises(DocumentErrors, match="holds 2 expectations"):
        parse_expectation(EXPECTATION.format("{}") + "---\n" + EXPECTATION.format("{}"), "e.yaml")


def test_who_is_judged_as_whom(make, tmp_path):
    (tmp_path / "c.jsonl").write_bytes(
        lines({"method": "GET", "path": PODS}, {"method": "GET", "path": PODS, "client": "x"})
    )
    folder = make("new", policy(READ, spec="  subjects: [a]\n"))
    by = {
        asks: tried(Plan(folder, asks=asks), tmp_path / "c.jsonl").of_outcome(Outcome.ALLOW)
        for asks in (As(), As("a"), As("a", force=True))
    }
    assert list(by.values()) == [0, 1, 2]
    assert ExpectationSpec() == parse_expectation(EXPECTATION.format("{}"), "e.yaml")


KILLED = """
import sys, time
from pathlib import Path
from pratique.trial import running
from pratique.trial.reading import Piece
if __name__ == "__main__":
    folder, file = sys.argv[1:]
    work = [(Piece(file, 0, Path(file).stat().st_size, flows=True),)] * 2
    done = running._in_processes(running.Plan(Path(folder), jobs=2), work)
    next(done)
    import multiprocessing
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)
    time.sleep(60)
"""


def test_workers_end_when_their_parent_is_killed(make, recordings, tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "killed.py"), str(make("new", policy(READ))), str(recordings / "0.flow")]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "addons")}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True) as parent:
        workers = [int(word) for word in parent.stdout.readline().split()]
        assert workers
        parent.kill()
    eventually(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))
