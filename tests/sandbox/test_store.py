from __future__ import annotations

from pratique.sandbox import store as module
from pratique.sandbox.store import Store
from tests.sandbox.kit import NOW

KEY = ("", "configmaps")


def _object(name: str = "a", **data: str) -> dict:
    return {"metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"}, "data": data}


def test_each_write_has_a_higher_version_and_tells_the_listeners():
    store, changes = Store(lambda: NOW), []
    stop = store.subscribe(changes.append)
    store.put(KEY, _object(x="1"))
    store.put(KEY, _object(x="2"))
    store.remove(KEY, "n", "a")
    assert [change.kind for change in changes] == ["ADDED", "MODIFIED", "DELETED"]
    assert [change.version for change in changes] == sorted({change.version for change in changes})
    assert changes[2].obj["data"] == {"x": "2"}
    stop()
    store.put(KEY, _object())
    assert len(changes) == 3


def test_what_was_read_does_not_change_when_the_object_is_written_again():
    store, given = Store(lambda: NOW), _object(x="1")
    store.put(KEY, given)
    before = store.get(KEY, "n", "a")
    given["data"]["x"] = "changed by the caller"
    store.put(KEY, _object(x="2"))
    assert before["data"] == {"x": "1"}


def test_lists_are_sorted_and_by_namespace():
    store = Store(lambda: NOW)
    for name in ("b", "a"):
        store.put(KEY, _object(name))
    store.put(KEY, {"metadata": {"name": "z", "namespace": "m"}})
    assert [obj["metadata"]["name"] for obj in store.all(KEY)] == ["z", "a", "b"]
    assert len(store.all(KEY, "n")) == 2
    assert store.by_uid("uid-b")["metadata"]["name"] == "b"
    assert store.by_uid("nobody") is None
    assert store.remove(KEY, "n", "nobody") is None


def test_history_ends_where_it_was_compacted(monkeypatch):
    store = Store(lambda: NOW)
    first = int(store.put(KEY, _object("a"))["metadata"]["resourceVersion"])
    store.put(KEY, _object("b"))
    assert [change.obj["metadata"]["name"] for change in store.since(KEY, first)] == ["b"]
    store.compact()
    assert store.since(KEY, first) is None
    assert store.since(KEY, store.version) == []


def test_history_is_bounded_and_a_watch_from_before_it_is_refused(monkeypatch):
    monkeypatch.setattr(module, "HISTORY", 3)
    store = Store(lambda: NOW)
    versions = [int(store.put(KEY, _object("a", x=str(number)))["metadata"]["resourceVersion"]) for number in range(6)]
    assert store.since(KEY, versions[0]) is None
    assert len(store.since(KEY, versions[2])) == 3


def test_names_and_uids_are_the_same_for_the_same_seed():
    one, two, other = Store(lambda: NOW, 1), Store(lambda: NOW, 1), Store(lambda: NOW, 2)
    assert (one.new_uid(), one.suffix()) == (two.new_uid(), two.suffix())
    assert one.new_uid() != other.new_uid()
    assert one.now() == "2026-05-28T20:26:40Z"
