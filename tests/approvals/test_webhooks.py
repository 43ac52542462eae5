"""Webhooks are told each event, signed, at least once, with one idempotency key, and nobody else is told."""

from __future__ import annotations

import asyncio
import http.server
import json
import threading
from dataclasses import replace

import pytest

from pratique.approvals.deciding import Decision
from pratique.approvals.effects import Effect
from pratique.approvals.grants import GrantKind, Wish
from pratique.approvals.notifying import LOOK_SECONDS, Notifier, UnsentError, check_files, post_once
from pratique.approvals.sqlite_outbox import SqliteOutbox
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.webhooks import (
    BACK_OFF,
    SIGNATURE_SECONDS,
    EventName,
    body_of,
    events_of,
    idempotency_key,
    sign,
    verify,
    webhooks_from,
)
from pratique.documents import parse
from pratique.errors import DocumentErrors
from tests.approvals.helpers import HOUR, VirtualTime, question

SECRET = b"a secret of 26 characters."
DOCUMENT = """apiVersion: pratique/v1
kind: Webhook
metadata: {name: ops}
spec:
  url: https://hooks.example/x
  secretFile: secret
"""


def webhooks(text=DOCUMENT, folder="/nowhere"):
    return webhooks_from(parse(text, f"{folder}/w.yaml"))


class Receiver:
    """Answers with `codes` in turn, then 200; keeps what it got."""

    def __init__(self, *codes):
        self.codes = list(codes)
        self.got = []

    def __call__(self, url, body, headers, tls):
        self.got.append((url, body, dict(headers)))
        answer = self.codes.pop(0) if self.codes else 200
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, tuple) else (answer, 0.0)

    def events(self):
        return [json.loads(body)["event"] for _, body, _ in self.got]


@pytest.fixture
def clock():
    return VirtualTime(1_000_000.0)


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "s")
    yield store
    store.close()


@pytest.fixture
def make(store, tmp_path, clock):
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    outboxes = []

    def make(receiver, text=DOCUMENT):
        outboxes.append(SqliteOutbox(tmp_path / "o"))
        found = webhooks(text, tmp_path)
        link = lambda approval_id: f"https://gateway/link#{approval_id}"  # noqa: E731
        notifier = Notifier(store, outboxes[-1], lambda: found, link, clock=clock, sleep=clock.sleep, post=receiver)
        run(notifier)  # a receiver is told what happens from its first start on
        return notifier

    yield make
    for outbox in outboxes:
        outbox.close()


def run(notifier, steps=3):
    async def steps_of():
        for _ in range(steps):
            await notifier.step()

    asyncio.run(steps_of())


def test_a_question_is_told_with_its_words_signed_and_with_a_link(make, store, clock):
    receiver = Receiver()
    notifier = make(receiver)
    effect = Effect(total=2, risks=(("privileged", "c: true"),), difference=("+secret",), digest="d")
    asked = store.ask(question(effect=effect, body='{"p":"masked"}'), clock())
    run(notifier)
    ((url, body, headers),) = receiver.got
    assert url == "https://hooks.example/x"
    told = json.loads(body)
    assert told["event"] == "asked"
    assert told["approval"]["words"] == "delete Deployment payments/api"
    assert (told["approval"]["objects"], told["approval"]["risks"]) == (2, ["privileged"])
    assert told["link"] == f"https://gateway/link#{asked.id}"
    assert verify(SECRET, body, headers["Pratique-Timestamp"], headers["Pratique-Signature"], clock())
    assert headers["Idempotency-Key"] == idempotency_key("ops", asked.id, EventName.ASKED)


def test_neither_body_nor_difference_is_told(make, store, clock):
    receiver = Receiver()
    notifier = make(receiver)
    store.ask(
        question(body="THE-BODY", effect=Effect(difference=("+THE-DIFFERENCE",), risks=(("image", "THE-VALUE"),))),
        clock(),
    )
    run(notifier)
    assert "THE-" not in receiver.got[0][1].decode()


