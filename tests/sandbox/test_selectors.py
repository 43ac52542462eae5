from __future__ import annotations

import pytest

from pratique.sandbox.resources import Registry
from pratique.sandbox.selectors import field_match, label_match, selector_match
from pratique.sandbox.status import StatusError

OBJ = {"metadata": {"name": "n", "namespace": "s", "labels": {"app": "web", "n": "5"}}, "type": "Opaque",
       "spec": {"nodeName": "a", "hostNetwork": True}, "source": {"component": "kubelet"}}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", True), ("app=web", True), ("app==web", True), ("app!=web", False), ("app", True), ("!app", False),
        ("tier", False), ("!tier", True), ("app in (web, db)", True), ("app in (db)", False), ("app notin (db)", True),
        ("tier notin (db)", True), ("app in (web,db),n=5", True), ("app=web,n=6", False), ("n>4", True), ("n<4", False),
        ("n>5", False), ("app>4", False), ("x.io/y=z", False),
    ],
)  # fmt: skip
def test_label_selectors(text, expected):
    assert label_match(text)(OBJ) is expected


@pytest.mark.parametrize("text", ["a=b=c", "app in web", "=x", "a,,b", "a b"])
def test_a_label_selector_that_does_not_parse_is_400(text):
    with pytest.raises(StatusError) as caught:
        label_match(text)
    assert caught.value.code == 400


def test_a_label_selector_object():
    assert selector_match({"matchLabels": {"app": "web"}})(OBJ)
    expressions = [{"key": "app", "operator": "In", "values": ["web"]}, {"key": "x", "operator": "DoesNotExist"}]
    assert selector_match({"matchExpressions": expressions})(OBJ)
    assert not selector_match({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]})(OBJ)
    assert selector_match({"matchExpressions": [{"key": "app", "operator": "Exists"}]})(OBJ)
    assert selector_match({})(OBJ)
    assert not selector_match(None)(OBJ)


@pytest.mark.parametrize(
    ("plural", "text", "expected"),
    [
        ("secrets", "type=Opaque", True), ("secrets", "type!=Opaque", False), ("secrets", "metadata.name=n", True),
        ("pods", "spec.nodeName=a,metadata.namespace=s", True), ("pods", "spec.nodeName=", False),
        ("pods", "spec.hostNetwork=true", True), ("pods", "status.podIP=", True), ("events", "source=kubelet", True),
        ("nodes", "spec.unschedulable=false", True), ("pods", "", True),
    ],
)  # fmt: skip
def test_field_selectors(plural, text, expected):
    assert field_match(Registry().find("", "v1", plural), text)(OBJ) is expected


@pytest.mark.parametrize("text", ["data.password=x", "metadata.labels=x", "nonsense"])
def test_a_field_that_is_not_indexed_is_400(text):
    with pytest.raises(StatusError) as caught:
        field_match(Registry().find("", "v1", "secrets"), text)
    assert caught.value.code == 400
