"""Each fault of the gateway's surroundings is a Status, and nothing is forwarded. Those of the cluster: test_upstream."""

from __future__ import annotations

import resource
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from pratique.sandbox.cluster import Sandbox
from tests.process.gateway import Answer, Gateway, eventually, free_port
from tests.process.h2client import H2Client

pytestmark = pytest.mark.process
LIST = "/api/v1/namespaces/payments/configmaps"


def is_status(answer: Answer, code: int, *words: str) -> None:
    assert answer.code == code, answer
    assert answer.json["kind"] == "Status"
    for word in words:
        assert word in answer.json["message"]


class Relay:
    """In front of STS, so that it can go away and come back."""

    def __init__(self, port: int) -> None:
        self._to = port
        self.port = free_port()
        self._listener: socket.socket | None = None

    def open(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def close(self) -> None:
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                sock, _ = listener.accept()
                other = socket.create_connection(("127.0.0.1", self._to))
                for one, two in ((sock, other), (other, sock)):
                    threading.Thread(target=self._copy, args=(one, two), daemon=True).start()

    def _copy(self, one: socket.socket, two: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(65536):
                if self._listener is None:
                    break
                two.sendall(data)
        for sock in (one, two):
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)


class Eks:
    """A gateway that assumes its role at an STS, and the switches of both. `ahead`: seconds that the cluster's clock is."""

    def __init__(self, folder: Path) -> None:
        self.ahead = 0.0
        self.sandbox = Sandbox(folder / "sandbox", clock=lambda: time.time() + self.ahead)
        self.sandbox.start()
        self.relay = Relay(self.sandbox.info.sts_port)
        endpoint = f"http://127.0.0.1:{self.relay.port}"
        self.gateway = Gateway(folder / "gateway", self.sandbox, credential="eks", cluster={"sts_endpoint": endpoint})

    down: Answer
    throttled: Answer
    reached: int
    """What was answered while there was no token yet, and how many requests the cluster saw by then."""

    def throttle(self, *, on: bool) -> None:
        self.sandbox.call(lambda cluster: setattr(cluster.sts, "throttled", on))

    def revoke(self) -> None:
        """Every session that was assumed so far is invalid."""
        self.sandbox.call(lambda cluster: cluster.sts.sessions.clear())

    def call(self) -> Answer:
        return self.gateway.call("GET", LIST)

    def served(self) -> bool:
        return self.call().code == 200


@pytest.fixture(scope="module")
def eks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Eks]:
    """Started while STS is down; then it throttles, then it works."""
    made = Eks(tmp_path_factory.mktemp("eks"))
    made.gateway.start()
    made.down = made.call()
    made.throttle(on=True)
    made.relay.open()
    eventually(lambda: "hrottl" in made.call().json["message"])
    made.throttled = made.call()
    made.reached = len(made.sandbox.requests)
    made.throttle(on=False)
    yield made
    made.gateway.stop()
    made.relay.close()
    made.sandbox.stop()


@pytest.fixture
def working(eks: Eks) -> Iterator[Eks]:
    eks.relay.close()
    eks.relay.open()
    eventually(eks.served)
    yield eks
    eks.ahead = 0.0
    eks.throttle(on=False)


def test_sts_down_or_throttled_at_the_start_is_a_503(eks: Eks) -> None:
    is_status(eks.down, 503, "STS")
    is_status(eks.throttled, 503, "STS")
    for answer in (eks.down, eks.throttled):
        assert eks.sandbox.info.secret_access_key not in answer.body.decode()
    assert eks.reached == 0
    eventually(eks.served)


def test_sts_down_when_a_new_session_is_needed_is_a_503(working: Eks) -> None:
    working.relay.close()
    working.revoke()
    eventually(lambda: "STS" in working.call().json.get("message", ""))
    before = len(working.sandbox.requests)
    is_status(working.call(), 503, "STS")
    assert len(working.sandbox.requests) == before
    working.relay.open()
    eventually(working.served)


def test_sts_throttled_later_is_the_clusters_own_429(working: Eks) -> None:
    """The cluster asks STS too, whoever the token's owner is."""
    working.throttle(on=True)
    answer = working.call()
    is_status(answer, 429)
    assert answer.headers["retry-after"]
    working.throttle(on=False)
    eventually(working.served)


def test_sts_down_later_does_not_matter_while_the_token_is_good(working: Eks) -> None:
    working.relay.close()
    assert working.served()
    working.relay.open()


def test_a_token_that_expired_is_a_503_and_not_a_401(working: Eks) -> None:
    """A 401 would tell the client that its own key is wrong."""
    working.ahead = 16 * 60
    answer = working.call()
    is_status(answer, 503, "credential")
    assert answer.headers["retry-after"] == "1"
    assert "www-authenticate" not in answer.headers
    working.ahead = 0.0
    eventually(working.served)


