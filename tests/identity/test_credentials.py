"""A credential at hand is kept fresh, fetched one at a time, and its lack is a refusal."""

from __future__ import annotations

import asyncio
import threading

import pytest

from pratique.errors import CredentialError
from pratique.identity import credentials as module
from pratique.identity.credentials import (
    FAILURE_STANDS_SECONDS,
    LONGEST_PAUSE_SECONDS,
    TOKEN_FILE_LOOK_SECONDS,
    Fetched,
    Refresher,
    StaticCredentialSource,
    TokenFileCredentialSource,
)
from pratique.identity.gate import Credential
from pratique.identity.secret import Secret
from tests.identity.helpers import HandTime, settle

LIFE = 840.0
AHEAD = 180.0


class Fetch:
    """Counts, and fails while `down`."""

    def __init__(self, life=LIFE):
        self.calls = []
        self.down = None
        self.life = life

    def __call__(self, now):
        self.calls.append(now)
        if self.down is not None:
            raise self.down
        token = Credential(Secret(f"token-{len(self.calls)}"))
        return Fetched(token, now + self.life, now + self.life - AHEAD)


def make(fetch, clock, chance=0.0):
    return Refresher(fetch, "Role Y", clock=clock, sleep=clock.sleep, chance=lambda: chance)


async def token(source, clock):
    return (await source.credential(clock())).token.reveal()


