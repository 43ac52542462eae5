from __future__ import annotations

import pytest

from pratique.sandbox.query import DeleteOptions, Query, delete_options, write_options
from pratique.sandbox.status import StatusError


@pytest.mark.parametrize(
    ("raw", "expected"),
    [("watch", True), ("watch=", True), ("watch=garbage", True), ("watch=f", True), ("%77atch=1", True),
     ("watch=false", False), ("watch=False", False), ("watch=0", False), ("", False), ("x=1;watch=true", False)],
)  # fmt: skip
def test_flags_are_read_as_the_api_server_reads_them(raw, expected):
    assert Query(raw).flag("watch") is expected


def test_pairs_are_parsed_as_go_does():
    query = Query("a=1&a=2&b=%zz&c=x+y&d;e=1&limit=5")
    assert query.all("a") == ["1", "2"]
    assert query.first("a") == "1"
    assert query.first("b", "none") == "none"
    assert query.first("c") == "x y"
    assert not query.all("d")
    assert query.number("limit") == 5
    assert query.number("none") is None
    with pytest.raises(StatusError):
        Query("limit=five").number("limit")


def test_dry_run_is_exactly_all():
    assert write_options(Query("dryRun=All"), "kubectl/1").dry_run
    assert not write_options(Query("DryRun=All"), "kubectl/1").dry_run
    assert not write_options(Query("dryRun=All;x=1"), "kubectl/1").dry_run
    for raw in ("dryRun=all", "dryRun=", "dryRun=All&dryRun=None"):
        with pytest.raises(StatusError) as caught:
            write_options(Query(raw), "")
        assert caught.value.code == 422


def test_the_manager_comes_from_the_query_or_the_user_agent():
    assert write_options(Query("fieldManager=me"), "kubectl/1").manager == "me"
    assert write_options(Query(""), "kubectl/1 (linux)").manager == "kubectl"
    assert write_options(Query(""), "").manager == "unknown"
    with pytest.raises(StatusError):
        write_options(Query("fieldValidation=Maybe"), "")


def test_a_body_of_a_delete_hides_the_options_of_the_query():
    query = Query("dryRun=All&gracePeriodSeconds=3&propagationPolicy=Foreground")
    assert delete_options(query, None) == DeleteOptions(True, 3, "Foreground")
    assert delete_options(query, {}) == DeleteOptions()
    body = {"kind": "DeleteOptions", "dryRun": ["All"], "preconditions": {"uid": "u", "resourceVersion": "1"}}
    assert delete_options(Query(""), body) == DeleteOptions(dry_run=True, uid="u", version="1")
    assert delete_options(Query("orphanDependents=true"), None).propagation == "Orphan"
    assert delete_options(Query(""), {"orphanDependents": True}).propagation == "Orphan"


@pytest.mark.parametrize("body", [{"kind": "Pod"}, {"propagationPolicy": "What"}])
def test_other_delete_options_are_400(body):
    with pytest.raises(StatusError) as caught:
        delete_options(Query(""), body)
    assert caught.value.code == 400