def test_a_changed_or_recorded_message_is_not_believed():
    body, now = b"{}", 1000.0
    headers = sign(SECRET, body, now)
    stamp, signature = headers["Pratique-Timestamp"], headers["Pratique-Signature"]
    assert verify(SECRET, body, stamp, signature, now + SIGNATURE_SECONDS)
    assert not verify(SECRET, b"{ }", stamp, signature, now)
    assert not verify(b"another secret", body, stamp, signature, now)
    assert not verify(SECRET, body, "1001", signature, now)
    assert not verify(SECRET, body, stamp, signature, now + SIGNATURE_SECONDS + 1)
    assert not verify(SECRET, body, "x", signature, now)


def test_each_event_is_told_once_in_its_time(make, store, clock):
    receiver = Receiver()
    notifier = make(receiver)
    approved, denied, expired = (store.ask(question(name), clock()) for name in "abc")
    run(notifier)
    store.decide(approved.id, Decision.APPROVE, "alice", "", clock())
    store.decide(denied.id, Decision.DENY, "alice", "no", clock())
    run(notifier)
    clock.now += HOUR
    run(notifier)
    assert store.get(expired.id, clock()).state == "expired"
    assert sorted(receiver.events()) == ["approved", "asked", "asked", "asked", "denied", "expired", "expired"]


def test_after_a_restart_nothing_is_told_twice_and_nothing_is_lost(make, store, clock):
    receiver = Receiver()
    run(make(receiver))
    store.ask(question("while it was down"), clock())
    run(make(receiver))
    run(make(receiver))
    assert receiver.events() == ["asked"]


def test_a_new_receiver_is_not_told_of_the_past(make, store, clock):
    store.ask(question(), clock())
    clock.now += 1
    receiver = Receiver()
    run(make(receiver))
    assert receiver.got == []


@pytest.mark.parametrize("failure", [500, 503, 429, 408, UnsentError("no route")])
def test_a_failure_is_tried_again_later_with_the_same_key(make, store, clock, failure):
    receiver = Receiver(failure, failure)
    notifier = make(receiver)
    store.ask(question(), clock())
    run(notifier)
    assert len(receiver.got) == 1
    clock.now += BACK_OFF[0]
    run(notifier)
    assert len(receiver.got) == 2
    clock.now += BACK_OFF[1] - 1
    run(notifier)
    assert len(receiver.got) == 2, "it waits longer each time"
    clock.now += 1
    run(notifier)
    run(notifier)
    assert len(receiver.got) == 3
    assert len({headers["Idempotency-Key"] for _, _, headers in receiver.got}) == 1
    assert receiver.got[0][2]["Pratique-Timestamp"] != receiver.got[2][2]["Pratique-Timestamp"]


def test_a_receivers_retry_after_is_kept_to(make, store, clock):
    receiver = Receiver((429, 60.0))
    notifier = make(receiver)
    store.ask(question(), clock())
    run(notifier)
    clock.now += 59
    run(notifier)
    assert len(receiver.got) == 1
    clock.now += 1
    run(notifier)
    assert len(receiver.got) == 2


@pytest.mark.parametrize("code", [301, 400, 404, 410])
def test_a_refusal_is_not_repeated(make, store, clock, code, caplog):
    receiver = Receiver(code)
    notifier = make(receiver)
    store.ask(question(), clock())
    run(notifier)
    clock.now += 1000
    run(notifier)
    assert len(receiver.got) == 1
    assert f"answered {code}" in caplog.text
    assert "hooks.example" not in caplog.text, "the URL may be a secret"


def test_it_is_given_up_after_a_day(make, store, clock, caplog):
    receiver = Receiver(*[500] * 100)
    notifier = make(receiver, DOCUMENT + "  events: [denied]\n")
    denied = store.ask(question(), clock())
    store.decide(denied.id, Decision.DENY, "alice", "", clock())
    for wait in (0, *BACK_OFF, 1e6):
        clock.now += wait
        run(notifier)
    assert len(receiver.got) == len(BACK_OFF) + 1
    assert "given up" in caplog.text


