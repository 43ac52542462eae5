"""Compiled paths find what jsonpath-ng's `find()` finds, on random documents; its traps, by name."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonpath_ng.ext.parser import parse

from pratique.masking.jsonpath import PathError, compile_path

PATHS = [
    "$", "$['*']", "$.a", "$.a.b", "$.data.*", "$['a']", "$['a','b']", "$.a['b','name']", "$.*", "$.*.*", "$..a", "$..a.b",
    "$.a..b", "$..*", "$.l[0]", "$.l[-1]", "$.l[1:3]", "$.l[::2]", "$.l[-2:]", "$.l[*]", "$.l[*].name", "$.l[0,2]",
    "$.l[?(@.name)].value", "$.l[?(@.name == 'a')].value", "$.l[?(@.name != 'a')].value", "$.l[?(@.n > 2)]",
    "$.l[?(@.n >= 2)].name", "$.l[?(@.n < 2.5)]", "$.l[?(@.name =~ '^a')].value", "$.a[?(@.b == 1)]",
    "$.l[?(@.name == 'a' && @.n == 1)]", "$..l[?(@.name)].value", "$.l[?(!@.name)]", "$.l[*].l[*].name",
    "$.metadata.annotations['kubectl.kubernetes.io/last-applied-configuration']",
]  # fmt: skip
NAMES = ["*", "a", "b", "c", "l", "n", "name", "value", "data", "metadata", "annotations"]
NAMES += ["kubectl.kubernetes.io/last-applied-configuration"]
LEAVES: list[Any] = ["a", "ab", "", "x", 0, 1, 2, 3, 2.5, -1, True, False, None]


def document(randomness: random.Random, depth: int = 4) -> Any:
    kind = randomness.random()
    if depth == 0 or kind < 0.25:
        return randomness.choice(LEAVES)
    if kind < 0.55:
        return [document(randomness, depth - 1) for _ in range(randomness.randrange(4))]
    return {randomness.choice(NAMES): document(randomness, depth - 1) for _ in range(randomness.randrange(5))}


def ours(path: str, root: Any) -> list[str]:
    return sorted(repr(match.value) for match in compile_path(path).find(root))


def theirs(path: str, root: Any) -> list[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return sorted(repr(match.value) for match in parse(path).find(root))


@pytest.mark.parametrize("path", PATHS)
def test_a_path_finds_what_jsonpath_ng_finds(path: str) -> None:
    randomness = random.Random(f"{path}")
    compiled, reference = compile_path(path), parse(path)
    for _ in range(400):
        root = document(randomness)
        found = sorted(repr(match.value) for match in compiled.find(root))
        assert found == sorted(repr(match.value) for match in reference.find(root)), root


STEPS = st.sampled_from(
    [".a", ".b", ".l", ".*", "[*]", "[0]", "[-1]", "[1:]", "..a", "..name", "['a','b']", "['data']"]
)
FILTERS = st.builds(
    "[?(@{} {} {})]".format,
    st.sampled_from([".name", ".n", ".a.b", ".value"]),
    st.sampled_from(["==", "!=", "<", "<=", ">", ">="]),
    st.sampled_from(["1", "2.5", "'a'", "true", "'2'"]),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(STEPS | FILTERS, min_size=1, max_size=4), st.integers(0, 2**32))
def test_paths_of_random_steps_find_the_same(steps: list[str], seed: int) -> None:
    path, root = "$" + "".join(steps), document(random.Random(seed))
    assert ours(path, root) == theirs(path, root), (path, root)


@pytest.mark.parametrize("path", PATHS[1:])
def test_a_match_says_where_it_is(path: str) -> None:
    randomness = random.Random(7)
    compiled = compile_path(path)
    for _ in range(100):
        root = document(randomness)
        for match in compiled.find(root):
            assert match.parent is None or match.parent[match.key] is match.value


def test_every_match_in_a_list_behind_a_filter_can_be_replaced() -> None:
    """`update()` of jsonpath-ng does nothing there, silently."""
    root = {"l": ["xa", "b", "xc"], "data": {"a": "x1", "b": "y"}}
    for path in ("$.l[?(@ =~ 'x')]", "$.data[?(@ =~ 'x')]"):
        for match in compile_path(path).find(root):
            match.parent[match.key] = "masked"
    assert root == {"l": ["masked", "b", "masked"], "data": {"a": "masked", "b": "y"}}


def test_a_regular_expression_takes_linear_time() -> None:
    """jsonpath-ng's own takes seconds on 24 characters."""
    assert compile_path("$.l[?(@ =~ '(a+)+$')]").find({"l": ["a" * 5000 + "!"]}) == []


def test_deep_documents_do_not_end_the_stack() -> None:
    root: Any = {"a": 1}
    for _ in range(20_000):
        root = {"x": root}
    assert [match.value for match in compile_path("$..a").find(root)] == [1]


@pytest.mark.parametrize(
    ("path", "part"),
    [
        ("$.a[", "not a JSONPath"),
        ("", "not a JSONPath"),
        ("$.a|$.b", "deprecated"),
        ("$.a.`parent`", "not supported"),
        ("$.a.`len`", "not supported"),
        ("$.a where $.b", "not supported"),
        ("$.l[?(@.a =~ '(?<=x)y')]", "RE2"),
        ("$.a + $.b", "not"),
        ("$.l[\\a]", "not"),
        ("$.l[?(@.a == 1 & @.b == 2)]", "deprecated"),
    ],
)
def test_what_cannot_be_compiled_is_refused_when_the_rule_is_loaded(path: str, part: str) -> None:
    with pytest.raises(PathError, match=part):
        compile_path(path)
