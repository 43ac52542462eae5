from __future__ import annotations

import pytest

from pratique.sandbox.status import StatusError
from pratique.sandbox.strategic import strategic_merge

POD = {
    "containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}],
    "tolerations": [{"key": "x"}],
    "finalizers": ["one"],
    "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}},
}


@pytest.mark.parametrize(
    ("patch", "field", "expected"),
    [
        (
            {"containers": [{"name": "b", "image": "2"}]},
            "containers",
            [POD["containers"][0], {"name": "b", "image": "2"}],
        ),
        ({"containers": [{"name": "c"}]}, "containers", [*POD["containers"], {"name": "c"}]),
        ({"containers": [{"name": "a", "$patch": "delete"}]}, "containers", [POD["containers"][1]]),
        ({"containers": [{"$patch": "replace"}, {"name": "z"}]}, "containers", [{"name": "z"}]),
        (
            {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}]},
            "containers",
            [
                {"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                POD["containers"][1],
            ],
        ),
        ({"tolerations": [{"key": "y"}]}, "tolerations", [{"key": "y"}]),
        ({"finalizers": ["two", "one"]}, "finalizers", ["one", "two"]),
        ({"$deleteFromPrimitiveList/finalizers": ["one"]}, "finalizers", []),
        ({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, "strategy", {"type": "Recreate"}),
        ({"strategy": {"$patch": "replace", "type": "Recreate"}}, "strategy", {"type": "Recreate"}),
        ({"strategy": {"$patch": "delete"}}, "strategy", {}),
        ({"strategy": {"$patch": "merge", "type": "X"}}, "strategy", {"type": "X", "rollingUpdate": {"maxSurge": 1}}),
        ({"strategy": None}, "strategy", None),
        ({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, "containers", POD["containers"][::-1]),
        (
            {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}], "containers": [{"name": "c"}]},
            "containers",
            [POD["containers"][0], {"name": "c"}, POD["containers"][1]],
        ),
        ({"$setElementOrder/finalizers": ["one"]}, "finalizers", ["one"]),
        ({"new": {"inner": 1}}, "new", {"inner": 1}),
    ],
)
def test_strategic_merge_follows_keys_and_directives(patch, field, expected):
    assert strategic_merge(POD, patch).get(field) == expected


def test_an_unknown_directive_is_400():
    with pytest.raises(StatusError) as caught:
        strategic_merge({}, {"$patch": "what"})
    assert caught.value.code == 400


def test_replace_of_a_list_of_strings_keeps_them():
    assert strategic_merge({"args": ["a"]}, {"args": ["b"]}) == {"args": ["b"]}