def test_what_was_decided_meanwhile_is_not_asked_any_more(make, store, clock):
    receiver = Receiver(500)
    notifier = make(receiver, DOCUMENT + "  events: [asked]\n")
    asked = store.ask(question(), clock())
    run(notifier)
    store.decide(asked.id, Decision.DENY, "alice", "", clock())
    clock.now += BACK_OFF[0]
    run(notifier)
    assert len(receiver.got) == 1


def test_a_receiver_that_does_not_answer_holds_up_nobody_else(make, store, clock):
    texts = DOCUMENT + "---\n" + DOCUMENT.replace("ops", "second").replace("/x", "/y")
    receiver = Receiver(UnsentError("gone"))
    notifier = make(receiver, texts)
    store.ask(question(), clock())
    run(notifier)
    assert {url for url, _, _ in receiver.got} == {"https://hooks.example/x", "https://hooks.example/y"}


def test_only_what_a_receiver_wants_is_told(make, store, clock):
    receiver = Receiver()
    notifier = make(receiver, DOCUMENT + "  clients: [mcp-*]\n  namespaces: [payments]\n")
    store.ask(question(client="agent"), clock())
    store.ask(question(client="mcp-1"), clock())
    asked = question("elsewhere", client="mcp-1")
    store.ask(replace(asked, target=replace(asked.target, namespace="shop")), clock())
    run(notifier)
    assert [json.loads(body)["approval"]["client"] for _, body, _ in receiver.got] == ["mcp-1"]


def test_what_a_grant_approves_is_nobodys_question(store, clock):
    first = store.ask(question(), clock())
    store.decide(first.id, Decision.APPROVE, "alice", "", clock(), wish=Wish(GrantKind.DURATION, 600))
    store.consume(first.id, first.question.fingerprint, "agent", clock())
    second = store.ask(question(), clock())
    assert events_of(second) == ()
    store.consume(second.id, second.question.fingerprint, "agent", clock())
    assert [event.name for event in events_of(store.get(second.id, clock()))] == ["used"]
    assert [event.name for event in events_of(store.get(first.id, clock()))] == ["asked", "approved", "used"]


def test_slack_gets_plain_text_and_a_button_and_no_markup(store, clock):
    text = DOCUMENT.replace("  secretFile: secret\n", "  format: slack\n")
    (webhook,) = webhooks(text)
    asked = store.ask(question(words="delete <!channel> & *bold*"), clock())
    value = json.loads(body_of(webhook, asked, EventName.ASKED, "https://gateway/link#t"))
    assert value["text"] == "agent needs an approval: delete &lt;!channel&gt; &amp; *bold*"
    texts = [value["blocks"][0]["text"], *value["blocks"][1]["elements"]]
    assert {each["type"] for each in texts} == {"plain_text"}
    assert value["blocks"][2]["elements"][0]["url"] == "https://gateway/link#t"
    denied = store.decide(asked.id, Decision.DENY, "alice", "no", clock())
    told = json.loads(body_of(webhook, denied, EventName.DENIED, ""))
    assert "by alice: no" in told["blocks"][1]["elements"][0]["text"]
    assert len(told["blocks"]) == 2


BAD = {
    "plain http elsewhere": ("https://hooks.example/x", "http://hooks.example/x", "not https", 5),
    "no url at all": ("  url: https://hooks.example/x\n", "", "either `url` or `urlFile`", 4),
    "both": ("  secretFile", "  urlFile: x\n  secretFile", "either `url` or `urlFile`", 4),
    "no secret": ("  secretFile: secret\n", "", "needs `secretFile`", 4),
    "an unknown event": ("  secretFile", "  events: [askd]\n  secretFile", "`askd` is not known", 6),
    "no event": ("  secretFile", "  events: []\n  secretFile", "`events` is empty", 6),
    "an unknown format": ("  secretFile", "  format: teams\n  secretFile", "`teams` is not known", 6),
    "a mistyped field": ("secretFile", "secretfile", "`secretfile` is not known", 6),
}


