from __future__ import annotations

import pytest

from pratique.sandbox.merge import MAX_OPERATIONS, json_patch, merge_patch
from pratique.sandbox.status import StatusError

DOC = {"a": {"b": 1, "c/d": 2}, "list": [1, 2, 3]}


@pytest.mark.parametrize(
    ("target", "patch", "expected"),
    [
        ({"a": 1}, {"a": None}, {}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a": {"b": 1, "c": 2}}),
        ({"a": [1]}, {"a": [2]}, {"a": [2]}),
        ({"a": 1}, {"a": {"b": None}}, {"a": {}}),
        ({"a": 1}, [1], [1]),
    ],
)
def test_merge_patch_follows_rfc_7396(target, patch, expected):
    assert merge_patch(target, patch) == expected


@pytest.mark.parametrize(
    ("operations", "expected"),
    [
        ([{"op": "add", "path": "/x", "value": 1}], {**DOC, "x": 1}),
        ([{"op": "add", "path": "/list/1", "value": 9}], {**DOC, "list": [1, 9, 2, 3]}),
        ([{"op": "add", "path": "/list/-", "value": 9}], {**DOC, "list": [1, 2, 3, 9]}),
        ([{"op": "remove", "path": "/list/0"}], {**DOC, "list": [2, 3]}),
        ([{"op": "remove", "path": "/list/-1"}], {**DOC, "list": [1, 2]}),
        ([{"op": "replace", "path": "/a/c~1d", "value": 7}], {**DOC, "a": {"b": 1, "c/d": 7}}),
        ([{"op": "replace", "path": "", "value": {"n": 1}}], {"n": 1}),
        ([{"op": "remove", "path": ""}], None),
        ([{"op": "move", "from": "/a/b", "path": "/b"}], {"a": {"c/d": 2}, "list": [1, 2, 3], "b": 1}),
        ([{"op": "copy", "from": "/list", "path": "/copy"}], {**DOC, "copy": [1, 2, 3]}),
        ([{"op": "test", "path": "/a/b", "value": 1}], DOC),
    ],
)
def test_json_patch_follows_rfc_6902_and_leaves_its_input(operations, expected):
    before = repr(DOC)
    assert json_patch(DOC, operations) == expected
    assert repr(DOC) == before


@pytest.mark.parametrize(
    "operation",
    [
        {"op": "test", "path": "/a/b", "value": 2},
        {"op": "remove", "path": "/nope"},
        {"op": "replace", "path": "/nope", "value": 1},
        {"op": "add", "path": "/list/9", "value": 1},
        {"op": "add", "path": "nopointer", "value": 1},
        {"op": "what", "path": "/a", "from": "/a"},
        {"path": "/a"},
        "text",
    ],
)
def test_an_operation_that_cannot_be_applied_is_422(operation):
    with pytest.raises(StatusError) as caught:
        json_patch(DOC, [operation])
    assert caught.value.code == 422


def test_a_json_patch_is_a_list_of_limited_length():
    with pytest.raises(StatusError) as caught:
        json_patch(DOC, {"op": "add"})
    assert caught.value.code == 400
    with pytest.raises(StatusError) as caught:
        json_patch(DOC, [{}] * (MAX_OPERATIONS + 1))
    assert caught.value.code == 413
