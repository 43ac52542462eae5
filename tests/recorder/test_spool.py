"""The spool records whole records or says that it cannot; it never goes on as if it had."""

from __future__ import annotations

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from pratique.errors import RecordError
from pratique.recorder import keys, layout
from pratique.recorder.chain import Change, Kind
from pratique.recorder.disk import Descriptors, Disk
from pratique.recorder.flowfile import scan
from pratique.recorder.record import Opened, Stage
from pratique.recorder.sessions import Recordings
from pratique.recorder.spool import SYNC_LATE_SECONDS, Spool
from tests.recorder.support import FailingDisk, flow, make_spool, record, record_session, session_id

SESSION = session_id(1)


def verify(state: Path):
    return Recordings(state).verify(keys.verifier(state))


def flows(state: Path, session: str = SESSION) -> int:
    data = layout.part_path(state, session, "flow").read_bytes()
    return len(list(scan(data)))


def test_what_was_appended_is_in_the_files_at_once(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1, 3)
        assert layout.part_path(tmp_path, SESSION, "flow").read_bytes() == flow(0) + flow(1) + flow(2)
        assert spool.sessions() == [SESSION]
        assert spool.size(SESSION) > 3 * len(flow(0))
    assert verify(tmp_path).findings == ()


def test_files_are_private(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1)
    for path in layout.recordings(tmp_path).rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT, errno.EFBIG])
@pytest.mark.parametrize("after", [0, 1])
def test_a_failed_write_refuses_and_stays_refused_until_writing_works(tmp_path: Path, error: int, after: int) -> None:
    """`after` 0: the record itself fails; 1: the record is written, its journal line is not."""
    disk = FailingDisk()
    with make_spool(tmp_path, disk) as spool:
        record_session(spool, 1, 2)
        disk.write_error, disk.fail_after = error, after
        with pytest.raises(RecordError):
            spool.append(SESSION, flow(2), record(2))
        for _ in range(2):
            with pytest.raises(RecordError):
                spool.healthy()
            with pytest.raises(RecordError):
                spool.append(SESSION, flow(2), record(2))
            with pytest.raises(RecordError):
                spool.open_session(session_id(2), Opened(session=session_id(2)))
            with pytest.raises(RecordError):
                spool.recover()
        assert flows(tmp_path) == 2
        disk.write_error = None
        with pytest.raises(RecordError):
            spool.append(SESSION, flow(2), record(2))
        spool.recover()
        assert spool.healthy()
        spool.append(SESSION, flow(3), record(3))
    assert verify(tmp_path).findings == ()
    assert flows(tmp_path) == 3


def test_a_half_written_record_that_cannot_be_cut_off_is_kept_in_a_tail_file(tmp_path: Path) -> None:
    disk = FailingDisk()
    with make_spool(tmp_path, disk) as spool:
        record_session(spool, 1, 2)
        disk.short, disk.stuck = 10, True
        with pytest.raises(RecordError):
            spool.append(SESSION, flow(2), record(2))
        disk.short, disk.stuck = None, False
        spool.recover()
        spool.append(SESSION, flow(3), record(3))
    path = layout.part_path(tmp_path, SESSION, "flow")
    assert path.with_name(path.name + ".tail").read_bytes() == flow(2)[:10]
    assert flows(tmp_path) == 3
    assert verify(tmp_path).findings == ()


def test_a_short_write_is_a_failure_and_is_taken_back(tmp_path: Path) -> None:
    disk = FailingDisk()
    with make_spool(tmp_path, disk) as spool:
        record_session(spool, 1, 2)
        disk.short = 10
        with pytest.raises(RecordError):
            spool.append(SESSION, flow(2), record(2))
        disk.short = None
        assert flows(tmp_path) == 2
        spool.recover()
    assert verify(tmp_path).findings == ()


def test_a_session_that_cannot_be_opened_leaves_nothing(tmp_path: Path) -> None:
    disk = FailingDisk()
    with make_spool(tmp_path, disk) as spool:
        disk.write_error, disk.fail_after = errno.ENOSPC, 1
        with pytest.raises(RecordError):
            spool.open_session(SESSION, Opened(session=SESSION))
        disk.write_error = None
        assert not layout.chain_path(tmp_path, SESSION).exists()
        spool.recover()
        record_session(spool, 1)
    assert verify(tmp_path).findings == ()


