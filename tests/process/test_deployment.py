"""The Deployment's own arguments start a gateway that serves what its probes, Services and clients expect."""

from __future__ import annotations

import http.client
import ssl
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from pratique.setup.serving import serving_certificate
from tests.deploy.test_manifests import container, one
from tests.process.gateway import Gateway

pytestmark = pytest.mark.process
PATHS = {"--policies", "--state", "--listen-port"}
"""What the test says itself."""


def test_a_replica_serves_its_given_certificate_and_its_probes(make_gateway, tmp_path: Path) -> None:
    serving = serving_certificate(["127.0.0.1", "pratique.pratique.svc"], time.time())
    (tmp_path / "tls-combined.pem").write_text(serving.combined.reveal())
    run, *arguments = container()["args"]
    assert run == "run"
    options = [
        argument.replace("/etc/pratique/serving", str(tmp_path)).replace("0.0.0.0:9443", "127.0.0.1:0")
        for argument in arguments
        if argument.partition("=")[0] not in PATHS
    ]
    gateway: Gateway = make_gateway(form="command", options=options).start()
    context = ssl.create_default_context(cadata=serving.authority)
    admin = urlsplit(gateway.admin)
    for host, port, path, code in (
        ("127.0.0.1", gateway.port, "/version", 401),
        (admin.hostname, admin.port, container()["livenessProbe"]["httpGet"]["path"], 200),
        (admin.hostname, admin.port, container()["readinessProbe"]["httpGet"]["path"], 200),
        (admin.hostname, admin.port, one("monitoring", "ServiceMonitor")["spec"]["endpoints"][0]["path"], 200),
    ):
        connection = http.client.HTTPSConnection(host, port, context=context, timeout=30)
        connection.request("GET", path)
        assert connection.getresponse().status == code
        connection.close()
    assert not (gateway.folder / ".pratique").exists()
