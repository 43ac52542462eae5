from __future__ import annotations

import pytest

from tests.masking.session import Session


@pytest.fixture
def session() -> Session:
    """A client's session under the default policy."""
    return Session()
