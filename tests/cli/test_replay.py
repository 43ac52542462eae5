"""`pratique replay`: mitmweb lists the session and renders it; the reads of a session are compared on another cluster."""

from __future__ import annotations

import http.server
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import contentviews
from mitmproxy.connection import Server
from mitmproxy.proxy.server_hooks import ServerConnectionHookData
from mitmproxy.test import taddons

from pratique.cli import web
from pratique.recorder.sessions import Recordings
from tests.cli.conftest import ROOT
from tests.cli.support import ATTACK, OTHER, SESSION, flow_id, watch_events


def shown(recorded: Path) -> list[Any]:
    found = Recordings(recorded)
    return [
        web.shown_flow(found, SESSION, entry, entry.record, found.cast(SESSION, entry.record.flow))
        for entry in found.timeline(SESSION)
        if entry.record
    ]


@pytest.fixture
def views() -> Iterator[None]:
    with taddons.context():
        for view in web.VIEWS:
            contentviews.add(view)
        yield


def test_each_request_is_one_flow_with_verdict_rules_and_masks_as_comment(recorded: Path) -> None:
    flows = shown(recorded)
    assert [flow.id for flow in flows] == [flow_id(n) for n in range(1, 7)]
    assert flows[1].comment == "Allow mcp/read · masked by default/secret-data"
    assert flows[2].comment == "Deny mcp/no-namespaces · namespaces stay"
    assert flows[5].comment == "RequireApproval mcp/exec · approval apr-1"
    assert [flow.marked for flow in flows] == ["", "", ":no_entry_sign:", ":no_entry_sign:", "", ":raised_hand:"]


def test_a_stream_is_the_body_and_a_terminal_the_messages_of_its_flow(recorded: Path) -> None:
    flows = shown(recorded)
    assert flows[4].response.raw_content == b"".join(watch_events())
    messages = flows[5].websocket.messages
    assert messages[0].content.startswith(b"\x01\x1b[1;32mroot@web")
    assert [message.from_client for message in messages] == [False] * 4
    assert messages[-1].text == "exit 0"


@pytest.mark.usefixtures("views")
def test_the_content_views_are_chosen_and_render(recorded: Path) -> None:
    flows = shown(recorded)
    secret = contentviews.prettify_message(flows[1].response, flows[1])
    assert (secret.view_name, secret.syntax_highlight) == ("Kubernetes object", "yaml")
    assert "# ◀ masked" in secret.text
    refusal = contentviews.prettify_message(flows[2].response, flows[2])
    assert refusal.text.startswith("# ✖ Failure 403 Forbidden\n# namespaces stay\n")
    watch = contentviews.prettify_message(flows[4].response, flows[4])
    assert watch.view_name == "Kubernetes watch"
    assert "2  ADDED     Secret  shop/s1  rv=1  # ◀ masked: data.p" in watch.text
    frame = contentviews.prettify_message(flows[5].websocket.messages[0], flows[5])
    assert (frame.view_name, frame.text) == ("Kubernetes exec", "stdout │ root@web:/app# ls")
    other = contentviews.prettify_message(flows[3].request, flows[3])
    assert other.view_name not in {"Kubernetes object", "Kubernetes watch", "Kubernetes exec"}


def test_nothing_can_be_sent_from_the_page() -> None:
    data = ServerConnectionHookData(server=Server(address=("api", 6443)), client=None)  # type: ignore[arg-type]
    web.Replayed([]).server_connect(data)
    assert data.server.error == "a recording is only looked at"


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_mitmweb_serves_the_flows_to_whoever_has_the_token(recorded: Path) -> None:
    port, password = free_port(), "for-this-test"
    command = [sys.executable, "-m", "pratique.cli", "replay", SESSION, "--state", str(recorded), "--web-port", str(port),
               "--no-web-open-browser", "--set", f"web_password={password}"]  # fmt: skip
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "addons")}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        assert any("Web server listening" in line for line in lines), "mitmweb did not start"

        def get(path: str) -> Any:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}?token={password}", timeout=30) as answer:
                return json.load(answer)

        flows = get("/flows")
        assert [flow["id"] for flow in flows] == [flow_id(n) for n in range(1, 7)]
        assert flows[2]["comment"] == "Deny mcp/no-namespaces · namespaces stay"
        assert get(f"/flows/{flow_id(5)}/response/content/auto.json")["view_name"] == "Kubernetes watch"
        messages = get(f"/flows/{flow_id(6)}/messages/content/Kubernetes%20exec.json")
        assert messages[2]["text"] == f"stdout │ {ATTACK}"
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/flows", timeout=30)
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    assert process.returncode == 0


