"""The mask never becomes the value, in front of a real cluster: tests/process/test_writeback.py again, with the kubectl on PATH."""
# ruff: noqa: F403 - its tests and fixtures, for this folder's gateway

from __future__ import annotations

import pytest

from tests.process.test_writeback import *

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]
