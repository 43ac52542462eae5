"""A secret is not seen by accident."""

from __future__ import annotations

import copy
import pickle

import pytest

from pratique.identity.secret import Secret

SECRET = Secret("hunter2")


@pytest.mark.parametrize(
    "shown", [repr(SECRET), str(SECRET), f"{SECRET}", f"{SECRET!r:>40}", f"{SECRET:s}", str([SECRET])]
)
def test_it_does_not_show(shown):
    assert "hunter2" not in shown
    assert "hidden" in shown


@pytest.mark.parametrize("use", [bool, hash, pickle.dumps, copy.copy, copy.deepcopy, len])
def test_it_refuses(use):
    with pytest.raises(TypeError) as raised:
        use(SECRET)
    assert "hunter2" not in str(raised.value)


def test_it_has_no_dict_to_dump():
    with pytest.raises(TypeError):
        vars(SECRET)


def test_it_is_had_by_asking_for_it():
    assert SECRET.reveal() == "hunter2"


def test_equality_is_by_value_and_only_with_secrets():
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
