"""I/O: the index of recordings, SQLite (WAL), derived from the journals.

Belongs here: finding sessions and requests by client, time, namespace, verb, verdict, approval. Not here: the truth:
that is the journals. The index may be deleted at any time: `catch_up` reads what it has not seen yet, and starts over
when its schema is another. Not on the path of a request: a failing index stops no traffic.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from pratique.errors import RecordError
from pratique.recorder import layout
from pratique.recorder.chain import Entry, Kind, parse_line
from pratique.recorder.filters import MAX_ROWS, REFUSED, Filter, text_of
from pratique.recorder.record import Stage

SCHEMA_VERSION = 2
_TABLES = ("progress", "sessions", "requests", "parts")
BUSY_SECONDS = 5.0
"""How long to wait for another reader that is catching up."""

_SCHEMA = """
CREATE TABLE progress (session TEXT PRIMARY KEY, bytes INTEGER NOT NULL, done INTEGER NOT NULL);
CREATE TABLE sessions (
  session TEXT PRIMARY KEY, client TEXT, cluster TEXT, source_ip TEXT, opened REAL, closed REAL, reason TEXT,
  last REAL, requests INTEGER NOT NULL DEFAULT 0, bytes INTEGER NOT NULL DEFAULT 0,
  kubectl_session TEXT, user_agent TEXT, mcp_client TEXT, continues TEXT);
CREATE INDEX sessions_opened ON sessions (opened);
CREATE INDEX sessions_kubectl ON sessions (kubectl_session);
CREATE TABLE requests (
  session TEXT NOT NULL, n INTEGER NOT NULL, flow TEXT, stage TEXT, time REAL, client TEXT, cluster TEXT, verb TEXT,
  api_group TEXT, resource TEXT, subresource TEXT, namespace TEXT, name TEXT, method TEXT, path TEXT, verdict TEXT,
  rules TEXT, status INTEGER, audit_id TEXT, approval_id TEXT, duration REAL, text TEXT, PRIMARY KEY (session, n));
