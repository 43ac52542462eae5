"""For all tests."""

from __future__ import annotations

from typing import Any

MAX_ID = 60
"""Characters of a parameter that make a name: longer ones are keys, certificates and bodies."""


def pytest_make_parametrize_id(config: Any, val: Any, argname: str) -> str | None:  # noqa: ARG001 - pytest's signature
    """Names of tests must be the same in each process that runs a part of them: what was made at random is no name."""
    text = val.decode("latin-1") if isinstance(val, bytes) else val
    if not isinstance(text, str):
        return None
    return argname if len(text) >= MAX_ID or not text.isprintable() or "-----BEGIN" in text else None
