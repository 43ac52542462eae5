"""Every row of the fault list: its own check, and what holds for all. Rows that other tests show name tests that exist."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.table import ROWS, Row
from tests.faults.world import World

ROOT = Path(__file__).parents[2]
OWN = [row for row in ROWS if callable(row.check)]
ELSEWHERE = [row for row in ROWS if not callable(row.check)]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    running = World(tmp_path_factory.mktemp("world"))
    yield running
    running.close()


@pytest.mark.process
@pytest.mark.parametrize("row", OWN, ids=lambda row: row.name)
def test_the_promise_is_kept(world: World, row: Row) -> None:
    assert callable(row.check)
    try:
        row.check(world)
    finally:
        world.usual()
    world.check()


@functools.cache
def defined_in(path: str) -> frozenset[str]:
    return frozenset(
        node.name for node in ast.parse((ROOT / path).read_text()).body if isinstance(node, ast.FunctionDef)
    )


@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: row.name)
def test_what_is_shown_elsewhere_is_there(row: Row) -> None:
    assert isinstance(row.check, tuple)
    assert row.check
    for named in row.check:
        path, _, name = named.partition("::")
        assert name.startswith("test_")
        assert name in defined_in(path), named


def test_rows_have_names_of_their_own() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS)
