"""`pratique sessions list --table NAME`: what all replicas have recorded, and where it is."""

from __future__ import annotations

import dataclasses

import click

from pratique.cli.output import print_json, table, time_of
from pratique.dynamodb.table import Table, client
from pratique.recorder.filters import Filter
from pratique.recorder.shared_index import shared
from pratique.recorder.timeline import rfc3339


def print_shared(name: str, region: str, wanted: Filter, output: str) -> None:
    """Sessions by client and time. Raises StoreError; UsageError for a filter of requests, which only a replica knows."""
    if wanted.asks_requests:
        raise click.UsageError(
            "the table knows sessions, not their requests: with --table use --client, --since, --until"
        )
    found = shared(Table(name, client(region)), wanted)
    if output == "json":
        times = [(rfc3339(row.opened), rfc3339(row.closed) if row.closed else None) for row in found]
        print_json(
            [
                dataclasses.asdict(row) | {"opened": opened, "closed": closed}
                for row, (opened, closed) in zip(found, times, strict=True)
            ]
        )
        return
    headings = ["SESSION", "CLIENT", "OPENED", "CLOSED", "REPLICA", "COPY"]
    rows = [
        (row.session, row.client, time_of(row.opened), time_of(row.closed) or "open", row.replica, row.copy)
        for row in found
    ]
    table(headings, rows)
