"""What one client may do is bounded, in rate and for a day; and what bounds it is bounded, too."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pratique.dynamodb.table import Table
from pratique.errors import DocumentErrors, Refused, StoreError
from pratique.identity.clients import Clients
from pratique.identity.counters import MIGRATIONS, SqliteCounters
from pratique.identity.dynamodb_counters import DynamoCounters
from pratique.identity.limits import MAX_CLIENTS, Limits, Rates, day_of, is_write, over_budget
from pratique.sqlite_file import SqliteFile
from tests.dynamodb.service import new_table, service
from tests.identity.helpers import documents
from tests.kube.test_rehearsal import canonical

NOW = 1_800_000_000.0
TWO = Limits(requests_per_second=2.0, burst=3)


def taken(rates, times, limits=TWO, client="agent"):
    """Of the requests at these times, those that passed."""
    passed = []
    for now in times:
        try:
            rates.take(client, limits, now)
        except Refused:
            continue
        passed.append(now)
    return passed


def test_a_burst_passes_and_then_the_rate():
    rates = Rates()
    assert len(taken(rates, [0.0] * 10)) == 3
    assert taken(rates, [0.1, 0.4, 0.5, 0.6, 1.0]) == [0.5, 1.0]
    assert len(taken(rates, [100.0] * 10)) == 3


def test_the_refusal_says_when_it_helps_to_repeat():
    rates = Rates()
    slow = Limits(requests_per_second=0.1, burst=1)
    rates.take("agent", slow, 0.0)
    with pytest.raises(Refused) as raised:
        rates.take("agent", slow, 2.5)
    assert (raised.value.code, raised.value.reason, raised.value.retry_after) == (429, "TooManyRequests", 8)
    rates.take("agent", slow, 10.5)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.floats(0, 3), max_size=80),
    st.floats(0.1, 50),
    st.integers(1, 20),
)
def test_no_window_of_time_passes_more_than_its_rate_and_one_burst(pauses, rate, burst):
    times, now = [], 0.0
    for pause in pauses:
        now += pause
        times.append(now)
    passed = taken(Rates(), times, Limits(requests_per_second=rate, burst=burst))
    for first in range(len(passed)):
        for last in range(first, len(passed)):
            assert last - first + 1 <= burst + rate * (passed[last] - passed[first]) + 1e-6


def test_clients_do_not_share_a_bucket_and_one_without_a_rate_has_none():
    rates = Rates()
    assert len(taken(rates, [0.0] * 10)) == len(taken(rates, [0.0] * 10, client="other")) == 3
    assert len(taken(rates, [0.0] * 10, Limits(), "free")) == 10


def test_memory_is_bounded():
    rates = Rates()
    for number in range(MAX_CLIENTS + 100):
        rates.take(f"c{number}", TWO, 0.0)
    assert len(rates._buckets) == MAX_CLIENTS


def test_a_rate_that_was_edited_counts_at_once():
    rates = Rates()
    taken(rates, [0.0] * 3)
    assert len(taken(rates, [0.0] * 10, Limits(requests_per_second=100.0, burst=1))) == 0
    assert len(taken(rates, [1.0] * 10, Limits(requests_per_second=100.0, burst=1))) == 1
    assert Limits(requests_per_second=20.0).bucket_size == 40
    assert Limits(requests_per_second=0.1).bucket_size == 1


MAP = "/api/v1/namespaces/default/configmaps"
WRITES = [
    ("POST", MAP, {"metadata": {"name": "a"}}),
    ("PUT", f"{MAP}/a", {"metadata": {"name": "a"}}),
    ("DELETE", f"{MAP}/a", None),
    ("DELETE", MAP, None),
    ("POST", "/api/v1/namespaces/default/pods/p/eviction", {"metadata": {"name": "p"}}),
    ("POST", "/api/v1/namespaces/default/serviceaccounts/s/token", {}),
    ("POST", "/api/v1/namespaces/default/services/s/proxy/x", None),
]
NO_WRITES = [
    ("GET", MAP, None),
    ("GET", f"{MAP}?watch=true", None),
    ("GET", f"{MAP}/a", None),
    ("GET", "/version", None),
    ("GET", "/api/v1/namespaces/default/services/s/proxy/x", None),
    ("POST", f"{MAP}?dryRun=All", {"metadata": {"name": "a"}}),
    ("DELETE", f"{MAP}/a?dryRun=All", None),
    ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", {"spec": {}}),
]


@pytest.mark.parametrize("request_", WRITES)
def test_what_may_change_something_counts(request_):
    assert is_write(canonical(*request_))


@pytest.mark.parametrize("request_", NO_WRITES)
def test_what_changes_nothing_does_not(request_):
    assert not is_write(canonical(*request_))


@pytest.mark.parametrize("subresource", ["exec", "attach", "portforward"])
def test_a_session_in_a_pod_counts_however_it_is_opened(subresource):
    from pratique.kube.canonical import RawRequest, canonicalise

    upgrade = ((b"Connection", b"Upgrade"), (b"Upgrade", b"websocket"), (b"Sec-WebSocket-Version", b"13"),
               (b"Sec-WebSocket-Key", b"dGhlIHNhbXBsZSBub25jZQ=="), (b"Host", b"gateway"))  # fmt: skip
    protocol = b"SPDY/3.1+portforward.k8s.io" if subresource == "portforward" else b"v5.channel.k8s.io"
    upgrade += ((b"Sec-WebSocket-Protocol", protocol),)
    query = {"portforward": b"ports=80"}.get(subresource, b"command=id&stdout=true")
    target = b"/api/v1/namespaces/default/pods/p/" + subresource.encode() + b"?" + query
    assert is_write(canonicalise(RawRequest(b"GET", target, upgrade, b"", "HTTP/1.1")))


# --- the daily budget ---


@pytest.fixture
def path(tmp_path):
    return tmp_path / "counters.sqlite"


def counters(path):
    return SqliteCounters(SqliteFile(path, MIGRATIONS, "write counters"))


@pytest.fixture(params=["sqlite", "dynamodb"])
def opened(request, tmp_path):
    """Opens the counts, as one more process does."""
    if request.param == "sqlite":
        yield lambda: counters(tmp_path / "shared")
        return
    with service() as made:
        name = new_table(made)
        yield lambda: DynamoCounters(Table(name, made))


def test_a_budget_is_spent_once_and_survives_a_restart(opened):
    first = opened()
    assert [first.spend("agent", "2026-11-29", 3) for _ in range(2)] == [True, True]
    first.close()
    second = opened()
    assert [second.spend("agent", "2026-11-29", 3) for _ in range(3)] == [True, False, False]
    assert second.spend("other", "2026-11-29", 3)
    assert [second.spend("agent", "2026-11-29", 4) for _ in range(2)] == [True, False]
    assert second.spend("agent", "2026-11-30", 3)
    assert not second.spend("agent", "2026-11-29", 0)
    second.close()


def test_a_table_that_does_not_answer_is_a_store_error_and_spends_nothing():
    with service() as made, pytest.raises(StoreError):
        DynamoCounters(Table("nowhere", made)).spend("agent", "2026-11-29", 3)


def test_a_new_day_begins_anew_and_forgets_the_old_ones(path):
    store = counters(path)
    store.spend("agent", "2026-11-28", 1)
    assert store.spend("agent", "2026-11-29", 1)
    with store._file.read() as db:
        assert [tuple(row) for row in db.execute("SELECT * FROM counts")] == [("agent", "2026-11-29", 1)]
    store.close()


def test_a_count_that_cannot_be_written_is_a_refusal(path):
    store = counters(path)
    store.close()
    with pytest.raises(StoreError, match="write counters"):
        store.spend("agent", "2026-11-29", 1)


def test_who_has_spent_it_is_told_when_it_is_renewed_and_not_to_repeat():
    refused = over_budget("agent", 3, NOW)
    assert day_of(NOW) == "2027-01-15"
    assert "renewed at 2027-01-16T00:00:00Z" in refused.message
    assert (refused.code, refused.retry_after) == (429, None)


# --- documents ---

HEAD = "apiVersion: pratique/v1\nkind: Client\nmetadata: {name: agent}\nspec:\n  apiKeys: []\n  limits: "


@pytest.mark.parametrize(
    ("limits", "says"),
    [("{requestsPerSecond: 0}", "6:12: `0` is no rate"), ("{requestsPerSecond: 1e9}", "is no rate"),
     ("{burst: 3}", "limits nothing"), ("{requestsPerSecond: 1, burst: 0}", "`0` is no limit"), ("{streams: 0}", "no limit"),
     ("{writesPerDay: -1}", "no limit"), ("{pendingApprovals: -1}", "no limit"), ("{writesPerDay: many}", "expected"),
     ("{writesPerHour: 1}", "is not known")],
)  # fmt: skip
def test_a_limit_that_cannot_be_is_refused_at_its_place(limits, says):
    with pytest.raises(DocumentErrors, match=says):
        Clients.from_documents(documents(HEAD + limits + "\n"))


def test_limits_are_those_of_the_document():
    text = HEAD + "{requestsPerSecond: 20, burst: 40, streams: 50, pendingApprovals: 5, writesPerDay: 100}\n"
    found = Clients.from_documents(documents(text))._clients["agent"].client
    assert found.limits == Limits(20.0, 40, 50, 5, 100)
    assert found.pending_approvals == 5
