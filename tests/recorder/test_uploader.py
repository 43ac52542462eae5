"""Closed sessions reach the bucket once, whole and locked; while they cannot, what waits is bounded."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pratique.errors import RecordError, StartError
from pratique.recorder import keys, layout, storage
from pratique.recorder.s3 import Bucket
from pratique.recorder.segments import LONGEST_PAUSE_SECONDS, Destination
from pratique.recorder.sessions import Recordings
from pratique.recorder.spool import Spool
from pratique.recorder.uploader import UPLOADS, Limits, Uploader
from tests.recorder.fakes3 import FakeS3
from tests.recorder.support import NOON, make_spool, record_session, session_id

WHERE = Destination("audit", "pratique", "prod", "arn:aws:kms:eu-west-1:1:key/x", "COMPLIANCE", 30)
A, B = session_id(1), session_id(2)
UNSIGNED = 4096
"""Bytes of sessions.chain that no checkpoint vouches for yet, and so are not copied yet."""


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeS3]:
    with FakeS3() as fake:
        for name, value in fake.environment.items():
            monkeypatch.setenv(name, value)
        yield fake


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with make_spool(tmp_path) as made:
        yield made


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def uploader(
    state: Path,
    spool: Spool,
    limits: Limits | None = None,
    monotonic: Clock | None = None,
    where: Destination | None = WHERE,
) -> Uploader:
    bucket = Bucket(where) if where else None
    return Uploader(state, spool, bucket, limits or Limits(), lambda: NOON, monotonic or Clock())


def closed(spool: Spool, number: int) -> str:
    session = record_session(spool, number)
    spool.event(session, "exec-1.cast", b"[]\n")
    spool.close_session(session)
    return session


def name(file: str) -> str:
    return f"audit/pratique/prod/2026-01-01/{file}"


def test_a_closed_session_is_copied_with_its_journal_last(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    copier = uploader(tmp_path, spool)
    closed(spool, 1)
    record_session(spool, 2)
    copier.copy_all()
    assert s3.puts[1:4] == [name(f"{A}.exec-1.cast"), name(f"{A}.flow"), name(f"{A}.chain")]
    assert s3.objects[name(f"{A}.flow")] == layout.part_path(tmp_path, A, "flow").read_bytes()
    assert not [key for key in s3.objects if B in key], "an open session is not copied"


def test_every_object_is_conditional_checked_encrypted_and_locked(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    closed(spool, 1)
    uploader(tmp_path, spool).copy_all()
    assert len(s3.headers) == 5
    for headers in s3.headers.values():
        assert headers["if-none-match"] == "*"
        assert headers["x-amz-checksum-sha256"]
        assert headers["x-amz-server-side-encryption"] == "aws:kms"
        assert headers["x-amz-server-side-encryption-aws-kms-key-id"] == WHERE.kms_key
        assert headers["x-amz-object-lock-mode"] == "COMPLIANCE"
        until = datetime.fromisoformat(headers["x-amz-object-lock-retain-until-date"])
        assert until.timestamp() == NOON + 30 * 86400


def test_without_a_lock_or_key_the_bucket_decides(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    closed(spool, 1)
    uploader(tmp_path, spool, where=Destination("audit")).copy_all()
    headers = next(iter(s3.headers.values()))
    assert headers["x-amz-server-side-encryption"] == "aws:kms"
    assert not [each for each in headers if "object-lock" in each or "key-id" in each]


def test_what_is_in_the_bucket_is_a_folder_that_verifies(tmp_path: Path, s3: FakeS3) -> None:
    with make_spool(tmp_path / "a") as spool:
        copier = uploader(tmp_path / "a", spool)
        closed(spool, 1)
        copier.copy_all()
        closed(spool, 2)
    copier.copy_all()
    copy = tmp_path / "b" / layout.RECORDINGS
    pieces = b""
    for key, data in sorted(s3.objects.items()):
        folder, _, file = key.removeprefix("audit/pratique/prod/").partition("/")
        if folder == "sessions":
            pieces += data
        else:
            place = tmp_path / "b" / folder if folder == keys.KEYS else copy / folder
            place.mkdir(parents=True, exist_ok=True)
            (place / file).write_bytes(data)
    (copy / layout.SESSIONS_CHAIN).write_bytes(pieces)
    result = Recordings(tmp_path / "b").verify(keys.verifier(tmp_path / "b"))
    assert (result.findings, result.sessions) == ((), 2)
    assert len([key for key in s3.objects if "/sessions/" in key]) == 2


def test_the_public_keys_are_copied_and_no_private_one(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    uploader(tmp_path, spool).copy_all()
    (public,) = [key for key in s3.objects if "/keys/" in key]
    assert public.endswith(".pub")
    assert (tmp_path / keys.KEYS / keys.PRIVATE).read_bytes() not in s3.objects.values()


def test_a_restart_copies_nothing_twice_even_if_its_notes_are_lost(tmp_path: Path, s3: FakeS3) -> None:
    with make_spool(tmp_path) as spool:
        closed(spool, 1)
        uploader(tmp_path, spool).copy_all()
        count = len(s3.puts)
        uploader(tmp_path, spool).copy_all()
        assert len(s3.puts) == count
        notes = layout.recordings(tmp_path) / UPLOADS
        notes.write_bytes(notes.read_bytes()[:-5])
        uploader(tmp_path, spool).copy_all()
        notes.unlink()
        again = uploader(tmp_path, spool)
        again.copy_all()
        assert len(s3.puts) == count
        assert again.waiting < UNSIGNED


def test_an_object_that_is_another_one_is_never_replaced(tmp_path: Path, spool: Spool, s3: FakeS3, caplog) -> None:
    closed(spool, 1)
    s3.objects[name(f"{A}.flow")] = b"planted"
    copier = uploader(tmp_path, spool)
    copier.copy_all()
    assert "another object stands at" in caplog.text
    assert s3.objects[name(f"{A}.flow")] == b"planted"
    assert name(f"{A}.chain") not in s3.objects


def test_a_bucket_that_is_away_is_asked_again_after_growing_pauses(
    tmp_path: Path, spool: Spool, s3: FakeS3, caplog
) -> None:
    clock = Clock()
    copier = uploader(tmp_path, spool, monotonic=clock)
    closed(spool, 1)
    s3.fail = 503
    tries = []
    for _ in range(400):
        before = copier._failures
        copier.tick()
        if copier._failures > before:
            tries.append(clock.now)
        clock.now += 5
    pauses = [b - a for a, b in zip(tries, tries[1:], strict=False)]
    assert pauses[0] <= 5
    assert LONGEST_PAUSE_SECONDS / 2 <= pauses[-1] <= LONGEST_PAUSE_SECONDS + 5
    assert caplog.text.count("recordings are not copied") == 1, "said once"
    assert "SlowDown" in caplog.text
    s3.fail = 0
    clock.now += LONGEST_PAUSE_SECONDS
    copier.tick()
    assert name(f"{A}.chain") in s3.objects
    assert "recordings are copied again" in caplog.text


def test_while_the_bucket_is_away_a_full_spool_stops_serving(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    copier = uploader(tmp_path, spool, Limits(spool=20_000))
    spool.require(copier.healthy)
    s3.fail = 503
    for number in range(1, 20):
        closed(spool, number)
        copier.copy_all()
        if copier.waiting > 20_000:
            break
        assert spool.healthy()
    with pytest.raises(RecordError, match="bytes of recordings wait to be copied, 20000 are the limit"):
        spool.healthy()
    s3.fail = 0
    copier.copy_all()
    assert spool.healthy()
    assert copier.waiting < UNSIGNED


def test_what_waits_is_known_after_a_restart(tmp_path: Path, s3: FakeS3) -> None:
    with make_spool(tmp_path) as spool:
        closed(spool, 1)
    with make_spool(tmp_path) as spool:
        copier = uploader(tmp_path, spool, Limits(spool=100))
        assert copier.waiting > 100
        with pytest.raises(RecordError):
            copier.healthy()
        copier.copy_all()
        assert copier.waiting < UNSIGNED


def test_an_operator_may_go_on_with_a_full_spool(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    s3.fail = 503
    copier = uploader(tmp_path, spool, Limits(spool=1, refuse=False))
    closed(spool, 1)
    copier.copy_all()
    copier.healthy()


def test_old_sessions_are_removed_here_once_they_are_copied(tmp_path: Path, spool: Spool, s3: FakeS3) -> None:
    copier = Uploader(tmp_path, spool, Bucket(WHERE), Limits(retention_days=1), lambda: NOON + 2 * 86400, Clock())
    closed(spool, 1)
    s3.fail = 503
    copier.tick()
    assert layout.chain_path(tmp_path, A).exists(), "not copied, not removed"
    s3.fail = 0
    copier._next = 0.0
    copier.tick()
    assert not layout.chain_path(tmp_path, A).exists()
    assert name(f"{A}.chain") in s3.objects
    assert Recordings(tmp_path).verify(keys.verifier(tmp_path)).ok


def test_without_a_bucket_the_retention_alone_decides(tmp_path: Path, spool: Spool) -> None:
    copier = Uploader(tmp_path, spool, None, Limits(retention_days=1), lambda: NOON + 2 * 86400, Clock())
    closed(spool, 1)
    copier.tick()
    assert not layout.chain_path(tmp_path, A).exists()
    assert copier.waiting == 0


def options(**changes: Any) -> Any:
    values = {
        "pratique_record_key": "", "pratique_segment_bucket": "audit", "pratique_segment_prefix": "pratique",
        "pratique_segment_key": "", "pratique_segment_lock": "governance", "pratique_segment_lock_days": 1,
        "pratique_spool_limit": 0, "pratique_spool_full": "refuse", "pratique_retention_days": 0,
        "pratique_dynamodb_table": "", "pratique_dynamodb_region": "",
    }  # fmt: skip
    return SimpleNamespace(**(values | changes))


def test_a_stopping_gateway_copies_what_it_has_closed(tmp_path: Path, s3: FakeS3) -> None:
    opened = storage.Storage(tmp_path, "prod", options())
    record_session(opened.spool, 1)
    opened.close()
    assert name(f"{A}.chain") in s3.objects
    assert s3.headers[name(f"{A}.chain")]["x-amz-object-lock-mode"] == "GOVERNANCE"


def test_a_stopping_gateway_does_not_wait_for_a_bucket_that_is_away(tmp_path: Path, s3: FakeS3) -> None:
    s3.fail = 503
    opened = storage.Storage(tmp_path, "prod", options())
    record_session(opened.spool, 1)
    opened.close()
    assert Recordings(tmp_path).verify(keys.verifier(tmp_path)).ok


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"pratique_segment_lock": "always"}, "`governance`, `compliance`"),
        ({"pratique_spool_full": "ignore"}, "`refuse`, `serve`"),
        ({"pratique_spool_limit": -1}, "not be negative"),
        ({"pratique_segment_lock_days": 0}, "at least 1"),
        ({"pratique_record_key": "x"}, "no ARN of a KMS key"),
    ],
)
def test_options_that_make_no_sense_stop_the_start(tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises((StartError, RecordError), match=said):
        storage.Storage(tmp_path, "prod", options(**changes))
