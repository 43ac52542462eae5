"""What real kubectl did in front of a real cluster is played, exported, verified, and seen in mitmweb by a browser."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.browser import Browser, find
from tests.e2e.real import Kubectl, eventually
from tests.process.gateway import ROOT, Gateway, free_port

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]
EVENTS = 1000
needs_browser = pytest.mark.skipif(find() is None, reason="no Chromium on this machine: apt-get install chromium")


def pratique(gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pratique.cli", *arguments, "--state", str(gateway.state)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "addons")}
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)


def session_of(gateway: Gateway, text: str) -> str:
    """The newest session with a request that mentions it."""

    def found() -> Any:
        done = pratique(gateway, "sessions", "list", "--grep", text, "--output", "json")
        rows = json.loads(done.stdout)
        return rows[0] if rows else None

    return str(eventually(found)["session"])


def exported(gateway: Gateway, session: str, form: str) -> str:
    done = pratique(gateway, "sessions", "export", session, "--format", form)
    assert done.returncode == 0, done.stderr
    return done.stdout


def at_a_terminal(kubectl: Kubectl, marker: str) -> bytes:
    """`exec -it` as somebody types it."""
    command = kubectl.command("exec", "-it", "box", "--", "sh", "-c", "read x; echo got $x; exit 4", marker)
    quoted = " ".join(f"'{part}'" for part in command)
    done = subprocess.run(
        ["script", "-qec", quoted, "/dev/null"], input=b"word\n", capture_output=True, timeout=120,
        env={**os.environ, **kubectl.environment},
    )  # fmt: skip
    return done.stdout


def test_an_interactive_exec_is_played_and_exported(
    real_gateway: Gateway, kubectl: Kubectl, request: pytest.FixtureRequest
) -> None:
    marker = f"played-{kubectl.namespace}-{request.node.callspec.id}"
    assert b"got word" in at_a_terminal(kubectl, marker)
    session = session_of(real_gateway, marker)
    played = eventually(lambda: pratique(real_gateway, "sessions", "play", session).stdout)
    assert "got word" in played
    assert "exit 4" in played
    (event,) = [
        each
        for each in map(json.loads, exported(real_gateway, session, "audit").splitlines())
        if each["objectRef"].get("subresource") == "exec"
    ]
    websocket = "websocket" in request.node.callspec.id and "1.20" not in kubectl.program  # it knows SPDY only
    verb = "get" if websocket else "create"  # as the API server's own log has it
    assert (event["verb"], event["objectRef"]["name"], event["responseStatus"]["code"]) == (verb, "box", 101)
    assert "got word" in exported(real_gateway, session, "html")


def test_a_copy_and_a_port_forward_are_sizes_and_hashes(
    real_gateway: Gateway, kubectl: Kubectl, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    name = f"copied-{request.node.callspec.id.replace('/', '-')[-20:]}"
    source = tmp_path / name
    source.write_bytes(os.urandom(100_000))
    kubectl.ok("cp", str(source), f"box:/tmp/{name}")
    kubectl.ok("cp", f"box:/tmp/{name}", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == source.read_bytes()
    session = session_of(real_gateway, name)
    shown = pratique(real_gateway, "sessions", "play", session).stdout
    assert re.search(r"tar|binary", shown), shown
    forward = kubectl.start("port-forward", "--address", "127.0.0.1", "pod/box", ":1")
    assert forward.stdout is not None
    try:
        port = int(re.search(rb"127\.0\.0\.1:(\d+)", forward.stdout.readline()).group(1))  # type: ignore[union-attr]
        with pytest.raises(OSError):  # nothing listens there; the attempt is recorded
            urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=30)
    finally:
        forward.terminate()
        forward.wait(20)
    session = session_of(real_gateway, "portforward")
    logs = [path.read_text() for path in real_gateway.state.rglob("*.events") if session in str(path)]
    assert any('"port":1' in text.replace(" ", "") for text in logs), logs


def test_a_thousand_events_of_a_watch_are_all_there(real_gateway: Gateway, box: Kubectl) -> None:
    name = f"ticks-{box.namespace[-14:]}"
    box.ok("create", "configmap", name)
    watch = box.start("get", "configmap", name, "-w", "-o", 'jsonpath={.data.tick}{"\\n"}')
    target = f"/api/v1/namespaces/{box.namespace}/configmaps/{name}"
    try:
        assert watch.stdout is not None
        watch.stdout.readline()
        for tick in range(EVENTS):
            document = {"metadata": {"name": name}, "data": {"tick": f"tick-{tick:04}"}}
            assert real_gateway.behind("PUT", target, document).code == 200
        seen = b""
        while f"tick-{EVENTS - 1:04}".encode() not in seen:
            seen = watch.stdout.readline()
    finally:
        watch.terminate()
        watch.wait(20)
    session = session_of(real_gateway, name)
    text = eventually(lambda: _ticks(exported(real_gateway, session, "har")))
    assert text == EVENTS
    done = pratique(real_gateway, "sessions", "verify")
    assert done.returncode == 0, done.stdout + done.stderr


def _ticks(text: str) -> int:
    found = set(re.findall(r"tick-\d{4}", text))
    return len(found) if len(found) == EVENTS else 0


@contextmanager
def mitmweb(gateway: Gateway, session: str) -> Iterator[str]:
    """`pratique replay`; the page's URL."""
    port = free_port()
    command = [sys.executable, "-m", "pratique.cli", "replay", session, "--state", str(gateway.state)]
    options = ["--no-web-open-browser", "--web-port", str(port), "--set", "web_password=only-for-this-test"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "addons")}
    with subprocess.Popen([*command, *options], env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            yield f"http://127.0.0.1:{port}/?token=only-for-this-test"
        finally:
            process.terminate()


@needs_browser
def test_mitmweb_and_the_page_show_the_session(
    real_gateway: Gateway, kubectl: Kubectl, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    marker = f"browsed-{kubectl.namespace}-{request.node.callspec.id}"
    at_a_terminal(kubectl, marker)
    session = session_of(real_gateway, marker)
    eventually(lambda: "exit 4" in pratique(real_gateway, "sessions", "play", session).stdout)
    page = tmp_path / "session.html"
    page.write_text(exported(real_gateway, session, "html"))
    browser = Browser()
    try:
        browser.open(page.as_uri())
        browser.until("document.body.innerText.includes('pods/exec')")
        browser.screenshot(tmp_path / "session.png")
        with mitmweb(real_gateway, session) as url:
            _answers(url)
            browser.open(url)
            browser.until("[...document.querySelectorAll('td.col-path')].some(e => e.textContent.includes('/exec'))")
            browser.run(
                "[...document.querySelectorAll('td.col-path')].find(e => e.textContent.includes('/exec')).click()"
            )
            browser.until("[...document.querySelectorAll('nav a')].some(e => /WebSocket/.test(e.textContent))")
            browser.run("[...document.querySelectorAll('nav a')].find(e => /WebSocket/.test(e.textContent)).click()")
            browser.until("document.body.innerText.includes('got word')")
            browser.screenshot(tmp_path / "mitmweb.png")
    finally:
        browser.close()
    if folder := os.environ.get("PRATIQUE_SCREENSHOTS"):
        for file in tmp_path.glob("*.png"):
            (Path(folder) / file.name).write_bytes(file.read_bytes())


def _answers(url: str) -> None:
    def ready() -> bool:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return True
        except OSError:
            return False

    eventually(ready)
