"""The reviewers' page in a real browser: a person sees what is asked, decides once, and it happens once."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pratique.approvals.admin.links import Links
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.browser import Browser, find
from tests.process.gateway import Gateway
from tests.process.reviewing import MAPS, POLICY, Held, Reviewer, changed, configmap, make, wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(find() is None, reason="no Chromium on this machine: apt-get install chromium"),
]
CLIENTS = ("agent", "patient")
EVIL = "<img src=x onerror=\"document.title='pwned'\"><script>document.title='pwned'</script>"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder: Path = tmp_path_factory.mktemp("page")
    with Sandbox(folder / "sandbox", SandboxOptions(static_token="static")) as sandbox:
        running = Gateway(folder / "gateway", sandbox, policy=POLICY, hold=45, clients=CLIENTS, holds={"agent": 0})
        yield running.start()
        running.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    running = Browser(1200, 844)
    yield running
    running.close()


@pytest.fixture
def page(browser: Browser, gateway: Gateway) -> Iterator[Browser]:
    """Logged in as alice, with nothing waiting."""
    browser.console.clear()
    browser.open(gateway.admin + "/")
    browser.until("document.querySelector('#key') || document.querySelector('h1')")
    if browser.run("!!document.querySelector('#key')"):
        log_in(browser, gateway.keys["alice"])
    browser.until("document.querySelector('h1')?.textContent === 'Waiting for a decision'")
    yield browser
    assert not [line for line in browser.console if "Content Security Policy" in line or "TrustedHTML" in line]
    Reviewer(gateway, "alice").clear()


def log_in(browser: Browser, key: str) -> None:
    browser.type("#key", key)
    browser.click("button[type=submit]")


def open_item(page: Browser, words: str) -> None:
    wanted = json.dumps(words)
    page.until(f"[...document.querySelectorAll('a.item')].some(a => a.textContent.includes({wanted}))")
    page.run(f"[...document.querySelectorAll('a.item')].find(a => a.textContent.includes({wanted})).click()")
    page.until("!!document.querySelector('article')")


def test_a_held_request_appears_by_itself_is_approved_and_happens_once(page: Browser, gateway: Gateway) -> None:
    name = f"approved-{time.monotonic_ns()}"
    target = make(gateway, name)
    held = Held(gateway, "DELETE", target, client="patient")
    open_item(page, name)
    text = page.text()
    for shown in ("the client waits on the line", f"payments/{name}", "proved by its credential", "a person decides"):
        assert shown in text
    page.type("#reason", "no longer needed")
    page.click("#approve")
    assert held.answer().code == 200
    page.until("document.body.innerText.includes('no longer needed')")
    assert len(changed(gateway, name)) == 1


def test_a_list_holds_nothing_but_what_waits(page: Browser, gateway: Gateway) -> None:
    name = f"alone-{time.monotonic_ns()}"
    gateway.call("DELETE", make(gateway, name))
    page.until(f"document.querySelector('main').innerText.includes('{name}')")
    assert page.run("[...document.querySelector('main').childNodes].map(node => node.nodeName)") == ["H1", "DIV"]
    assert page.run("getComputedStyle(document.querySelector('main')).outlineStyle") == "none"


def test_denied_on_the_page_the_client_is_told_why(page: Browser, gateway: Gateway) -> None:
    name = f"denied-{time.monotonic_ns()}"
    target = make(gateway, name)
    held = Held(gateway, "DELETE", target, client="patient")
    open_item(page, name)
    page.type("#reason", "still in use")
    page.click("#deny")
    answer = held.answer()
    assert (answer.code, answer.reason) == (403, "ApprovalDenied")
    assert "still in use" in answer.json["message"]
    assert changed(gateway, name) == []


def test_approved_after_the_client_had_left_the_repeat_succeeds(page: Browser, gateway: Gateway) -> None:
    name = f"later-{time.monotonic_ns()}"
    target = make(gateway, name)
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    open_item(page, name)
    page.click("#approve")
    page.until("document.querySelector('.title .badge').textContent === 'approved'")
    assert gateway.call("DELETE", target).code == 200
    assert len(changed(gateway, name)) == 1
    page.until("document.querySelector('.title .badge').textContent === 'done'")


def test_a_change_is_shown_line_by_line_and_markup_in_it_stays_text(page: Browser, gateway: Gateway) -> None:
    name = f"changed-{time.monotonic_ns()}"
    target = make(gateway, name, color="blue")
    gateway.call("PUT", target, configmap(name, color="green", evil=EVIL, hidden="a\u202eb"))
    open_item(page, name)
    assert page.run("[...document.querySelectorAll('.diff .cut')].map(e => e.textContent.trim())") == ["-  color: blue"]
    added = page.run("[...document.querySelectorAll('.diff .add')].map(e => e.textContent.trim())")
    assert "+  color: green" in added
    assert '+  hidden: "a\\u{202e}b"' in added
    assert any("<img src=x" in line for line in added)
    assert page.run("document.querySelectorAll('article img, article script').length") == 0
    assert "pwned" not in page.run("document.title")


def test_no_string_becomes_markup_even_if_a_script_wanted_it(page: Browser) -> None:
    script = "(() => { try { document.body.innerHTML = '<b>x</b>'; return 'markup'; } catch { return 'refused'; } })()"
    assert page.run(script) == "refused"
    page.console.clear()  # the attempt above


def test_a_grant_is_given_seen_and_revoked(page: Browser, gateway: Gateway) -> None:
    name = f"granted-{time.monotonic_ns()}"
    target = make(gateway, name)
    merge = {"Content-Type": "application/merge-patch+json"}
    gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge)
    open_item(page, name)
    choice = "[...document.querySelector('#grant').options].findIndex(o => o.textContent === 'Approve this request for 10 minutes')"
    page.run(f"document.querySelector('#grant').selectedIndex = {choice}")
    page.click("#approve")
    page.until("document.querySelector('.title .badge').textContent === 'approved'")
    assert [gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge).code for _ in range(2)] == [200, 200]
    page.run("document.querySelector('a[href=\"/grants\"]').click()")
    page.until("document.body.innerText.includes('used 1 time')")
    page.click("button.deny")
    page.until("document.body.innerText.includes('revoked by alice')")
    assert gateway.call("PATCH", target, b'{"data":{"a":"1"}}', merge).reason == "ApprovalPending"


def test_a_link_from_a_message_leads_to_its_approval_once(page: Browser, gateway: Gateway) -> None:
    name = f"linked-{time.monotonic_ns()}"
    gateway.call("DELETE", make(gateway, name))
    approval_id = Reviewer(gateway, "alice").find(name)
    token = Links((gateway.state / "links.key").read_bytes()).token(approval_id, time.time())
    for expected in (name, "has been used"):
        page.open("about:blank")
        page.open(f"{gateway.admin}/link#{token}")
        page.until(f"document.body.innerText.includes({json.dumps(expected)})")
    assert token not in gateway.output


def test_two_reviewers_at_once_the_second_is_told(page: Browser, gateway: Gateway) -> None:
    name = f"raced-{time.monotonic_ns()}"
    gateway.call("DELETE", make(gateway, name))
    open_item(page, name)
    page.type("#reason", "mine")  # what is being written is not taken away by a refresh
    Reviewer(gateway, "bob").decide(name, "deny")
    page.click("#approve")
    page.until("document.querySelector('.title .badge').textContent === 'denied'")
    assert gateway.call("DELETE", f"{MAPS}/{name}").reason == "ApprovalDenied"


def test_logging_out_ends_it_and_a_wrong_key_shows_nothing(page: Browser, gateway: Gateway) -> None:
    page.click("#me")
    page.until("!!document.querySelector('#key')")
    page.open(gateway.admin + "/history")
    page.until("!!document.querySelector('#key')")
    log_in(page, "pratique-reviewer_alice_wrong")
    page.until("document.querySelector('.error').textContent.includes('no valid reviewer')")
    assert "History" not in page.text()


def test_on_a_phone_everything_fits_and_the_buttons_are_at_hand(page: Browser, gateway: Gateway) -> None:
    name = f"a-rather-long-name-for-a-config-map-{time.monotonic_ns()}"
    gateway.call("PUT", make(gateway, name), configmap(name, color="green", long="x" * 500))
    page.size(390, 844)
    try:
        for path in ("/", "/grants", "/revocations", "/history"):
            page.open(gateway.admin + path)
            page.until("document.querySelector('h1')")
            assert _fits(page), path
        page.open(gateway.admin + "/")
        open_item(page, name)
        assert _fits(page)
        box = page.run(
            "(() => { const r = document.querySelector('#approve').getBoundingClientRect(); return [r.bottom, r.height]; })()"
        )
        assert box[0] <= 844, "without scrolling"
        assert box[1] >= 44, "large enough for a thumb"
    finally:
        page.size(1200, 844)


def _fits(page: Browser) -> bool:
    return bool(page.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth"))


def test_a_client_is_cut_off_and_let_in_again(page: Browser, gateway: Gateway) -> None:
    page.click("nav a[data-page=revocations]")
    page.until("!!document.querySelector('#revoke')")
    page.type("#target", "patient")
    page.type("#reason", EVIL)
    page.click("#revoke")
    page.until("document.body.innerText.includes('client patient')")
    assert "onerror" in page.text() and page.run("document.title") != "pwned"
    wait_for(lambda: gateway.call("GET", MAPS, client="patient").reason == "Revoked")
    assert gateway.call("GET", MAPS).code == 200
    page.click("button.approve.small")
    page.until("document.body.innerText.includes('lifted by alice')")
    wait_for(lambda: gateway.call("GET", MAPS, client="patient").code == 200)