def test_a_failed_close_is_refused_and_can_be_done_again(tmp_path: Path) -> None:
    disk = FailingDisk()
    with make_spool(tmp_path, disk) as spool:
        record_session(spool, 1)
        disk.write_error, disk.fail_after = errno.ENOSPC, 1
        with pytest.raises(RecordError):
            spool.close_session(SESSION)
        disk.write_error = None
        spool.recover()
        spool.close_session(SESSION)
    assert verify(tmp_path).findings == ()


def test_a_real_file_size_limit_refuses(tmp_path: Path) -> None:
    """RLIMIT_FSIZE gives a real short write and a real EFBIG."""
    script = (
        "import resource,sys,pathlib\n"
        "from tests.recorder.support import *\n"
        "from pratique.errors import RecordError\n"
        "spool = Spool(pathlib.Path(sys.argv[1]), fsync=3600.0, min_free_bytes=0)\n"
        "session = record_session(spool, 1, 3)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, resource.RLIM_INFINITY))\n"
        "n = 3\n"
        "try:\n"
        "    while n < 100: spool.append(session, flow(n, b'x' * 500), record(n)); n += 1\n"
        "except RecordError: print(n)\n"
        "import os; os._exit(0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, env=_environment()
    )
    written = int(done.stdout)
    assert 3 < written < 100
    assert flows(tmp_path) == written


def _environment() -> dict[str, str]:
    root = Path(__file__).parents[2]
    return {**os.environ, "PYTHONPATH": f"{root}:{root / 'addons'}"}


def test_a_folder_that_cannot_be_written_refuses_the_start(tmp_path: Path) -> None:
    """As another user when the tests run as root, whom no mode keeps out."""
    state = tmp_path / "state"
    keys.signer(state)
    (state / "recordings").mkdir()
    (state / "recordings").chmod(0o500)
    script = (
        "import os,sys,pathlib\n"
        "from pratique.errors import RecordError\n"
        "from pratique.recorder.spool import Spool\n"
        "from pratique.recorder import keys\n"
        "state = pathlib.Path(sys.argv[1]); signer = keys.signer(state)\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: Spool(state, signer=signer)\n"
        "except RecordError as error: print('refused', error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(state)], capture_output=True, text=True, env=_environment()
    )
    assert done.stdout.startswith("refused"), done.stderr


def test_too_little_free_space_is_unhealthy_before_the_disk_is_full(tmp_path: Path) -> None:
    disk = FailingDisk()
    with make_spool(tmp_path, disk, min_free_bytes=1000) as spool:
        assert spool.healthy()
        disk.free_bytes = 999
        with pytest.raises(RecordError, match="999 bytes are free"):
            spool.healthy()
        disk.free_bytes = 1000
        assert spool.healthy()


def test_a_disk_that_cannot_be_asked_is_unhealthy(tmp_path: Path) -> None:
    class Mute(FailingDisk):
        def free(self, path: Path) -> int:
            raise OSError(errno.EIO, "mute")

    with make_spool(tmp_path, Mute()) as spool, pytest.raises(RecordError, match="cannot be asked"):
        spool.healthy()


def test_a_failed_sync_is_a_failure(tmp_path: Path) -> None:
    disk = FailingDisk()
    with make_spool(tmp_path, disk) as spool:
        record_session(spool, 1)
        disk.sync_error = errno.EIO
        with pytest.raises(RecordError):
            spool.tick()
        with pytest.raises(RecordError):
            spool.healthy()
        spool_tick_is_quiet_while_failed = spool.tick()
        assert spool_tick_is_quiet_while_failed is None
        disk.sync_error = None
        spool.recover()
        assert spool.healthy()


def test_a_hanging_sync_is_unhealthy(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1)
        spool._interval = 1.0
        assert spool.healthy()
        spool._synced = time.monotonic() - SYNC_LATE_SECONDS - 2
        with pytest.raises(RecordError, match="not synced"):
            spool.healthy()
        spool.tick()
        assert spool.healthy()


def test_always_syncs_before_append_returns(tmp_path: Path) -> None:
    synced = []

    class Counting(FailingDisk):
        def sync(self, descriptor: int) -> None:
            synced.append(os.readlink(f"/proc/self/fd/{descriptor}") if sys.platform == "linux" else "")

    with Spool(tmp_path, fsync="always", disk=Counting(), min_free_bytes=0) as spool:
        record_session(spool, 1, 1)
        synced.clear()
        spool.append(SESSION, flow(1), record(1))
        names = {Path(name).name for name in synced}
        assert sys.platform != "linux" or {f"{SESSION}.flow", f"{SESSION}.chain"} <= names


