"""Metrics: what is counted, under which names, and that labels stay bounded; the dashboard and README know the names."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from pratique.observing.finished import Finished
from pratique.observing.metrics import Metrics, Readings

ROOT = Path(__file__).parents[2]
ALLOWED = Finished(
    client="agent", verb="get", action="Allow", rules=("p/read", "p/also"), code=200, masked={"secrets": 3},
    duration=0.05, upstream=0.02, added=0.03, name="CANARY", namespace="CANARY", resource="CANARY",
)  # fmt: skip


def samples(metrics: Metrics) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    found = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for each in family.samples:
            found[each.name, frozenset(each.labels.items())] = each.value
    return found


@pytest.fixture
def metrics() -> Metrics:
    return Metrics(lambda: Readings(ready=True, open_requests=7, credential_expires=1_700_000_000.0), "1.2.3")


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return samples(metrics).get((f"pratique_{name}", frozenset(labels.items())))


def test_a_request_counts_once_and_each_of_its_rules(metrics: Metrics) -> None:
    metrics.observe(ALLOWED)
    metrics.observe(ALLOWED)
    assert value(metrics, "requests_total", client="agent", verb="get", code="200") == 2
    assert value(metrics, "verdicts_total", action="Allow", rule="p/read") == 2
    assert value(metrics, "verdicts_total", action="Allow", rule="p/also") == 2
    assert value(metrics, "masked_values_total", rule="secrets") == 6
    assert value(metrics, "upstream_seconds_sum", verb="get") == pytest.approx(0.04)
    assert value(metrics, "added_seconds_bucket", verb="get", le="0.025") == 0
    assert value(metrics, "added_seconds_bucket", verb="get", le="0.05") == 2


def test_a_denial_without_a_rule_is_a_verdict_all_the_same(metrics: Metrics) -> None:
    metrics.observe(Finished(client="agent", verb="delete", action="Deny", refusal="policy/denied", code=403))
    assert value(metrics, "verdicts_total", action="Deny", rule="") == 1
    assert value(metrics, "refusals_total", rule="policy/denied") == 1
    assert value(metrics, "upstream_seconds_count", verb="delete") is None


def test_what_an_observed_policy_would_decide_is_counted_beside_what_was_enforced(metrics: Metrics) -> None:
    metrics.observe(
        Finished(client="agent", verb="get", action="Allow", observed=(("next", "Deny"), ("other", "Allow")))
    )
    assert value(metrics, "observed_verdicts_total", policy="next", action="Deny", enforced="Allow") == 1
    assert value(metrics, "observed_verdicts_total", policy="other", action="Allow", enforced="Allow") == 1


def test_holds_that_were_approved_and_those_that_were_not(metrics: Metrics) -> None:
    metrics.observe(Finished(held=44.0, code=403))
    metrics.observe(Finished(held=3.0, upstream=0.1, code=200))
    assert value(metrics, "hold_seconds_sum", approved="false") == 44.0
    assert value(metrics, "hold_seconds_sum", approved="true") == 3.0


def test_a_verb_that_a_client_made_up_is_no_label(metrics: Metrics) -> None:
    for number in range(20):
        metrics.observe(Finished(client="agent", verb=f"brew{number}", code=405))
    assert value(metrics, "requests_total", client="agent", verb="other", code="405") == 20
    assert b"brew" not in metrics.text()


def test_nothing_of_an_object_is_in_them(metrics: Metrics) -> None:
    metrics.observe(ALLOWED)
    assert b"CANARY" not in metrics.text()


def test_gauges_are_read_when_asked_and_left_out_where_there_is_nothing() -> None:
    now = [Readings(open_requests=1)]
    metrics = Metrics(lambda: now[0])
    assert value(metrics, "open_requests") == 1
    assert value(metrics, "credential_expiry_timestamp_seconds") is None
    now[0] = Readings(open_requests=2, ready=True, credential_expires=5.0)
    assert (value(metrics, "open_requests"), value(metrics, "ready")) == (2, 1)
    assert value(metrics, "credential_expiry_timestamp_seconds") == 5


def names(metrics: Metrics) -> set[str]:
    """As they are asked for in PromQL: of a histogram its three series."""
    found = set()
    for family in metrics.registry.collect():
        if family.name.startswith("pratique_"):
            suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(family.type, ("",))
            found |= {family.name + suffix for suffix in suffixes}
    return found


def test_the_dashboard_asks_for_metrics_that_there_are_and_for_every_one(metrics: Metrics) -> None:
    dashboard = json.loads((ROOT / "scripts" / "deploy" / "grafana-dashboard.json").read_text())
    asked = {
        name
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
        for name in re.findall(r"pratique_[a-z_]+", target["expr"])
    }
    assert asked <= names(metrics)
    unasked = {re.sub("_(bucket|sum|count)$", "", name) for name in names(metrics) - asked}
    assert unasked <= {re.sub("_(bucket|sum|count)$", "", name) for name in asked}


def test_the_readme_lists_every_metric(metrics: Metrics) -> None:
    readme = (ROOT / "README.md").read_text()
    listed = set(re.findall(r"^\| `([a-z_]+)(?:\{[a-z, ]+\})?` \| (?:counter|gauge|histogram) ", readme, re.MULTILINE))
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in names(metrics)}
    assert {f"pratique_{name}" for name in listed} == families


def test_every_panel_of_the_dashboard_has_a_place_and_a_question() -> None:
    dashboard = json.loads((ROOT / "scripts" / "deploy" / "grafana-dashboard.json").read_text())
    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {(place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])}
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
        assert panel["type"] == "row" or panel["targets"], panel["title"]
