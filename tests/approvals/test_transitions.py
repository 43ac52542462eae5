"""The life of an approval is the table, and nothing beside it."""

from __future__ import annotations

import itertools

import pytest

from pratique.approvals.transitions import TABLE, Event, State, state_at, transition
from pratique.errors import Refused

WANTED = {
    ("pending", "approve"): "approved",
    ("pending", "deny"): "denied",
    ("pending", "expire"): "expired",
    ("pending", "cancel"): "cancelled",
    ("approved", "use"): "used",
    ("approved", "expire"): "expired",
    ("approved", "revoke"): "revoked",
}


def test_the_table_is_the_one_in_the_design():
    assert {(state.value, event.value): after.value for (state, event), after in TABLE.items()} == WANTED


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_what_is_not_in_the_table_raises_409(state, event):
    now = 10.0 if event is Event.EXPIRE else 9.0
    if (state.value, event.value) in WANTED:
        assert transition(state, event, 10.0, now) == WANTED[state.value, event.value]
    else:
        with pytest.raises(Refused) as raised:
            transition(state, event, 10.0, now)
        assert raised.value.code == 409


@pytest.mark.parametrize(("state", "event"), [pair for pair in TABLE if pair[1] is not Event.EXPIRE])
def test_from_the_moment_of_expiry_nothing_but_expiry_is_possible(state, event):
    with pytest.raises(Refused, match="has expired"):
        transition(state, event, 10.0, 10.0)


def test_nothing_expires_early():
    with pytest.raises(Refused, match="not expired yet"):
        transition(State.PENDING, Event.EXPIRE, 10.0, 9.999)


@pytest.mark.parametrize("state", State)
def test_an_open_state_counts_as_expired_from_its_time_on(state):
    assert state_at(state, 10.0, 9.999) is state
    assert state_at(state, 10.0, 10.0) is (State.EXPIRED if state.is_open else state)
