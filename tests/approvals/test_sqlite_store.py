"""The queue in a file: private, durable, shared by processes, refused when it is damaged. The rest is in `test_stores`."""

from __future__ import annotations

import multiprocessing
import os
import sqlite3
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pratique.approvals import sqlite_store
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.steps import ID_ALPHABET, new_id
from pratique.approvals.transitions import State
from pratique.errors import StoreError
from tests.approvals.helpers import NOW, approved, question, use

ADDONS = str(Path(sqlite_store.__file__).parents[2])


@pytest.fixture
def path(tmp_path):
    return tmp_path / "approvals.sqlite"


@pytest.fixture
def store(path):
    store = SqliteStore(path)
    yield store
    store.close()


def test_pruning_forgets_closed_ones_and_their_decisions(store, path):
    approval = approved(store)
    use(store, approval)
    waiting = store.ask(question("db"), NOW)
    assert store.prune(NOW) == 0
    assert store.prune(NOW + 1) == 1
    assert store.get(approval.id, NOW) is None
    assert store.get(waiting.id, NOW) is not None
    with sqlite3.connect(path) as db:
        assert db.execute("SELECT count(*) FROM decisions").fetchone() == (0,)


def test_the_files_are_for_the_owner_only(store, path):
    store.ask(question(), NOW)
    files = sorted(path.parent.iterdir())
    assert len(files) == 3, "the database, -wal and -shm"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(path):
    path.touch(mode=0o644)
    SqliteStore(path).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_approval_survives_kill_9_and_a_use_before_it_stands(path):
    program = textwrap.dedent("""
        import os, signal, sys
        from pathlib import Path
        from pratique.approvals.deciding import Decision
        from pratique.approvals.sqlite_store import SqliteStore
        from tests.approvals.helpers import question
        store = SqliteStore(Path(sys.argv[1]))
        for name in ("kept", "used"):
            approval = store.ask(question(name), 1e6)
            store.decide(approval.id, Decision.APPROVE, "alice", "", 1e6)
        assert store.consume(approval.id, approval.question.fingerprint, "agent", 1e6)
        store._db.execute("BEGIN IMMEDIATE")
        store._db.execute("UPDATE approvals SET state = 'approved'")
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([ADDONS, str(Path(ADDONS).parent)])}
    done = subprocess.run([sys.executable, "-c", program, str(path)], env=env, capture_output=True, timeout=60)
    assert done.returncode == -9, done.stderr
    store = SqliteStore(path)
    states = {found.question.summary.words: found.state for found in store.find(NOW)}
    assert states == {
        "delete Deployment payments/kept": State.APPROVED,
        "delete Deployment payments/used": State.USED,
    }
    store.close()


def _consume_in_process(path, approval_id, mark, barrier, results):
    store = SqliteStore(path)
    barrier.wait(30)
    results.put(store.consume(approval_id, mark, "agent", NOW))
    store.close()


def test_of_several_processes_exactly_one_uses_an_approval(store, path):
    approval = approved(store)
    context = multiprocessing.get_context("spawn")
    barrier, results = context.Barrier(4), context.Queue()
    arguments = (path, approval.id, approval.question.fingerprint, barrier, results)
    processes = [context.Process(target=_consume_in_process, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    outcomes = [results.get(timeout=60) for _ in processes]
    for process in processes:
        process.join(30)
    assert sorted(outcomes) == [False, False, False, True]


def test_a_full_disk_is_a_store_error_and_approves_nothing(store):
    approval = store.ask(question(), NOW)
    store._db.execute(f"PRAGMA max_page_count = {store._db.execute('PRAGMA page_count').fetchone()[0]}")
    with pytest.raises(StoreError):
        store.ask(question("big", body="x" * 1_000_000), NOW)
    assert store.get(approval.id, NOW).state is State.PENDING


def test_a_locked_store_is_a_store_error(store, path, monkeypatch):
    approval = approved(store)
    store._db.execute("PRAGMA busy_timeout = 20")
    blocker = sqlite3.connect(path, isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError):
        use(store, approval)
    blocker.execute("ROLLBACK")
    blocker.close()
    assert use(store, approval)


@pytest.mark.parametrize("content", [b"no database at all" * 100, b"SQLite format 3\0" + b"\xff" * 4096])
def test_a_broken_file_is_a_store_error(path, content):
    path.write_bytes(content)
    with pytest.raises(StoreError):
        SqliteStore(path)


def test_a_store_of_another_version_is_a_store_error(path):
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 99")
    with pytest.raises(StoreError, match="version 99"):
        SqliteStore(path)


def test_a_symbolic_link_is_not_followed(tmp_path, path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StoreError):
        SqliteStore(path)
    assert not (tmp_path / "elsewhere").exists()


def test_a_missing_folder_is_a_store_error(tmp_path):
    with pytest.raises(StoreError, match="state folder"):
        SqliteStore(tmp_path / "none" / "approvals.sqlite")


def test_a_row_that_cannot_be_read_is_a_store_error(store, path):
    approval = approved(store)
    with sqlite3.connect(path) as db:
        db.execute("UPDATE approvals SET terms = '{}x'")
    with pytest.raises(StoreError):
        store.get(approval.id, NOW)


def test_ids_are_short_and_hard_to_misread():
    made = new_id()
    assert made.startswith("apr-")
    assert set(made[4:]) <= set(ID_ALPHABET)
    assert made != new_id()
