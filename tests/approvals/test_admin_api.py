"""The admin listener: only a reviewer decides, once, what they were shown, and no other site's page makes them."""

from __future__ import annotations

import json

import pytest

from pratique.approvals.admin.sessions import ATTEMPT_SECONDS, ATTEMPTS, NONCE_SECONDS, SESSION_SECONDS
from pratique.approvals.deciding import Decision
from pratique.approvals.effects import AffectedObject, Effect
from pratique.approvals.sqlite_store import SqliteStore
from pratique.approvals.transitions import State
from pratique.observing.readiness import Outcome, Readiness
from pratique.verdict import ApprovalTerms
from tests.approvals.admin import KEYS, Admin, reviewers
from tests.approvals.helpers import HOUR, VirtualTime, question


@pytest.fixture
def clock():
    return VirtualTime(1_000_000.0)


@pytest.fixture
def store(tmp_path):
    store = SqliteStore(tmp_path / "s")
    yield store
    store.close()


@pytest.fixture
def admin(store, tmp_path, clock):
    admin = Admin(store, tmp_path, clock)
    yield admin
    admin.close()


@pytest.fixture
def asked(store, clock):
    return store.ask(question(), clock())


def state(store, clock, approval):
    return store.get(approval.id, clock()).state


# --- who ---

PRIVATE = [
    ("GET", "/api/v1/me"),
    ("GET", "/api/v1/approvals"),
    ("GET", "/api/v1/approvals/apr-x"),
    ("POST", "/api/v1/approvals/apr-x/decision"),
    ("POST", "/api/v1/approvals/apr-x/revocation"),
    ("GET", "/api/v1/grants"),
    ("POST", "/api/v1/grants/grt-x/revocation"),
    ("POST", "/api/v1/links"),
]


@pytest.mark.parametrize(("method", "path"), PRIVATE)
def test_without_a_session_or_a_key_nothing_is_shown_or_done(admin, method, path):
    assert admin.call(method, path, {} if method == "POST" else None).code == 401
    assert admin.call(method, path, {} if method == "POST" else None, key="pratique-reviewer_alice_x").code == 401
    assert admin.call(method, path, {} if method == "POST" else None, cookie="__Host-pratique-reviewer=x").code == 401