class TestCluster:
    """Answers as told and remembers what it was asked."""

    __test__ = False

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.statuses: dict[str, int] = {}
        cluster = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self) -> None:
                cluster.asked.append(f"{self.command} {self.path} {self.headers['authorization']}")
                self.send_response(cluster.statuses.get(self.path.partition("?")[0], 200))
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        for verb in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            setattr(Handler, f"do_{verb}", Handler.answer)
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        self.kubeconfig = folder / "kubeconfig"
        self.kubeconfig.write_text(json.dumps({
            "apiVersion": "v1", "kind": "Config", "current-context": "c",
            "clusters": [{"name": "k", "cluster": {"server": f"http://127.0.0.1:{self.server.server_port}"}}],
            "users": [{"name": "u", "user": {"token": "test-token"}}],
            "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        }))  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[TestCluster]:
    made = TestCluster(tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_only_the_reads_are_sent_again_and_their_statuses_compared(
    run_json, recorded: Path, cluster: TestCluster
) -> None:
    rows = run_json("replay", SESSION, "--against", cluster.kubeconfig, "--state", recorded)
    assert [row["result"] for row in rows] == ["same", "same", "skipped", "skipped", "same", "skipped"]
    assert [row["reason"] for row in rows if row["reason"]] == ["not a read", "not a read", "not a read"]
    assert cluster.asked == [
        "GET /api/v1/namespaces/default/pods?limit=5 Bearer test-token",
        "GET /api/v1/namespaces/default/pods?limit=5 Bearer test-token",
        "GET /api/v1/namespaces/shop/secrets?watch=true&timeoutSeconds=1 Bearer test-token",
    ]
    assert set(rows[0]) == {"result", "recorded", "now", "request", "path", "reason", "auditID"}


def test_a_different_status_ends_with_1(run, recorded: Path, cluster: TestCluster) -> None:
    cluster.statuses = {"/api/v1/namespaces/shop/secrets": 403}
    result = run("replay", SESSION, "--against", cluster.kubeconfig, "--state", recorded)
    assert result.exit_code == 1
    assert "different\t200\t403\twatch secrets -n shop\t" in result.stdout
    assert run("replay", OTHER, "--against", cluster.kubeconfig, "--state", recorded).exit_code == 0


def test_a_cluster_that_does_not_answer_is_one_line(run, recorded: Path, cluster: TestCluster) -> None:
    cluster.server.shutdown()
    cluster.server.server_close()
    result = run("replay", OTHER, "--against", cluster.kubeconfig, "--state", recorded)
    assert result.exit_code == 1
    assert result.stderr.startswith("pratique: the cluster did not answer: ")
    assert result.stderr.count("\n") == 1


BAD = [
    (["replay"], 2, "Missing argument"),
    (["replay", "1999"], 1, "names no session"),
    (["replay", SESSION, "--against", "missing"], 2, "missing"),
    (["replay", SESSION, "--against", __file__], 1, "cannot be used"),
    (["replay", SESSION, "--against", __file__, "--web-port", "1"], 2, "--against does not open"),
    (["replay", SESSION, "--web-port", "many"], 2, ""),
    (["replay", SESSION, "--set", "nonsense=1"], 1, "nonsense"),
]


@pytest.mark.parametrize(("command", "code", "said"), BAD, ids=[" ".join(case[0][2:]) or "none" for case in BAD])
def test_bad_input_is_one_clear_error(run, recorded: Path, command: list[str], code: int, said: str) -> None:
    result = run(*command, "--state", recorded)
    assert result.exit_code == code, result.output
    assert said in result.stderr
    assert "Traceback" not in result.stderr