def test_a_session_that_was_revoked_is_assumed_anew(working: Eks) -> None:
    working.revoke()
    refused = working.sandbox.call(lambda cluster: len(cluster.refused_tokens))
    is_status(working.call(), 503, "credential")
    eventually(working.served)
    assert working.sandbox.call(lambda cluster: len(cluster.refused_tokens)) > refused


def test_a_token_file_that_is_missing_is_a_503(make_gateway) -> None:
    gateway = make_gateway()
    token = gateway.folder / "token"
    text = token.read_text()
    token.unlink()
    gateway.start()
    before = len(gateway.sandbox.requests)
    is_status(gateway.call("GET", LIST), 503, "token file")
    token.write_text("two words\n")
    is_status(gateway.call("GET", LIST), 503, "no bearer token")
    token.write_text("wrong-token\n")
    is_status(gateway.call("GET", LIST), 503, "refused the gateway's credential")
    token.write_text(text)
    assert gateway.call("GET", LIST).code == 200
    assert len(gateway.sandbox.requests) == before + 2


def test_documents_that_vanish_or_break_leave_the_old_ones_in_force(make_gateway) -> None:
    gateway = make_gateway().start()
    gateway.policies.rename(gateway.folder / "elsewhere")
    eventually(lambda: "NOT in force" in gateway.output)
    assert gateway.call("GET", LIST).code == 200
    assert gateway.call("DELETE", "/api/v1/namespaces/payments").code == 403
    assert gateway.call("GET", LIST, client="").code == 401


def test_a_full_disk_refuses_before_anything_is_forwarded(make_gateway) -> None:
    """RLIMIT_FSIZE: a write past it fails with EFBIG, as on a full disk it fails with ENOSPC."""
    gateway = make_gateway().start()
    assert gateway.call("GET", "/version").code == 200  # the list may be long by other tests
    sizes = [path.stat().st_size for path in gateway.folder.rglob("*") if path.is_file()]
    assert max(sizes) < 500_000
    _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (max(sizes) + 50_000, hard))
    filler = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "disk"}, "data": {"a": "b" * 900_000}}
    before = len(gateway.sandbox.requests)
    for method, target, body in (("POST", LIST, filler), ("GET", LIST, None), ("DELETE", f"{LIST}/disk", None)):
        answer = gateway.call(method, target, body)
        is_status(answer, 503)
        assert "fault/RecordError" in answer.body.decode()
    with H2Client(gateway) as client:
        assert client.get(f"{LIST}?watch=true").status == 503
    assert len(gateway.sandbox.requests) == before
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_a_disk_that_fills_up_while_an_answer_is_recorded_shows_nothing(make_gateway) -> None:
    """The request was small and passed; what came back cannot be written down."""
    gateway = make_gateway().start()
    big = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "big-answer"}, "data": {"a": "b" * 900_000}}
    place = LIST.replace("payments", "default")  # not in the lists of other tests
    assert gateway.call("POST", place, big).code == 201
    sizes = [path.stat().st_size for path in gateway.folder.rglob("*.sqlite*") if path.is_file()]
    _, hard = resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (max(sizes) + 100_000, hard))
    answer = gateway.call("GET", f"{place}/big-answer")
    is_status(answer, 503, "record")
    assert b"bbbb" not in answer.body
    assert len(gateway.seen("big-answer")) == 1
    resource.prlimit(gateway.pid, resource.RLIMIT_FSIZE, (hard, hard))


def test_a_broken_approval_store_refuses_what_needs_an_approval(make_gateway) -> None:
    gateway = make_gateway().start()
    assert gateway.call("DELETE", f"{LIST}/before-the-break").reason == "ApprovalPending"
    for path in gateway.state.glob("approvals.sqlite*"):
        with path.open("r+b") as file:
            file.write(b"\xff" * path.stat().st_size)
    answer = gateway.call("DELETE", f"{LIST}/after-the-break")
    is_status(answer, 503)
    assert gateway.call("GET", LIST).code == 200
    assert gateway.seen("-the-break") == []


def test_a_log_whose_disk_is_full_does_not_end_the_gateway(tmp_path: Path, sandbox: Sandbox) -> None:
    """/dev/full takes nothing: every line that is logged fails with ENOSPC."""
    gateway = Gateway(tmp_path, sandbox)
    with Path("/dev/full").open("ab", buffering=0) as full:
        gateway.process = subprocess.Popen(
            gateway.command(), stdout=full, stderr=full, env=gateway.surroundings(), cwd=tmp_path
        )
    try:
        eventually(lambda: _serves(gateway))
        for _ in range(3):  # each is a warning in the log
            with (
                socket.create_connection(("127.0.0.1", gateway.port), 5) as plain,
                pytest.raises(ssl.SSLCertVerificationError),
            ):
                ssl.create_default_context().wrap_socket(plain, server_hostname="localhost")
        assert _serves(gateway)
        assert gateway.process.poll() is None
    finally:
        gateway.stop()


def _serves(gateway: Gateway) -> bool:
    assert gateway.process is not None
    assert gateway.process.poll() is None, gateway.process.returncode
    with suppress(OSError):
        return gateway.call("GET", LIST).code == 200
    return False
