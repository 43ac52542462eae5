"""I/O: which sessions all replicas have recorded, in their DynamoDB table: a row for each, written by a thread.

Belongs here: what is told of a session, and reading it back. Not here: recordings and their truth (`spool`), what is in them
(`index`, on the machine that has them). Like that index it is derived: from `sessions.chain`, read from where it was left.
Off the path of requests: a table that does not answer stops nothing, and is told later.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pratique.dynamodb.items import Item, expression, names
from pratique.dynamodb.layout import AT, PARTITION, SESSION_SHELF, SHELF, SORT, TTL, ttl
from pratique.dynamodb.table import Table
from pratique.errors import RecordError, StoreError
from pratique.recorder import layout
from pratique.recorder.chain import Entry, Kind, parse_line
from pratique.recorder.filters import Filter
from pratique.recorder.record import Opened
from pratique.recorder.sessions import Recordings

logger = logging.getLogger("pratique")
PERIOD_SECONDS = 2.0
"""Between two looks: a person who looks for a session does not notice."""
FINISH_SECONDS = 5.0
"""For the last rows when the gateway stops; what is left is told after the next start."""
CHUNK_BYTES = 1 << 20
OFFSET = "shared.offset"
"""Up to where `sessions.chain` was told. Lost, all of it is told again, which changes nothing."""


@dataclass(frozen=True, slots=True)
class Shared:
    """One session of one replica. `closed` is 0 while it is open, or when its replica died; `copy` is its folder in S3."""

    session: str
    client: str
    cluster: str
    opened: float
    closed: float
    reason: str
    replica: str
    copy: str


class SharedIndex:
    """`replica` names this process and machine; `copy_of(session)` is where its files are copied to, or ""."""

    def __init__(self, state: Path, table: Table, replica: str, copy_of: Callable[[str], str]) -> None:
        self._root = layout.recordings(state)
        self._recordings = Recordings(state)
        self._table = table
        self._replica = replica
        self._copy_of = copy_of
        self._said = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="shared-index", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def finish(self) -> None:
        """Tells what is left, for FINISH_SECONDS at most."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(FINISH_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(PERIOD_SECONDS):
            self.step()
        self.step()

    def step(self) -> None:
        """Tells what is new. Never raises: a failure is logged once and tried again."""
        try:
            while self._tell():
                pass
        except (StoreError, OSError) as error:
            if str(error) != self._said:
                self._said = str(error)
                logger.error("sessions are not told to the other replicas: %s", error)
        else:
            self._said = ""

    def _tell(self) -> bool:
        """Some lines; whether there were any."""
        path = self._root / OFFSET
        offset = _number(path)
        with (self._root / layout.SESSIONS_CHAIN).open("rb") as file:
            file.seek(offset)
            data = file.read(CHUNK_BYTES)
        lines = data[: data.rfind(b"\n") + 1].splitlines(keepends=True)
        for line in lines:
            if (parsed := parse_line(line.rstrip(b"\n"))) is not None:
                self._tell_entry(parsed[0])
        path.write_text(str(offset + sum(map(len, lines))))
        return bool(lines)

    def _tell_entry(self, entry: Entry) -> None:
        if entry.kind is Kind.OPENED:
            opened = Opened(session=entry.session)
            with suppress(RecordError, OSError):  # removed meanwhile: that it was there is told all the same
                opened = self._recordings.opened(entry.session)
            self._set(
                entry.session,
                client=opened.client,
                cluster=opened.cluster,
                opened=entry.time,
                replica=self._replica,
                **{SHELF: SESSION_SHELF, AT: entry.time, TTL: ttl(entry.time)},
            )
        elif entry.kind is Kind.CLOSED:
            copy = self._copy_of(entry.session)
            self._set(entry.session, closed=entry.time, reason=entry.reason, copy=copy, **{TTL: ttl(entry.time)})

    def _set(self, session: str, **values: Any) -> None:
        """Attribute by attribute: a row that is told twice, or in another order, is the same."""
        self._table.update(
            {PARTITION: f"S#{session}", SORT: "S"},
            UpdateExpression="SET " + ", ".join(f"#{name} = :{name}" for name in values),
            **names(*values),
            **expression(**values),
        )


def shared(table: Table, wanted: Filter) -> list[Shared]:
    """The sessions of all replicas, newest first; by client and time. Raises StoreError."""
    found: list[Shared] = []
    for item in table.shelf(SESSION_SHELF, until=wanted.until or None, newest_first=True):
        row = _row(item)
        if row.opened < wanted.since or len(found) >= wanted.limit:
            break
        if wanted.client in {"", row.client} and wanted.cluster in {"", row.cluster}:
            found.append(row)
    return found


def _row(item: Item) -> Shared:
    texts = {name: str(item.get(name, "")) for name in ("client", "cluster", "reason", "replica", "copy")}
    times = {name: float(item.get(name, 0.0)) for name in ("opened", "closed")}
    return Shared(session=item[PARTITION].removeprefix("S#"), **texts, **times)  # type: ignore[arg-type]


def _number(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 0
