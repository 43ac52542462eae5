from __future__ import annotations

from pratique.sandbox.validation import broken_base64


def test_the_first_value_that_is_not_base64_is_named():
    assert broken_base64({"data": {"a": "YQ==", "b": "not base64"}}) == "b"
    assert broken_base64({"data": {"a": 1}}) == "a"
    assert broken_base64({"data": {"a": ""}}) == ""
    assert broken_base64({}) == ""
