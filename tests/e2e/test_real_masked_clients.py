"""Clients work with masked objects of a real cluster as with any other: tests/process/test_masked_clients.py again, with the kubectl on PATH."""
# ruff: noqa: F403, F405 - its tests and fixtures, for this folder's gateway

from __future__ import annotations

import pytest

from tests.process.test_masked_clients import *

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]


@needs_kubectl
def test_kubectl_shows_logs_and_who_i_am(kubectl: Client) -> None:
    """Logs are in test_real_leaks: the pods of these tests have an image that is nowhere."""
    assert "agent" in kubectl.ok("auth", "whoami")
