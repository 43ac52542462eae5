"""A plan makes what is missing, mends what differs, leaves what is not ours, and has nothing to do the second time."""

from __future__ import annotations

import pytest

from pratique.setup.plan import Action, Found, Thing, differences, plan, plan_back

ROLE = Thing("role", "y", {"trust": "x"}, "w")
ENTRY = Thing("entry", "y", {"groups": ["a"]}, "w", after=ROLE.key)
KEY = Thing("key", "k", {"names": ["a"]}, "w", once=True)
NAMESPACE = Thing("ns", "n", {"labels": {"a": "b"}}, "w", stays=True)
ALL = (ROLE, ENTRY, KEY, NAMESPACE)


def actions(steps):
    return [(step.thing.kind, step.action) for step in steps]


def there(*things, ours=True):
    return {thing.key: Found(dict(thing.wanted), ours) for thing in things}


def test_at_first_everything_is_made_in_order():
    assert actions(plan(ALL, {})) == [(kind, Action.CREATE) for kind in ("role", "entry", "key", "ns")]


def test_the_second_time_there_is_nothing_to_do():
    steps = plan(ALL, there(*ALL))
    assert {step.action for step in steps} == {Action.KEEP}
    assert not any(step.changes for step in steps)


def test_what_differs_is_updated_and_says_where():
    steps = plan((ROLE,), {ROLE.key: Found({"trust": "other", "more": 1}, ours=True)})
    assert [(step.action, step.differs) for step in steps] == [(Action.UPDATE, ("trust",))]


def test_what_is_bound_to_a_thing_that_is_made_anew_is_replaced():
    assert actions(plan((ROLE, ENTRY), there(ENTRY))) == [("role", Action.CREATE), ("entry", Action.REPLACE)]


def test_what_is_not_ours_is_neither_changed_nor_deleted():
    foreign = {ROLE.key: Found({"trust": "other"}, ours=False)}
    (step,) = plan((ROLE,), foreign)
    assert (step.action, step.changes) == (Action.REFUSE, False)
    assert actions(plan_back((ROLE,), foreign)) == [("role", Action.REFUSE)]
    assert actions(plan((ROLE,), there(ROLE, ours=False))) == [("role", Action.KEEP)]
    assert actions(plan((NAMESPACE,), {NAMESPACE.key: Found({}, ours=False)})) == [("ns", Action.KEEP)]


def test_what_is_made_once_is_left_alone():
    assert actions(plan((KEY,), {KEY.key: Found({"names": ["b"]}, ours=True)})) == [("key", Action.KEEP)]


def test_what_nothing_needs_any_more_goes():
    found = {**there(ROLE), "clusterrole:old": Found({}, ours=True), "clusterrole:theirs": Found({}, ours=False)}
    steps = plan((ROLE,), found)
    assert [(step.thing.key, step.action) for step in steps] == [
        ("role:y", Action.KEEP),
        ("clusterrole:old", Action.DELETE),
    ]


def test_it_is_taken_back_in_the_opposite_order_but_for_what_stays():
    assert actions(plan_back(ALL, there(*ALL))) == [
        ("ns", Action.KEEP),
        ("key", Action.DELETE),
        ("entry", Action.DELETE),
        ("role", Action.DELETE),
    ]
    assert plan_back(ALL, {}) == ()


@pytest.mark.parametrize(
    ("wanted", "found", "paths"),
    [
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}, "d": 3}, []),
        ({"a": {"b": 1}}, {"a": {"b": 2}}, ["a.b"]),
        ({"a": {"b": 1}}, {}, ["a"]),
        ({"a": [1]}, {"a": [1, 2]}, ["a"]),
        ({"data": {"b": "1"}}, {"data": {"b": "1", "c": "removed"}}, ["data"]),
        ({}, {"x": 1}, []),
        (1, 2, ["all of it"]),
    ],
)
def test_differences(wanted, found, paths):
    assert differences(wanted, found) == paths