def test_the_cookie_cannot_be_read_by_scripts_nor_sent_by_other_sites(admin):
    answer = admin.call("POST", "/api/v1/login", {"key": KEYS["alice"].key.reveal()})
    (cookie,) = answer.cookies
    assert cookie.startswith("__Host-")
    assert {"HttpOnly", "Secure", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert "Domain" not in cookie
    assert answer.json["reviewer"] == "alice"
    assert KEYS["alice"].key.reveal() not in answer.body.decode()


def test_a_session_ends_by_logging_out_by_time_and_with_its_reviewer_or_key(admin, clock):
    cookie = admin.login()
    assert admin.call("GET", "/api/v1/me", cookie=cookie).code == 200
    assert admin.call("POST", "/api/v1/logout", {}, cookie=cookie).code == 204
    assert admin.call("GET", "/api/v1/me", cookie=cookie).code == 401
    cookie = admin.login()
    clock.now += SESSION_SECONDS
    assert admin.call("GET", "/api/v1/me", cookie=cookie).code == 401
    cookie = admin.login()
    admin.reviewers = reviewers("bob")
    assert admin.call("GET", "/api/v1/me", cookie=cookie).code == 401


def test_a_key_cannot_be_guessed_for_long(admin, clock):
    wrong = {"key": KEYS["alice"].key.reveal()[:-1] + "x"}
    codes = [admin.call("POST", "/api/v1/login", wrong).code for _ in range(ATTEMPTS)]
    assert set(codes) == {401}
    refused = admin.call("POST", "/api/v1/login", {"key": KEYS["alice"].key.reveal()})
    assert refused.code == 429
    assert 0 < int(refused.headers["retry-after"]) <= ATTEMPT_SECONDS + 1
    assert admin.call("GET", "/api/v1/me", key="alice").code == 429, "a key in a header is an attempt, too"
    clock.now += ATTEMPT_SECONDS
    assert admin.call("GET", "/api/v1/me", key="alice").code == 200


def test_whoever_is_logged_in_stays_so_while_others_guess(admin):
    cookie = admin.login()
    for _ in range(ATTEMPTS + 1):
        admin.call("POST", "/api/v1/login", {"key": "x"})
    assert admin.call("GET", "/api/v1/me", cookie=cookie).code == 200


# --- deciding ---


def test_approve_with_a_reason_and_with_a_grant(admin, store, clock, asked):
    grant = {"kind": "duration", "seconds": 600, "scope": {"name": "*"}}
    answer = admin.decide(asked.id, reason="release", grant=grant, cookie=admin.login())
    assert answer.code == 200, answer.body
    assert answer.json["row"]["state"] == "approved"
    decided = store.get(asked.id, clock())
    assert (decided.reviewer, decided.reason) == ("alice", "release")
    (given,) = store.grants(clock())
    assert given.scope.name == "*"
    assert given.expires_at == clock() + 600


def test_deny_with_a_key_as_the_command_line_does(admin, store, clock, asked):
    assert admin.decide(asked.id, "deny", reason="not today", key="bob").code == 200
    assert state(store, clock, asked) is State.DENIED


def test_bypass_6_11_a_nonce_counts_once(admin, store, clock):
    asked = store.ask(question(terms=ApprovalTerms(quorum=2, expires_after=HOUR)), clock())
    alice = admin.login()
    nonce = admin.nonce(asked.id, cookie=alice)
    assert admin.decide(asked.id, nonce=nonce, cookie=alice).code == 200
    again = admin.decide(asked.id, nonce=nonce, cookie=alice)
    assert again.code == 409
    assert "sent already" in again.message


def test_bypass_6_11_a_nonce_is_no_others_and_not_for_another_approval(admin, store, clock, asked):
    other = store.ask(question("db"), clock())
    alice, bob = admin.login(), admin.login("bob")
    stolen = admin.nonce(asked.id, cookie=alice)
    assert admin.decide(asked.id, nonce=stolen, cookie=bob).code == 409
    assert admin.decide(other.id, nonce=admin.nonce(asked.id, cookie=alice), cookie=alice).code == 409
    assert admin.decide(asked.id, fresh=False, cookie=alice).code == 409
    assert {state(store, clock, each) for each in (asked, other)} == {State.PENDING}


def test_a_decision_about_what_has_changed_since_is_refused(admin, store, clock):
    asked = store.ask(question(terms=ApprovalTerms(quorum=2, expires_after=HOUR)), clock())
    alice = admin.login()
    nonce = admin.nonce(asked.id, cookie=alice)
    store.decide(asked.id, Decision.APPROVE, "bob", "", clock())
    assert admin.decide(asked.id, nonce=nonce, cookie=alice).code == 409
    assert state(store, clock, asked) is State.PENDING
    assert admin.decide(asked.id, cookie=alice).json["row"]["state"] == "approved"


def test_an_old_nonce_is_refused(admin, store, clock, asked):
    alice = admin.login()
    nonce = admin.nonce(asked.id, cookie=alice)
    clock.now += NONCE_SECONDS
    assert admin.decide(asked.id, nonce=nonce, cookie=alice).code == 409
    assert state(store, clock, asked) is State.PENDING


CROSS_SITE = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": None},
    {"Origin": "http://127.0.0.1:1"},
    {"Sec_Fetch_Site": "cross-site"},
    {"Sec_Fetch_Site": "same-site"},
]


@pytest.mark.parametrize("headers", CROSS_SITE, ids=str)
def test_bypass_6_11_a_page_of_another_site_decides_nothing(admin, store, clock, asked, headers):
    alice = admin.login()
    nonce = admin.nonce(asked.id, cookie=alice)
    answer = admin.decide(asked.id, nonce=nonce, cookie=alice, headers=headers)
    assert answer.code == 403
    assert state(store, clock, asked) is State.PENDING
    login = admin.call("POST", "/api/v1/login", {"key": KEYS["alice"].key.reveal()}, **headers)
    assert (login.code, login.cookies) == (403, [])


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", None])
def test_a_form_of_another_site_cannot_send_a_decision(admin, store, clock, asked, kind):
    alice = admin.login()
    nonce = admin.nonce(asked.id, cookie=alice)
    assert admin.decide(asked.id, nonce=nonce, cookie=alice, headers={"Content_Type": kind}).code == 415
    assert state(store, clock, asked) is State.PENDING