CREATE TABLE parts (session TEXT NOT NULL, part TEXT NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (session, part));
CREATE INDEX requests_time ON requests (time);
CREATE INDEX requests_flow ON requests (session, flow);
CREATE INDEX requests_approval ON requests (approval_id) WHERE approval_id != '';
CREATE INDEX requests_audit ON requests (audit_id) WHERE audit_id != '';
"""


@dataclass(frozen=True, slots=True)
class SessionRow:
    """One session as listed. `closed` is 0 while it is open; verbs, namespaces, …, parts are distinct and sorted."""

    session: str
    client: str
    cluster: str
    opened: float
    closed: float
    reason: str
    requests: int
    bytes: int
    kubectl_session: str
    user_agent: str
    mcp_client: str
    verbs: tuple[str, ...]
    namespaces: tuple[str, ...]
    verdicts: tuple[str, ...]
    approvals: tuple[str, ...]
    parts: tuple[str, ...]


class Index:
    """`with Index(state) as index: index.catch_up(); index.sessions(Filter(…))`. RecordError when it cannot be used."""

    def __init__(self, state: Path) -> None:
        self._state = state
        path = layout.recordings(state) / layout.INDEX
        try:
            self._db = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
            path.chmod(0o600)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=NORMAL")
            self._prepare()
        except (sqlite3.Error, OSError) as error:
            raise RecordError(f"the index `{path}` cannot be used: {error}. It may be deleted") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._db.close()

    def _prepare(self) -> None:
        if self._db.execute("PRAGMA user_version").fetchone()[0] == SCHEMA_VERSION:
            return
        self._db.execute("BEGIN IMMEDIATE")
        for table in _TABLES:
            self._db.execute(f"DROP TABLE IF EXISTS {table}")
        for statement in filter(str.strip, _SCHEMA.split(";")):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._db.execute("COMMIT")

    # Reading journals

    def catch_up(self) -> int:
        """Takes in what the journals have gained, forgets sessions that are gone; returns the number of new entries."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                count = self._catch_up()
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            raise RecordError(f"the index cannot be brought up to date: {error}") from error
        return count

    def _catch_up(self) -> int:
        progress = {row[0]: row[1:] for row in self._db.execute("SELECT session, bytes, done FROM progress")}
        count = 0
        for path in sorted(layout.recordings(self._state).glob(f"*/*{layout.CHAIN_SUFFIX}")):
            session = path.name.removesuffix(layout.CHAIN_SUFFIX)
            seen, done = progress.pop(session, (0, 0))
            if not done and layout.is_session_id(session):
                count += self._read(session, path, seen)
        for session in progress:
            self._forget(session)
        return count

    def _forget(self, session: str) -> None:
        for table in _TABLES:
            self._db.execute(f"DELETE FROM {table} WHERE session = ?", (session,))  # noqa: S608 - three constants

    def _read(self, session: str, path: Path, seen: int) -> int:
        if path.stat().st_size < seen:
            self._forget(session)
            seen = 0
        with path.open("rb") as file:
            file.seek(seen)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        done = False
        entries = [parsed[0] for line in data[:whole].split(b"\n")[:-1] if (parsed := parse_line(line))]
        for entry in entries:
            self._take(session, entry)
            done = done or entry.kind is Kind.CLOSED
        # the checkpoint behind the closing entry need not be read: nothing of it is indexed
        self._db.execute("REPLACE INTO progress VALUES (?, ?, ?)", (session, seen + whole, done))
        return len(entries)

    def _take(self, session: str, entry: Entry) -> None:
        if entry.opened is not None:
            opened, claims = entry.opened, entry.opened.claims
            self._db.execute(
                "REPLACE INTO sessions (session, client, cluster, source_ip, opened, closed, reason, last,"
                " kubectl_session, user_agent, mcp_client, continues) VALUES (?,?,?,?,?,0,'',?,?,?,?,?)",
                (session, opened.client, opened.cluster, opened.source_ip, entry.time, entry.time,
                 *(claims.get(name, "") for name in ("kubectl_session", "user_agent", "mcp_client")), opened.continues),
            )  # fmt: skip
        elif entry.kind is Kind.CLOSED:
            self._db.execute(
                "UPDATE sessions SET closed = ?, reason = ? WHERE session = ?", (entry.time, entry.reason, session)
            )
        elif entry.kind is Kind.RECORD:
            self._record(session, entry)

    def _record(self, session: str, entry: Entry) -> None:
        record = entry.record
        new = record is not None and record.stage is not Stage.EVENT
        if record is not None and new and record.flow:
            values = (session, record.flow)
            new = not self._db.execute("DELETE FROM requests WHERE session = ? AND flow = ?", values).rowcount
        self._db.execute(
            "UPDATE sessions SET last = ?, bytes = bytes + ?, requests = requests + ? WHERE session = ?",
            (entry.time, entry.length, new, session),
        )
        if entry.part:
            self._db.execute(
                "INSERT INTO parts VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET bytes = bytes + excluded.bytes",
                (session, entry.part, entry.length),
            )
        if record is None or record.stage is Stage.EVENT:
            return
        self._db.execute(
            f"REPLACE INTO requests VALUES ({','.join('?' * 22)})",  # noqa: S608 - only question marks
            (session, entry.n, record.flow, record.stage, record.started or entry.time, record.client, record.cluster,
             record.verb, record.api_group, record.resource, record.subresource, record.namespace, record.name,
             record.method, record.path, record.verdict or REFUSED, " ".join(record.rules), record.status, record.audit_id,
             record.approval_id, max(record.ended - record.started, 0.0), text_of(record)),
        )  # fmt: skip

    # Asking

    def sessions(self, wanted: Filter) -> list[SessionRow]:
        """The sessions with at least one matching request (or, without request filters, all), newest first."""
        where, values = _session_where(wanted)
        inner, more = _request_where(wanted)
        if inner:
            where.append(f"s.session IN (SELECT r.session FROM requests r{_where(inner)})")  # noqa: S608 - values are bound
        sql = f"SELECT {_LISTED} FROM sessions s{_where(where)} ORDER BY opened DESC, session DESC LIMIT ?"  # noqa: S608 - values are bound
        rows = self._ask(sql, [*values, *more, min(wanted.limit, MAX_ROWS)])
        return [SessionRow(*row, *self._gathered(row[0])) for row in rows]

    def _gathered(self, session: str) -> tuple[tuple[str, ...], ...]:
        return (*(self._distinct(session, name) for name in _DISTINCT), self._parts(session))

    def _parts(self, session: str) -> tuple[str, ...]:
        return tuple(row[0] for row in self._ask("SELECT part FROM parts WHERE session = ? ORDER BY 1", [session]))

    def _distinct(self, session: str, column: str) -> tuple[str, ...]:
        sql = f"SELECT DISTINCT {column} FROM requests WHERE session = ? AND {column} != '' ORDER BY 1"  # noqa: S608 - constants
        return tuple(row[0] for row in self._ask(sql, [session]))

    def requests(self, wanted: Filter) -> list[dict[str, Any]]:
        """Matching requests over all sessions, oldest first, as column → value (`session` and `n` find the entry)."""
        inner, values = _request_where(wanted)
        where, more = _session_where(wanted)
        if where:
            inner.append(f"r.session IN (SELECT session FROM sessions s{_where(where)})")  # noqa: S608 - values are bound
        sql = f"SELECT r.* FROM requests r{_where(inner)} ORDER BY time, n LIMIT ?"  # noqa: S608 - values are bound
        cursor = self._ask(sql, [*values, *more, min(wanted.limit, MAX_ROWS)])
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor]

    def _ask(self, sql: str, values: list[Any]) -> sqlite3.Cursor:
        try:
            return self._db.execute(sql, values)
        except sqlite3.Error as error:
            raise RecordError(f"the index cannot be read: {error}") from error


_LISTED = "session, client, cluster, opened, closed, reason, requests, bytes, kubectl_session, user_agent, mcp_client"
_DISTINCT = ("verb", "namespace", "verdict", "approval_id")


def _where(conditions: list[str]) -> str:
    """Conditions are constants of this module."""
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""


def _session_where(wanted: Filter) -> tuple[list[str], list[Any]]:
    pairs = [
        ("s.client = ?", wanted.client),
        ("s.cluster = ?", wanted.cluster),
        ("s.kubectl_session = ?", wanted.kubectl_session),
        ("s.last >= ?", 0.0 if wanted.asks_requests else wanted.since),
        ("s.opened < ?", 0.0 if wanted.asks_requests else wanted.until),
    ]
    return [sql for sql, value in pairs if value], [value for _, value in pairs if value]


def _request_where(wanted: Filter) -> tuple[list[str], list[Any]]:
    resource, _, subresource = wanted.resource.partition("/")
    pairs = [
        ("r.time >= ?", wanted.since if wanted.asks_requests else 0.0),
        ("r.time < ?", wanted.until if wanted.asks_requests else 0.0),
        ("r.verb = ?", wanted.verb),
        ("r.resource = ?", resource),
        ("r.subresource = ?", subresource),
        ("r.namespace = ?", wanted.namespace),
        ("r.verdict = ?", wanted.verdict),
        ("r.approval_id = ?", wanted.approval_id),
        ("r.audit_id = ?", wanted.audit_id),
        ("instr(lower(r.text), lower(?)) > 0", wanted.grep),
    ]
    return [sql for sql, value in pairs if value], [value for _, value in pairs if value]
