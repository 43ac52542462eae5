"""The gateway's own record of every request is the real server's record of it, and what goes around is seen."""

from __future__ import annotations

import os

import pytest

from tests.e2e.real import Pair, call, eventually, joined
from tests.process.gateway import Gateway

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]


def test_every_request_joins_and_one_around_the_gateway_is_reported(pair: Pair, real_gateway: Gateway) -> None:
    pair.through.ok("get", "pods")
    pair.through("get", "nothing")
    pair.through.ok("create", "configmap", "joined", "--from-literal=a=b")
    pair.through.ok("label", "configmap", "joined", "x=y")
    pair.through.ok("delete", "configmap", "joined")
    pair.through.ok("get", "--raw", "/version")
    report = eventually(lambda: (found := joined(real_gateway)).unseen == [] and found)
    assert report.joined > 6
    assert report.mismatches == []
    before = len(report.around)
    server = real_gateway.sandbox.info.server
    token = os.environ["PRATIQUE_REALCLUSTER_TOKEN"]
    around = call(
        "curl", "-sk", "-H", f"Authorization: Bearer {token}", f"{server}/api/v1/namespaces/kube-system/secrets"
    )
    assert around.code == 0
    after = eventually(lambda: len((found := joined(real_gateway)).around) == before + 1 and found)
    assert after.around[-1]["requestURI"] == "/api/v1/namespaces/kube-system/secrets"
