"""What a soak loads a gateway with: actors of every kind, each in a thread, and the tally of what they were answered.

Names are used again and again, so that the cluster stays as large as it is: what grows is the gateway's.
"""

from __future__ import annotations

import collections
import http.client
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.process.gateway import Answer, Gateway
from tests.process.h2client import H2Client
from tests.process.reviewing import MAPS, Held, Reviewer, configmap
from tests.process.streams import WebSocketClient, exec_target

PAUSE_SECONDS = 0.02  # between two requests of an actor: the machine is not to be full, or everything only waits
WATCH_SECONDS = 2
WATCHES = 8  # at once on the HTTP/2 connection
REFUSED_SECONDS = 5.0  # a session that was revoked may be told for so long: two are the gateway's own pause
EDIT_SECONDS, REVOKE_SECONDS = 2.0, 20.0
HOLD_SECONDS = 60
SESSION_SECONDS = 100.0  # of Role Y: the gateway renews it when a third is left, and its token ends 30 s before it
EXPECTED = "a credential that was revoked at the cluster, told as a 503"
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: test}
spec:
  subjects: ["*"]
  rules:
    - {name: read, verbs: [get, list, watch], apiGroups: [""], resources: [pods, pods/log, secrets, configmaps], action: Allow}
    - {name: write, verbs: [create, update], apiGroups: [""], resources: [configmaps], action: Allow}
    - {name: exec, verbs: [get, create], apiGroups: [""], resources: [pods/exec], action: Allow}
    - {name: asks, verbs: [delete], apiGroups: [""], resources: [configmaps], action: RequireApproval, message: a person decides}