def test_the_thread_syncs_without_being_asked(tmp_path: Path) -> None:
    done = threading.Event()

    class Watching(FailingDisk):
        def sync(self, descriptor: int) -> None:
            if threading.current_thread().name == "spool-sync":
                done.set()

    with Spool(tmp_path, fsync=0.01, disk=Watching(), min_free_bytes=0) as spool:
        record_session(spool, 1)
        assert done.wait(10)


def test_a_file_that_is_cut_or_removed_under_the_writer_is_a_failure(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1)
        path = layout.part_path(tmp_path, SESSION, "flow")
        data = path.read_bytes()
        path.write_bytes(data[:-1])
        with pytest.raises(RecordError, match="were written"):
            spool.append(SESSION, flow(9), record(9))
        with pytest.raises(RecordError, match="shorter"):
            spool.recover()
        path.write_bytes(data)
        spool.recover()
        spool.append(SESSION, flow(5), record(5))
        data = path.read_bytes()
        path.unlink()
        with pytest.raises(RecordError, match="removed"):
            spool.append(SESSION, flow(9), record(9))
        with pytest.raises(RecordError, match="No such file"):
            spool.recover()
        path.write_bytes(data)
        with pytest.raises(RecordError, match="recording failed"):
            spool.append(SESSION, flow(9), record(9))
        path.unlink()
        with pytest.raises(RecordError, match="not closed properly"):
            spool.close()