@pytest.mark.parametrize("host", ["evil.example", "gateway.example.evil", "127.0.0.1.evil.example", ""])
def test_another_sites_name_that_points_at_us_is_refused(admin, host):
    assert admin.call("GET", "/", Host=host).code in {400, 421}
    assert admin.call("GET", "/api/v1/openapi.json", Host=host).code in {400, 421}


@pytest.mark.parametrize("host", ["127.0.0.1:1", "localhost", "[::1]:8443", "gateway.example"])
def test_its_own_names_are_served(admin, host):
    assert admin.call("GET", "/", Host=host).code == 200


def test_nobody_sees_or_decides_outside_their_field(admin, store, clock, asked):
    for path in (f"/api/v1/approvals/{asked.id}", "/api/v1/approvals/apr-none"):
        assert admin.call("GET", path, key="shop-only").code == 404
    assert admin.call("GET", "/api/v1/approvals?show=all", key="shop-only").json == {"approvals": []}
    assert admin.decide(asked.id, fresh=False, key="shop-only").code == 404
    assert state(store, clock, asked) is State.PENDING


def test_the_rules_reviewers_and_the_second_voice_hold_here_too(admin, store, clock):
    asked = store.ask(question(terms=ApprovalTerms(("bob",), 1, HOUR)), clock())
    shown = admin.call("GET", f"/api/v1/approvals/{asked.id}", key="alice").json
    assert "not among the rule's reviewers" in shown["whyNot"]
    assert admin.decide(asked.id, key="alice").code == 403
    assert admin.decide(asked.id, key="bob").code == 200
    assert admin.decide(asked.id, key="bob").code == 409


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        {"decision": "maybe", "nonce": "x"},
        {"decision": "approve"},
        {"decision": "approve", "nonce": "x", "as": "bob"},
        {"decision": "approve", "nonce": "x", "grant": {"kind": "duration", "seconds": 1e9}},
        {"decision": "approve", "nonce": "x", "reason": "x" * 2001},
    ],
    ids=str,
)
def test_a_malformed_decision_is_refused(admin, store, clock, asked, body):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = admin.call("POST", f"/api/v1/approvals/{asked.id}/decision", data, key="alice")
    assert answer.code == 400
    assert answer.json["error"]["reason"] == "BadRequest"
    assert state(store, clock, asked) is State.PENDING


def test_a_body_that_is_too_large_is_not_read(admin, store, clock, asked):
    path = f"/api/v1/approvals/{asked.id}/decision"
    body = json.dumps({"decision": "approve", "nonce": admin.nonce(asked.id, key="alice")}).encode()
    try:
        assert admin.call("POST", path, body + b" " * 100_000, key="alice").code in {400, 413}
    except OSError:
        pass  # it hung up before everything was sent
    assert state(store, clock, asked) is State.PENDING
    assert admin.call("POST", path, body, key="alice").code == 200


# --- taking back ---


def test_revoking_a_grant_withdraws_what_was_used_under_it(admin, store, clock, asked):
    grant = {"kind": "duration", "seconds": 600}
    alice = admin.login()
    admin.decide(asked.id, grant=grant, cookie=alice)
    store.consume(asked.id, asked.question.fingerprint, "agent", clock())
    used = store.ask(question(), clock())
    store.consume(used.id, used.question.fingerprint, "agent", clock())
    (shown,) = admin.call("GET", "/api/v1/grants", cookie=alice).json["grants"]
    assert (shown["uses"], shown["live"], shown["words"]) == (1, True, "exactly this request")
    path = f"/api/v1/grants/{shown['id']}/revocation"
    assert admin.call("POST", path, {"nonce": "x"}, cookie=alice).code == 409
    assert admin.call("POST", path, {"nonce": shown["nonce"]}, cookie=alice).code == 204
    assert store.withdrawn([asked.id, used.id]) == {asked.id, used.id}


