from __future__ import annotations

import pytest

from pratique.sandbox import lists
from pratique.sandbox.accept import Form
from pratique.sandbox.query import Query
from pratique.sandbox.status import StatusError
from tests.sandbox.kit import OPTIONS, World


def _names(objects) -> list[str]:
    return [obj["metadata"]["name"] for obj in objects]


def _fill(world: World, count: int) -> list[dict]:
    kind = world.kind("configmaps")
    for number in range(count):
        world.api.create(kind, "other", {"metadata": {"name": f"c{number}"}}, OPTIONS)
    return [obj for obj in world.api.all(kind, "other") if obj["metadata"]["name"].startswith("c")]


def test_pages_follow_each_other_until_there_is_no_more(world):
    objects, token, seen, remaining = _fill(world, 5), "", [], []
    while True:
        query = Query(f"limit=2&continue={token}")
        shown, metadata = lists.page(objects, query, world.store, filtered=False)
        seen += _names(shown)
        remaining.append(metadata.get("remainingItemCount"))
        token = metadata.get("continue", "")
        if not token:
            break
    assert seen == ["c0", "c1", "c2", "c3", "c4"]
    assert remaining == [3, 1, None]


def test_a_filtered_list_does_not_count_what_remains(world):
    assert "remainingItemCount" not in lists.page(_fill(world, 3), Query("limit=1"), world.store, filtered=True)[1]


@pytest.mark.parametrize("token", ["*", "eyJ9", "bnVsbA"])
def test_a_broken_continue_token_is_400(world, token):
    with pytest.raises(StatusError) as caught:
        lists.page([], Query(f"continue={token}"), world.store, filtered=False)
    assert caught.value.code == 400


@pytest.mark.parametrize(
    ("raw", "code"),
    [("resourceVersion=x", 400), ("resourceVersionMatch=Exact", 422), ("resourceVersion=99999999", 504)],
)
def test_resource_versions_that_cannot_be_served(world, raw, code):
    with pytest.raises(StatusError) as caught:
        lists.check_version(world.store, Query(raw))
    assert caught.value.code == code


def test_a_known_resource_version_is_served(world):
    lists.check_version(world.store, Query("resourceVersion=0"))
    lists.check_version(world.store, Query(f"resourceVersion={world.store.version}&resourceVersionMatch=Exact"))


def test_items_of_built_in_lists_carry_no_kind(world):
    objects = _fill(world, 1)
    found = lists.envelope(world.kind("configmaps"), objects, {}, Form(), 0.0, include="")
    assert (found["kind"], found["apiVersion"]) == ("ConfigMapList", "v1")
    assert "kind" not in found["items"][0]
    partial = lists.envelope(world.kind("configmaps"), objects, {}, Form("PartialObjectMetadataList"), 0.0, include="")
    assert set(partial["items"][0]) == {"kind", "apiVersion", "metadata"}
