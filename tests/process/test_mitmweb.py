"""A held request in mitmproxy's own view: shown as intercepted, and released by its reviewer only."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

from tests.process.gateway import free_port
from tests.process.reviewing import POLICY, Held, Reviewer, changed, make, wait_for

pytestmark = pytest.mark.process
PASSWORD = "only-for-this-test"


class Mitmweb:
    """Somebody at mitmweb's own API."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}"

    def call(self, method: str, path: str) -> bytes:
        xsrf = "0123456789abcdef"  # mitmweb compares cookie and header
        headers = {"Authorization": f"Bearer {PASSWORD}", "Cookie": f"_mitmproxy_xsrf={xsrf}", "X-XSRFToken": xsrf}
        request = urllib.request.Request(self._url + path, b"" if method == "POST" else None, headers, method=method)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return bytes(answer.read())

    def flow(self, marker: str) -> Any:
        flows = json.loads(self.call("GET", "/flows"))
        return next(
            (each for each in flows if marker in each["request"]["path"] and each["request"]["method"] == "DELETE"),
            None,
        )


def test_a_held_request_is_shown_intercepted_and_resuming_it_there_releases_nothing(make_gateway) -> None:
    port = free_port()
    options = [
        "--no-web-open-browser",
        "--web-host",
        "127.0.0.1",
        "--web-port",
        str(port),
        "--set",
        f"web_password={PASSWORD}",
    ]
    gateway = make_gateway(form="mitmweb", policy=POLICY, hold=45, options=options).start()
    target = make(gateway, "in-mitmweb")
    held = Held(gateway, "DELETE", target)
    alice = Reviewer(gateway, "alice")
    approval_id = alice.find("in-mitmweb")
    web = Mitmweb(port)
    wait_for(lambda: (web.flow("in-mitmweb") or {}).get("intercepted"))
    flow = web.flow("in-mitmweb")
    assert approval_id in flow["comment"]
    for _ in range(3):
        web.call("POST", f"/flows/{flow['id']}/resume")
        wait_for(lambda: web.flow("in-mitmweb")["intercepted"], "it is not shown as held again")
    web.call("POST", "/flows/resume")
    assert changed(gateway, "in-mitmweb") == []
    assert alice.show(approval_id)["row"]["held"]
    alice.decide("in-mitmweb")
    assert held.answer().code == 200
    assert not web.flow("in-mitmweb")["intercepted"]
    assert len(changed(gateway, "in-mitmweb")) == 1