def test_a_grant_is_revoked_once_with_its_nonce(admin, store, clock, asked):
    alice = admin.login()
    admin.decide(asked.id, grant={"kind": "duration", "seconds": 600}, cookie=alice)
    (shown,) = admin.call("GET", "/api/v1/grants", cookie=alice).json["grants"]
    path = f"/api/v1/grants/{shown['id']}/revocation"
    assert admin.call("POST", path, {"nonce": "x"}, cookie=alice).code == 409
    assert admin.call("POST", path, {"nonce": shown["nonce"]}, cookie=alice, Origin="https://evil.example").code == 403
    assert admin.call("POST", path, {"nonce": shown["nonce"]}, cookie=alice).code == 204
    assert admin.call("POST", path, {"nonce": shown["nonce"]}, cookie=alice).code == 409
    assert admin.call("GET", "/api/v1/grants", cookie=alice).json == {"grants": []}
    (ended,) = admin.call("GET", "/api/v1/grants?show=all", cookie=alice).json["grants"]
    assert ended["revokedBy"] == "alice"


def test_a_used_approval_is_taken_back_with_what_it_opened(admin, store, clock, asked):
    alice = admin.login()
    admin.decide(asked.id, cookie=alice)
    store.consume(asked.id, asked.question.fingerprint, "agent", clock())
    path = f"/api/v1/approvals/{asked.id}/revocation"
    answer = admin.call("POST", path, {"nonce": admin.nonce(asked.id, cookie=alice)}, cookie=alice)
    assert answer.json["row"]["withdrawn"] is True
    assert store.withdrawn([asked.id]) == {asked.id}
    again = admin.call("POST", path, {"nonce": admin.nonce(asked.id, cookie=alice)}, cookie=alice)
    assert again.code == 409


# --- what is shown ---


def test_a_name_that_is_markup_stays_text(admin, store, clock):
    evil = "<img src=x onerror=alert(1)>\"'&"
    effect = Effect(objects=(AffectedObject("Pod", "a", evil, "u"),), total=1, difference=(f"+{evil}",), digest="d")
    asked = store.ask(question(evil, words=evil, effect=effect), clock())
    answer = admin.call("GET", f"/api/v1/approvals/{asked.id}", key="alice")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["effect"]["objects"][0]["name"] == evil
    page = admin.call("GET", f"/a/{asked.id}")
    assert evil not in page.body.decode()
    assert page.body == admin.call("GET", "/").body, "the page is the same file whatever is asked for"


FILES = ["/", "/a/apr-x", "/history", "/grants", "/link", "/app.js", "/parts.js", "/style.css", "/icon.svg"]


@pytest.mark.parametrize("path", FILES)
def test_every_answer_forbids_scripts_of_others_and_frames(admin, path):
    answer = admin.call("GET", path)
    assert answer.code == 200
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert "require-trusted-types-for 'script'" in policy
    assert answer.headers["referrer-policy"] == "no-referrer"


def test_the_page_has_no_inline_script_or_style_and_its_script_makes_no_markup(admin):
    page = admin.call("GET", "/").body.decode()
    assert page.count("<script") == page.count('<script type="module" src="/app.js"></script>') == 1
    assert "style=" not in page
    assert "<style" not in page
    for name in ("/app.js", "/parts.js"):
        script = admin.call("GET", name).body.decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
            assert word not in script


@pytest.mark.parametrize(
    "path", ["/nothing", "/static/app.js", "/..%2fapi.py", "/a%20b", "/api/v1/nothing", "/admin.pem"]
)
def test_nothing_else_is_served(admin, path):
    answer = admin.call("GET", path)
    assert answer.code == 404
    assert answer.json["error"]["code"] == 404
    assert "content-security-policy" in answer.headers


@pytest.mark.parametrize(
    ("method", "path"), [("PUT", "/api/v1/me"), ("DELETE", "/"), ("POST", "/healthz"), ("GET", "/api/v1/login")]
)
def test_other_methods_are_refused(admin, method, path):
    assert admin.call(method, path, {} if method != "GET" else None).code == 405


