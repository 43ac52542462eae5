from __future__ import annotations

import pytest

from pratique.sandbox import schema
from pratique.sandbox.resources import BUILT_IN
from pratique.sandbox.strict import drop_unknown


@pytest.mark.parametrize("resource", BUILT_IN, ids=lambda item: item.plural)
def test_every_built_in_kind_is_in_the_field_table(resource):
    assert "metadata" in schema.named(schema.message_of(resource))


def test_unknown_fields_are_found_at_any_depth_and_dropped():
    pods = next(item for item in BUILT_IN if item.plural == "pods")
    body = {"apiVersion": "v1", "kind": "Pod", "x": 1, "metadata": {"labels": {"any": "key"}, "y": 1},
            "spec": {"containers": [{"name": "c", "z": 1, "resources": {"limits": {"gpu": "1"}}}], "nodeSelector": {"a": "b"},
                     "volumes": [{"name": "v", "secret": {"secretName": "s"}}]}}  # fmt: skip
    assert drop_unknown(pods, body) == [f'unknown field "{at}"' for at in ("x", "metadata.y", "spec.containers[0].z")]
    assert drop_unknown(pods, body) == []
    assert body["spec"]["volumes"][0]["secret"] == {"secretName": "s"}