def test_few_descriptors_are_kept_open_and_a_replaced_file_is_noticed(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        spool._tools.descriptors = Descriptors(3)
        for number in range(1, 6):
            record_session(spool, number, 1)
        spool.append(SESSION, flow(1), record(1))
        path = layout.part_path(tmp_path, session_id(2), "flow")
        data = path.read_bytes()
        path.rename(path.with_name("aside"))
        path.write_bytes(data)
        with pytest.raises(RecordError, match="replaced"):
            spool.append(session_id(2), flow(1), record(1))
        path.with_name("aside").rename(path)
        spool.recover()
    assert verify(tmp_path).findings == ()


def test_two_gateways_cannot_write_one_folder(tmp_path: Path) -> None:
    with make_spool(tmp_path), pytest.raises(RecordError, match="another gateway"):
        make_spool(tmp_path)
    make_spool(tmp_path).close()


def test_misuse_is_refused(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1)
        for call in (
            lambda: spool.append(session_id(5), flow(1), record(1)),
            lambda: spool.open_session(SESSION, Opened(session=SESSION)),
            lambda: spool.open_session("../x", Opened(session="../x")),
            lambda: spool.append(SESSION, b"x", None, "../x"),
            lambda: spool.append(SESSION, b"x", None, "chain"),
            lambda: spool.append(SESSION, b"x" * (64 * 1024 * 1024 + 1), None),
            lambda: spool.append(SESSION, b"x", record(1, note="\ud800")),
            lambda: spool.append(SESSION, b"x", record(1, note="x" * (4 * 1024 * 1024))),
            lambda: spool.open_session(session_id(6), Opened(session=session_id(6), client="\ud800")),
            lambda: spool.start(SESSION, flow(1), record(1)),
            lambda: spool.event(SESSION, "flow", b"x\n"),
            lambda: spool.event(SESSION, "a.cast", b"x"),
            lambda: spool.retire(SESSION, "open"),
            lambda: spool.close_session(session_id(5)),
        ):
            with pytest.raises(RecordError):
                call()
        assert spool.healthy(), "a caller's fault is not the disk's"
    assert flows(tmp_path) == 5
    assert verify(tmp_path).findings == ()


def test_a_closed_spool_refuses(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    record_session(spool, 1)
    spool.close()
    spool.close()
    for call in (spool.healthy, spool.recover, lambda: spool.append(SESSION, b"", None)):
        with pytest.raises(RecordError, match="closed"):
            call()
    assert spool.tick() is None


def test_old_entries_are_signed_without_new_ones(tmp_path: Path) -> None:
    now = [1000.0]
    spool = Spool(tmp_path, fsync=3600.0, disk=FailingDisk(), clock=lambda: now[0])
    record_session(spool, 1, 3)
    spool.tick()
    assert {f.change for f in verify(tmp_path).findings} == {Change.UNSEALED}
    now[0] += 11
    spool.tick()
    result = verify(tmp_path)
    spool.close()
    assert result.findings == ()


def test_every_so_many_entries_are_signed(tmp_path: Path) -> None:
    with make_spool(tmp_path, checkpoint_records=4) as spool:
        record_session(spool, 1, 9)
        kinds = [entry.kind for entry in Recordings(tmp_path).entries(SESSION)]
        assert kinds.count(Kind.CHECKPOINT) == 2


def test_threads_may_append_at_once(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1, 0)
        record_session(spool, 2, 0)

        def work(base: int) -> None:
            for number in range(40):
                spool.append(session_id(1 + number % 2), flow(base + number), record(base + number))

        threads = [threading.Thread(target=work, args=(100 * index,)) for index in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    result = verify(tmp_path)
    assert result.findings == ()
    assert result.records == 240
    assert flows(tmp_path, session_id(1)) + flows(tmp_path, session_id(2)) == 240


# Crashes

WRITER = """
import os, pathlib, sys
from tests.recorder.support import *
from pratique.recorder.record import Stage
spool = Spool(pathlib.Path(sys.argv[1]), fsync=0.05, min_free_bytes=0)
base = int(sys.argv[2]) * 1000
record_session(spool, base, 0); record_session(spool, base + 1, 0)
n = 0
while True:
    n += 1
    spool.append(session_id(base + n % 2), flow(n, b"x" * (n * 37 % 5000)), record(n))
    spool.event(session_id(base + n % 2), "exec-1.cast", b'[0,"o","%d"]\\n' % n)
    os.write(1, b"%d\\n" % n)
    if n % 50 == 0:
        extra = record_session(spool, base + n, 2); spool.close_session(extra)
"""


@pytest.mark.parametrize("run", range(5))
def test_kill_nine_loses_no_finished_record(tmp_path: Path, run: int) -> None:
    for life in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(life)], stdout=subprocess.PIPE, env=_environment()
        )
        assert process.stdout
        for _ in range(random.randrange(1, 150)):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        finished = process.stdout.read().split()
        process.wait()
        process.stdout.close()
        last = int(finished[-1]) if finished else 1
        assert verify(tmp_path).ok, verify(tmp_path).findings
        found = b"".join(
            layout.part_path(tmp_path, session_id(life * 1000 + side), "exec-1.cast").read_bytes()
            for side in (0, 1)
            if layout.part_path(tmp_path, session_id(life * 1000 + side), "exec-1.cast").exists()
        )
        for number in range(1, last + 1):
            assert b'[0,"o","%d"]\n' % number in found
    make_spool(tmp_path).close()
    result = verify(tmp_path)
    for finding in result.findings:  # a kill between the two writes of an opening leaves a journal without records
        assert finding.change is Change.UNSEALED, finding
        kinds = {entry.kind for entry in Recordings(tmp_path).entries(finding.session)}
        assert kinds <= {Kind.OPENED}, finding
    reasons = {entry.reason for s in Recordings(tmp_path).ids() for entry in Recordings(tmp_path).entries(s)}
    assert "crashed" in reasons


def abandon(spool: Spool) -> None:
    """As if the process had been killed: locks and descriptors are gone, nothing was sealed."""
    spool._stop.set()
    spool._release_lock()
    spool._closed = True


def test_what_a_crash_left_half_written_is_kept_and_what_is_whole_is_chained(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    record_session(spool, 1, 2)
    spool.event(SESSION, "exec-1.cast", b"[1]\n")
    abandon(spool)
    part = layout.part_path(tmp_path, SESSION, "flow")
    cast = layout.part_path(tmp_path, SESSION, "exec-1.cast")
    chain = layout.chain_path(tmp_path, SESSION)
    sessions = layout.recordings(tmp_path) / layout.SESSIONS_CHAIN
    for path, extra in ((part, flow(8) + flow(9)[:20]), (cast, b"[2]\n[3"), (chain, b'{"ent'), (sessions, b'{"e')):
        with path.open("ab") as file:
            file.write(extra)
    layout.part_path(tmp_path, SESSION, "new.events").touch()
    make_spool(tmp_path).close()
    assert part.with_name(part.name + ".tail").read_bytes() == flow(9)[:20]
    assert cast.with_name(cast.name + ".tail").read_bytes() == b"[3"
    assert chain.with_name(chain.name + ".tail").read_bytes() == b'{"ent'
    assert flows(tmp_path) == 3
    assert [e.part for e in Recordings(tmp_path).entries(SESSION) if e.recovered] == ["exec-1.cast", "flow"]
    assert verify(tmp_path).findings == ()


def test_bytes_that_are_no_record_go_to_the_tail(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    record_session(spool, 1, 1)
    abandon(spool)
    with layout.part_path(tmp_path, SESSION, "flow").open("ab") as file:
        file.write(b"garbage")
    make_spool(tmp_path).close()
    assert flows(tmp_path) == 1
    assert verify(tmp_path).findings == ()


def test_a_session_that_was_changed_while_the_gateway_was_down_is_not_made_good(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    for number in range(1, 5):
        record_session(spool, number, 3)
    abandon(spool)
    first, second, third = (session_id(n) for n in (1, 2, 3))
    flow_file = layout.part_path(tmp_path, first, "flow")
    flow_file.write_bytes(flow_file.read_bytes()[:-4])
    chain = layout.chain_path(tmp_path, second)
    chain.write_bytes(chain.read_bytes().replace(b"Allow", b"Denyy"))
    layout.chain_path(tmp_path, third).unlink()
    make_spool(tmp_path).close()
    changes = {(f.session, f.change) for f in verify(tmp_path).findings if f.proves_change}
    assert {(first, Change.TRUNCATED), (second, Change.FLIPPED), (third, Change.DELETED)} <= changes
    assert session_id(4) not in {session for session, _ in changes}


def test_a_session_that_was_only_being_opened_proves_nothing(tmp_path: Path) -> None:
    disk = FailingDisk()
    spool = make_spool(tmp_path, disk)
    session = record_session(spool, 1, 0)
    sessions = layout.recordings(tmp_path) / layout.SESSIONS_CHAIN
    lines = sessions.read_bytes().splitlines(keepends=True)
    abandon(spool)
    sessions.write_bytes(b"".join(line for line in lines if session.encode() not in line))
    make_spool(tmp_path).close()
    assert {f.change for f in verify(tmp_path).findings if f.session == session} == {Change.UNSEALED}
    assert verify(tmp_path).ok


def test_a_changed_sessions_chain_refuses_the_start(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1)
    path = layout.recordings(tmp_path) / layout.SESSIONS_CHAIN
    path.write_bytes(path.read_bytes().replace(b'"reason":"shutdown"', b'"reason":"shutdowm"'))
    with pytest.raises(RecordError, match="was changed"):
        make_spool(tmp_path)


def test_a_missing_sessions_chain_refuses_the_start(tmp_path: Path) -> None:
    with make_spool(tmp_path) as spool:
        record_session(spool, 1)
    (layout.recordings(tmp_path) / layout.SESSIONS_CHAIN).unlink()
    with pytest.raises(RecordError, match="is gone"):
        make_spool(tmp_path)


def test_starts_and_events_of_streams_are_on_disk_before_they_end(tmp_path: Path) -> None:
    spool = make_spool(tmp_path)
    record_session(spool, 1, 0)
    spool.start(SESSION, flow(1), record(1, stage=Stage.STARTED))
    spool.event(SESSION, "watch-1.events", b'{"type":"ADDED"}\n', record(1, stage=Stage.EVENT))
    abandon(spool)
    stages = [e.record.stage for e in Recordings(tmp_path).entries(SESSION) if e.record]
    assert stages == [Stage.STARTED, Stage.EVENT]
    assert layout.part_path(tmp_path, SESSION, "watch-1.events").read_bytes() == b'{"type":"ADDED"}\n'


def test_the_real_disk_reports_free_space(tmp_path: Path) -> None:
    assert Disk().free(tmp_path) > 0
    assert resource.getrlimit(resource.RLIMIT_FSIZE)


def test_a_spool_that_failed_serves_again_by_itself_once_the_disk_does(tmp_path: Path) -> None:
    disk = FailingDisk()
    with Spool(tmp_path, fsync=0.02, disk=disk) as spool:
        record_session(spool, 1)
        disk.write_error = errno.ENOSPC
        with pytest.raises(RecordError):
            spool.append(SESSION, flow(9), record(9))
        with pytest.raises(RecordError):
            spool.healthy()
        disk.write_error = None
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            try:
                assert spool.healthy()
                break
            except RecordError:
                time.sleep(0.01)
        spool.append(SESSION, flow(9), record(9))
    assert verify(tmp_path).ok
