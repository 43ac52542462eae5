"""Starting and stopping: in process, and as `python -m pratique.sandbox`."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pratique.sandbox import certificates
from pratique.sandbox.__main__ import main
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from tests.sandbox.kit import TOKEN, Client


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_stopped_sandbox_takes_its_folder_and_its_streams_with_it():
    sandbox = Sandbox(options=SandboxOptions(static_token=TOKEN, seed=False))
    info = sandbox.start()
    folder = Path(info.ca_path).parent
    client = Client(info)
    assert client.ok("GET", "/api/v1/pods")["items"] == []
    watch = client.send("GET", "/api/v1/pods?watch=1")
    sandbox.stop()
    with contextlib.suppress(http.client.IncompleteRead):  # cut or ended: either way it is over
        assert watch.read() == b""
    assert not folder.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", info.port), timeout=5)


def test_nothing_is_answered_before_the_start():
    sandbox = Sandbox()
    for use in (lambda: sandbox.info, lambda: sandbox.requests, lambda: sandbox.call(lambda _: None)):
        with pytest.raises(RuntimeError, match="not running"):
            use()
    sandbox.stop()


def test_a_port_in_use_is_the_error_of_the_start(sandbox):
    with pytest.raises(OSError, match="in use"):
        Sandbox(options=SandboxOptions(port=sandbox.info.port)).start()


def test_keys_are_private_and_kept_until_they_expire(tmp_path, monkeypatch):
    authority, certificate, key = certificates.ensure(tmp_path)
    before = certificate.read_bytes()
    assert _mode(key) == 0o600
    assert certificates.ensure(tmp_path) == (authority, certificate, key)
    assert certificate.read_bytes() == before
    monkeypatch.setattr(certificates, "_lasts", lambda _: False)
    certificates.ensure(tmp_path)
    assert certificate.read_bytes() != before


def test_info_never_shows_its_secrets(sandbox):
    shown = repr(sandbox.info)
    assert sandbox.info.secret_access_key not in shown
    assert TOKEN not in shown


def test_lines_go_on_where_an_interval_is_set(tmp_path):
    with Sandbox(tmp_path, SandboxOptions(static_token=TOKEN, log_interval=0.01)) as sandbox:
        response = Client(sandbox.info).send("GET", "/api/v1/namespaces/payments/pods/db-0/log?follow=true&tailLines=0")
        assert response.readline().startswith(b"level=")
        response.close()


def test_the_process_says_when_it_is_ready_and_ends_on_sigterm(tmp_path):
    command = [sys.executable, "-m", "pratique.sandbox", "--state", str(tmp_path), "--static-token", TOKEN]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "addons")}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    try:
        line = process.stdout.readline()
        info = json.loads((tmp_path / "sandbox.json").read_text())
        assert info["server"] in line
        assert {"role_arn", "access_key_id", "secret_access_key", "sts_endpoint", "ca_path", "region"} <= set(info)
        assert _mode(tmp_path / "sandbox.json") == 0o600
        config = json.loads((tmp_path / "kubeconfig.json").read_text())
        assert config["users"][0]["user"] == {"token": TOKEN}
        assert _mode(tmp_path / "kubeconfig.json") == 0o600
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert process.stdout.read() == ""
    finally:
        process.kill()
        process.stdout.close()


def test_a_port_in_use_is_one_line_and_exit_code_1(sandbox, tmp_path, capsys):
    assert main(["--state", str(tmp_path), "--port", str(sandbox.info.port)]) == 1
    assert capsys.readouterr().err.startswith("sandbox: cannot start:")
    assert not (tmp_path / "sandbox.json").exists()