@pytest.mark.parametrize(("old", "new", "message", "line"), BAD.values(), ids=BAD)
def test_a_bad_document_says_where_and_what(old, new, message, line):
    assert old in DOCUMENT
    with pytest.raises(DocumentErrors, match=message) as raised:
        webhooks(DOCUMENT.replace(old, new))
    assert f"w.yaml:{line}:" in str(raised.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]"])
def test_without_tls_only_on_this_machine(host):
    assert webhooks(DOCUMENT.replace("https://hooks.example", f"http://{host}:1"))


def test_a_file_that_is_missing_or_too_short_is_an_error_at_its_place(tmp_path):
    for content, message in ((None, "cannot be read"), (b"short", "fewer than 16 bytes")):
        if content is not None:
            (tmp_path / "secret").write_bytes(content)
        with pytest.raises(DocumentErrors, match=message) as raised:
            check_files(webhooks(DOCUMENT, tmp_path))
        assert "w.yaml:6:" in str(raised.value)


def test_a_secret_url_comes_from_a_file_each_time(make, store, clock, tmp_path):
    (tmp_path / "url").write_text("https://hooks.example/secret-1\n")
    text = DOCUMENT.replace("url: https://hooks.example/x", "urlFile: url")
    receiver = Receiver()
    notifier = make(receiver, text)
    store.ask(question("a"), clock())
    run(notifier)
    (tmp_path / "url").write_text("https://hooks.example/secret-2\n")
    store.ask(question("b"), clock())
    run(notifier)
    assert [url for url, _, _ in receiver.got] == ["https://hooks.example/secret-1", "https://hooks.example/secret-2"]
    (tmp_path / "url").write_text("http://elsewhere.example/\n")
    store.ask(question("c"), clock())
    run(notifier)
    assert len(receiver.got) == 2


def test_a_store_that_fails_does_not_end_the_notifier(store, tmp_path, clock):
    notifier = Notifier(store, SqliteOutbox(tmp_path / "o"), lambda: webhooks(), lambda _id: "", clock=clock, sleep=clock.sleep)  # fmt: skip  # noqa: PLW0108

    async def run_for_a_while():
        task = asyncio.create_task(notifier.run())
        before = clock.now
        store.close()
        while clock.now < before + 3 * LOOK_SECONDS:
            await asyncio.sleep(0.01)
        assert not task.done()
        task.cancel()

    asyncio.run(run_for_a_while())


# --- over a real connection ---


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.got.append((self.path, body, dict(self.headers)))
        code, headers = self.server.answers.pop(0)
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.got, server.answers = [], []
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_a_message_arrives_as_it_was_signed(server, make, store, clock, tmp_path):
    url = f"http://127.0.0.1:{server.server_port}/hook"
    server.answers = [(503, {"Retry-After": "7"}), (204, {})]
    notifier = make(post_once, DOCUMENT.replace("https://hooks.example/x", url))
    store.ask(question(), clock())
    run(notifier)
    clock.now += 7
    run(notifier)
    assert [path for path, _, _ in server.got] == ["/hook", "/hook"]
    for (_, body, headers), at in zip(server.got, (clock.now - 7, clock.now), strict=True):
        assert verify(SECRET, body, headers["Pratique-Timestamp"], headers["Pratique-Signature"], at)


def test_a_redirect_is_not_followed(server):
    server.answers = [(307, {"Location": "/elsewhere"})]
    code, _ = post_once(f"http://127.0.0.1:{server.server_port}/hook", b"{}", {}, None)
    assert code == 307
    assert len(server.got) == 1


def test_nobody_there_is_unsent_without_the_url(server):
    server.shutdown()
    server.server_close()
    with pytest.raises(UnsentError) as raised:
        post_once(f"http://127.0.0.1:{server.server_port}/secret-path", b"{}", {}, None)
    assert "secret-path" not in str(raised.value)