def test_the_list_says_what_a_reviewer_must_know_first(admin, store, clock):
    effect = Effect(total=3, cascade=(("Pod", 2),), risks=(("privileged", "c: true"), ("image", "x")), digest="d")
    asked = store.ask(question(effect=effect), clock())
    admin.held.add(asked.id)
    (row,) = admin.call("GET", "/api/v1/approvals", key="alice").json["approvals"]
    assert row["hints"] == ["3 objects", "2 more go with it", "privileged"]
    assert row["held"] is True
    assert (row["verb"], row["namespace"]) == ("delete", "payments")
    store.decide(asked.id, Decision.DENY, "bob", "", clock())
    assert admin.call("GET", "/api/v1/approvals", key="alice").json["approvals"] == []
    (closed,) = admin.call("GET", "/api/v1/approvals?show=closed", key="alice").json["approvals"]
    assert (closed["state"], closed["decidedBy"]) == ("denied", ["bob"])


def test_an_unchanged_list_is_not_sent_again(admin, asked):
    first = admin.call("GET", "/api/v1/approvals", key="alice")
    again = admin.call("GET", "/api/v1/approvals", key="alice", If_None_Match=first.headers["etag"])
    assert (again.code, again.body) == (304, b"")


def test_who_asks_is_shown_with_how_far_it_can_be_trusted(admin, store, clock):
    from dataclasses import replace

    asked = question()
    summary = replace(asked.summary, source="192.0.2.1", claims={"User-Agent": "kubectl"})
    found = store.ask(replace(asked, summary=summary), clock())
    who = admin.call("GET", f"/api/v1/approvals/{found.id}", key="alice").json["who"]
    assert [(each["what"], each["proved"]) for each in who] == [
        ("client", True),
        ("address", True),
        ("User-Agent", False),
    ]
    assert "anybody can send it" in who[2]["trust"]


# --- links, health ---


def test_a_link_leads_to_its_approval_once_and_only_whoever_is_logged_in(admin, clock, asked):
    token = admin.links.token(asked.id, clock())
    assert admin.call("POST", "/api/v1/links", {"token": token}).code == 401
    alice = admin.login()
    assert admin.call("POST", "/api/v1/links", {"token": token}, cookie=alice).json == {"approval": asked.id}
    assert admin.call("POST", "/api/v1/links", {"token": token}, cookie=alice).code == 410
    forged = token.replace(asked.id, "apr-other")
    assert admin.call("POST", "/api/v1/links", {"token": forged}, cookie=alice).code == 403


def test_alive_is_not_ready(admin, store):
    """A restart mends no store: only /readyz says that it cannot be read."""
    store.close()
    assert admin.call("GET", "/healthz").json == {"status": "ok"}
    assert admin.call("GET", "/readyz").json == {
        "ready": True,
        "checks": [{"name": "serving", "ok": True, "required": True, "problem": ""}],
    }
    admin.readiness = Readiness((Outcome("serving"), Outcome("approvals", "cannot be read")))
    answer = admin.call("GET", "/readyz")
    assert (answer.code, answer.json["ready"]) == (503, False)
    assert answer.json["checks"][1] == {"name": "approvals", "ok": False, "required": True, "problem": "cannot be read"}


def test_probes_and_metrics_need_no_key_and_a_name_that_is_ours(admin):
    answer = admin.call("GET", "/metrics")
    assert (answer.code, answer.body) == (200, b"pratique_ready 1\n")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    for path in ("/healthz", "/readyz", "/metrics"):
        assert admin.call("GET", path, Host="evil.example").code == 421


def test_a_store_that_fails_decides_nothing(admin, store, asked):
    alice = admin.login()
    nonce = admin.nonce(asked.id, cookie=alice)
    store.close()
    assert admin.decide(asked.id, nonce=nonce, cookie=alice).code == 503


def test_a_failure_inside_is_told_without_its_text(admin, monkeypatch):
    def fail(*_arguments, **_named):
        raise RuntimeError("pratique-reviewer_alice_SECRET")

    monkeypatch.setattr(admin.context.desk, "find", fail)
    answer = admin.call("GET", "/api/v1/approvals", key="alice")
    assert answer.code == 500
    assert "SECRET" not in answer.body.decode()