"""


@dataclass
class Tally:
    """Counts per kind, and every error by its name. Shared by threads."""

    done: collections.Counter[str] = field(default_factory=collections.Counter)
    expected: collections.Counter[str] = field(default_factory=collections.Counter)
    unexpected: collections.Counter[str] = field(default_factory=collections.Counter)
    revoked_at: float = float("-inf")
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, kind: str) -> None:
        with self._lock:
            self.done[kind] += 1

    def failed(self, kind: str, what: str, *, refused: bool = False) -> None:
        """`refused`: the gateway said that the cluster refuses its credential."""
        known = refused and time.monotonic() - self.revoked_at < REFUSED_SECONDS
        with self._lock:
            if known:
                self.expected[EXPECTED] += 1
            else:
                self.unexpected[f"{kind}: {what}"] += 1


def is_refused(code: int, body: bytes) -> bool:
    """The second is what an approval says that could not be used, as its object could not be looked at."""
    return code == 503 and (b"refused the gateway's credential" in body or b"401 Unauthorized" in body)


class Mix:
    """All actors, until `stop`. `Gateway` is one with `POLICY`, credential `eks`, and the clients `agent` and `other`."""

    def __init__(self, gateway: Gateway, tally: Tally) -> None:
        self.gateway, self.tally = gateway, tally
        self._end = threading.Event()
        actors: list[Callable[[int], None]] = [
            self._read, self._read, self._write, self._watch, self._streams, self._exec, self._ask, self._edit,
            self._revoke,
        ]  # fmt: skip
        self._threads = [
            threading.Thread(target=self._run, args=(actor, number), name=actor.__name__, daemon=True)
            for number, actor in enumerate(actors)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 120) -> None:
        """Waits until each has finished what it was at."""
        self._end.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
            if thread.is_alive():
                self.tally.failed(thread.name, "hangs")

    def _run(self, actor: Callable[[int], None], number: int) -> None:
        while not self._end.is_set():
            try:
                actor(number)
            except (OSError, ssl.SSLError, http.client.HTTPException, AssertionError) as error:
                self.tally.failed(actor.__name__, f"{type(error).__name__}: {str(error)[:200]}")
            self._end.wait(PAUSE_SECONDS)

    def _call(
        self, kind: str, method: str, target: str, body: object = None, *, codes: tuple[int, ...] = (200,)
    ) -> Answer:
        answer = self.gateway.call(method, target, body)
        self._judge(kind, answer, codes)
        return answer

    def _judge(self, kind: str, answer: Answer, codes: tuple[int, ...]) -> None:
        if answer.code in codes:
            self.tally.count(kind)
        else:
            self.tally.failed(
                kind, f"{answer.code} {answer.body[:160]!r}", refused=is_refused(answer.code, answer.body)
            )

    # --- actors: each call is one turn ---

    def _read(self, number: int) -> None:
        for path in ("pods", "secrets", "configmaps", f"configmaps/soak-{number}-not-there"):
            codes = (404,) if path.endswith("not-there") else (200,)
            self._call("reads", "GET", f"/api/v1/namespaces/payments/{path}", codes=codes)
        self._end.wait(PAUSE_SECONDS)

    def _write(self, number: int) -> None:
        name = f"soak-write-{number}"
        self._call("writes", "POST", MAPS, configmap(name), codes=(201, 409))
        self._call("writes", "PUT", f"{MAPS}/{name}", configmap(name, turn=str(time.monotonic())), codes=(200, 404))

    def _watch(self, _: int) -> None:
        self._call("watches", "GET", f"{MAPS}?watch=true&timeoutSeconds={WATCH_SECONDS}")

    def _streams(self, _: int) -> None:
        """Watches on one HTTP/2 connection: some are reset, the others end with the connection."""
        with H2Client(self.gateway, client="other") as client:
            client.settle()
            numbers = [client.request("GET", f"{MAPS}?watch=true&timeoutSeconds=60") for _ in range(WATCHES)]
            client.wait(lambda: all(client.streams[each].status for each in numbers))
            for each in numbers:
                stream = client.streams[each]
                if stream.status == 200:
                    self.tally.count("watches over HTTP/2")
                else:
                    client.wait(lambda stream=stream: stream.over)  # type: ignore[misc]
                    self.tally.failed(
                        "watches over HTTP/2", str(stream.status), refused=is_refused(stream.status, stream.data)
                    )
            for each in numbers[::2]:
                if not client.streams[each].over:
                    client.reset(each)
            self._end.wait(WATCH_SECONDS / 2)

    def _exec(self, _: int) -> None:
        session = WebSocketClient(self.gateway, exec_target("db-0", "sh", "-c", "echo soak-output"))
        if session.code == 101:
            session.finish()
            if b"soak-output" in session.output(1) and session.closed == 1000:
                self.tally.count("execs")
            else:
                self.tally.failed("execs", f"closed with {session.closed}: {session.messages!r:.160}")
        else:
            body = str(session.body)
            self.tally.failed("execs", f"{session.code} {body[:160]}", refused=is_refused(session.code, body.encode()))
            session.close()
        self._end.wait(0.1)

    def _ask(self, _: int) -> None:
        """Made, asked about, approved by a person, gone. The next turn makes it again."""
        name = "soak-ask"
        self._call("writes", "POST", MAPS, configmap(name), codes=(201, 409))
        held = Held(self.gateway, "DELETE", f"{MAPS}/{name}")
        reviewer = Reviewer(self.gateway, "alice")
        while not (pending := [row for row in reviewer.rows() if row["state"] == "pending"]):
            if held.done():
                self._judge("approvals", held.answer(), (200, 404))  # approved before, and told to repeat
                return
            time.sleep(PAUSE_SECONDS)
        for row in pending:
            nonce = reviewer.show(row["id"])["nonce"]
            told = reviewer.call("POST", f"/approvals/{row['id']}/decision", {"decision": "approve", "nonce": nonce})
            self._judge("decisions of reviewers", told, (200,))
        self._judge("approvals", held.answer(), (200, 404))

    def _edit(self, _: int) -> None:
        """A changed document, and now and then one that is broken."""
        turn = self.tally.done["edits of documents"]
        broken = turn % 5 == 4
        self._replace("kind: Nonsense\n" if broken else f"{self.gateway.policy}# turn {turn}\n")
        self.tally.count("edits of documents")
        self._end.wait(EDIT_SECONDS)
        if broken:
            self._replace(self.gateway.policy)

    def _replace(self, text: str) -> None:
        """As editors do: a new file in the place of the old one."""
        new = self.gateway.folder / "policy.new"
        new.write_text(text)
        new.replace(self.gateway.policies / "policy.yaml")

    def _revoke(self, _: int) -> None:
        """Every session that was assumed is invalid; whatever was seen by the cluster is forgotten by this process."""
        if self._end.wait(REVOKE_SECONDS):
            return
        sandbox = self.gateway.sandbox
        self.tally.revoked_at = time.monotonic()
        sandbox.call(lambda cluster: (cluster.sts.sessions.clear(), cluster.requests.clear()))  # type: ignore[union-attr]
        self.tally.count("sessions revoked at the cluster")