def test_two_hours_pass_and_every_request_finds_a_good_token_at_hand():
    async def run():
        clock, fetch = HandTime(), Fetch()
        refresher = make(fetch, clock)
        await refresher.start()
        for _ in range(240):
            await clock.pass_(30)
            before = len(fetch.calls)
            await refresher.credential(clock())
            assert len(fetch.calls) == before, "a request waited for a fetch"
        assert len(fetch.calls) == 1 + int(7200 // (LIFE - AHEAD))
        await refresher.stop()

    asyncio.run(run())


def test_jitter_refreshes_earlier_never_later():
    async def run(chance):
        clock, fetch = HandTime(), Fetch()
        refresher = make(fetch, clock, chance)
        await refresher.start()
        await clock.pass_(LIFE - AHEAD, step=1)
        await refresher.stop()
        return fetch.calls[1] - fetch.calls[0]

    assert asyncio.run(run(0.0)) == pytest.approx(660, abs=1.1)
    assert asyncio.run(run(1.0)) == pytest.approx(594, abs=1.1)


def test_an_outage_with_a_good_token_is_noticed_by_nobody_and_told_to_the_operator():
    async def run():
        clock, fetch = HandTime(), Fetch(life=3600)
        refresher = make(fetch, clock)
        await refresher.start()
        await clock.pass_(3600 - AHEAD - 1)
        fetch.down = CredentialError("STS is down")
        await clock.pass_(AHEAD - 10)
        assert await token(refresher, clock) == "token-1"
        assert "STS is down" in refresher.describe().failure
        assert 3 <= len(fetch.calls) <= 20, "pauses grow"
        fetch.down = None
        await clock.pass_(LONGEST_PAUSE_SECONDS + 30)
        assert await token(refresher, clock) != "token-1"
        assert refresher.describe().failure == ""
        await refresher.stop()

    asyncio.run(run())


def test_an_outage_without_a_token_is_503_and_ends_by_itself():
    async def run():
        clock, fetch = HandTime(), Fetch()
        fetch.down = CredentialError("STS is down", "Wait")
        refresher = make(fetch, clock)
        await refresher.start()
        with pytest.raises(CredentialError, match=r"STS is down. Wait") as raised:
            await refresher.credential(clock())
        assert raised.value.code == 503
        fetch.down = None
        await clock.pass_(2 * LONGEST_PAUSE_SECONDS, step=1)
        assert refresher.describe().failure == ""
        assert (await token(refresher, clock)).startswith("token-")
        await refresher.stop()

    asyncio.run(run())


def test_an_expired_token_is_never_given_out():
    async def run():
        clock, fetch = HandTime(), Fetch()
        refresher = make(fetch, clock)
        await refresher.start()
        fetch.down = CredentialError("STS is down")
        clock.now += LIFE - 0.001
        assert await token(refresher, clock) == "token-1"
        clock.now += 0.001
        with pytest.raises(CredentialError):
            await refresher.credential(clock())
        await refresher.stop()

    asyncio.run(run())


def test_a_request_after_a_failure_does_not_call_again_at_once():
    async def run():
        clock, fetch = HandTime(), Fetch()
        fetch.down = CredentialError("STS is down")
        refresher = make(fetch, clock)
        for _ in range(20):
            with pytest.raises(CredentialError):
                await refresher.credential(clock())
        assert len(fetch.calls) == 1
        clock.now += FAILURE_STANDS_SECONDS
        fetch.down = None
        assert await token(refresher, clock) == "token-2"

    asyncio.run(run())


def test_many_requests_without_a_token_share_one_fetch_and_a_cancelled_one_does_not_end_it():
    async def run():
        clock, entered, gate = HandTime(), threading.Event(), threading.Event()
        fetch = Fetch()

        def slow(now):
            entered.set()
            gate.wait(10)
            return fetch(now)

        refresher = make(slow, clock)
        tasks = [asyncio.create_task(refresher.credential(clock())) for _ in range(10)]
        await asyncio.to_thread(entered.wait, 10)
        tasks[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await tasks[0]
        gate.set()
        assert {credential.token.reveal() for credential in await asyncio.gather(*tasks[1:])} == {"token-1"}
        assert len(fetch.calls) == 1

    asyncio.run(run())


def test_a_request_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(module, "REQUEST_WAIT_SECONDS", 0.02)

    async def run():
        clock, gate = HandTime(), threading.Event()

        def stuck(now):
            gate.wait(10)
            return Fetch()(now)

        refresher = make(stuck, clock)
        with pytest.raises(CredentialError, match="in time"):
            await refresher.credential(clock())
        gate.set()
        await settle()

    asyncio.run(run())


def test_a_fault_that_nobody_foresaw_is_a_credential_error_without_its_text():
    async def run():
        clock, fetch = HandTime(), Fetch()
        fetch.down = RuntimeError("secret in here")
        with pytest.raises(CredentialError, match="`RuntimeError`") as raised:
            await make(fetch, clock).credential(clock())
        assert "secret" not in str(raised.value)

    asyncio.run(run())


def test_a_credential_that_does_not_expire_is_not_fetched_again():
    async def run():
        clock, calls = HandTime(), []

        def fetch(now):
            calls.append(now)
            return Fetched(Credential(Secret("t")), None, None)

        refresher = make(fetch, clock)
        await refresher.start()
        await clock.pass_(100_000, step=50_000)
        assert await token(refresher, clock) == "t"
        assert len(calls) == 1
        await refresher.stop()

    asyncio.run(run())


def test_stopping_ends_the_tasks_and_starting_twice_starts_once():
    async def run():
        clock = HandTime()
        refresher = make(Fetch(), clock)
        await refresher.start()
        await refresher.start()
        await refresher.stop()
        await refresher.stop()
        assert len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_a_description_has_no_secret():
    async def run():
        clock = HandTime()
        refresher = make(Fetch(), clock)
        assert refresher.describe().expires is None
        await refresher.credential(clock())
        assert refresher.describe().expires == clock() + LIFE
        assert "token-1" not in repr(refresher.describe())

    asyncio.run(run())


def test_a_static_credential_stays():
    async def run():
        source = StaticCredentialSource(Credential(None, client_certificate=True), "cert of context `c`")
        await source.start()
        assert (await source.credential(0)).client_certificate
        assert source.describe().identity == "cert of context `c`"
        await source.stop()

    asyncio.run(run())


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "token"
    path.write_text("one\n")
    return path


def read(source, now):
    return asyncio.run(source.credential(now)).token.reveal()


def test_a_token_file_is_looked_at_again_after_a_while_and_not_before(file):
    source = TokenFileCredentialSource(file)
    assert read(source, 1000) == "one"
    file.write_text("two")
    assert read(source, 1000 + TOKEN_FILE_LOOK_SECONDS - 0.1) == "one"
    assert read(source, 1000 + TOKEN_FILE_LOOK_SECONDS) == "two"


def test_a_clock_that_was_set_back_does_not_keep_an_old_token(file):
    source = TokenFileCredentialSource(file)
    assert read(source, 1000) == "one"
    file.write_text("two")
    assert read(source, 500) == "two"


@pytest.mark.parametrize("content", ["", " \n", "two tokens", "ä", "a\x00b", "x" * 70_000, None])
def test_a_token_file_without_a_token_is_503_and_recovers(file, content):
    source = TokenFileCredentialSource(file)
    assert read(source, 0) == "one"
    file.unlink()
    if content is not None:
        file.write_text(content)
    for _ in range(2):
        with pytest.raises(CredentialError) as raised:
            read(source, 100)
        assert raised.value.code == 503
    assert source.describe().failure
    file.write_text("back")
    assert read(source, 100) == "back"
    assert source.describe().failure == ""


def test_a_token_file_source_starts_and_stops_without_the_file(tmp_path):
    source = TokenFileCredentialSource(tmp_path / "none")
    asyncio.run(source.start())
    asyncio.run(source.stop())


def test_a_failure_is_logged_once_with_its_remedy_and_so_is_its_end(caplog):
    async def run():
        clock = HandTime()
        fetch = Fetch()
        fetch.down = CredentialError("STS is down", "Wait")
        refresher = Refresher(fetch, "role y", clock=clock, sleep=clock.sleep, chance=lambda: 0.0)
        await refresher.start()
        await clock.pass_(60, step=5)
        fetch.down = None
        await clock.pass_(60, step=5)
        await refresher.stop()

    with caplog.at_level("WARNING", "pratique"):
        asyncio.run(run())
    assert caplog.messages == ["STS is down. Wait", "had again: role y"]
