"""Names and places of recordings below the state folder.

Belongs here: session ids, part names, file names. Nothing is opened, time and randomness are arguments; `states` looks which folders there are.

::

    STATE/keys/recorder.pem               Ed25519 key, 0600; recorder-<key id>.pub next to it
    STATE/recordings/.lock                held by the one writer
    STATE/recordings/sessions.chain       opens and closes of all sessions
    STATE/recordings/index.sqlite         derived from the chains, may be deleted
    STATE/recordings/2026-01-31/<session>.chain       journal: one hashed line per record
    STATE/recordings/2026-01-31/<session>.flow        mitmproxy flows
    STATE/recordings/2026-01-31/<session>.<id>.cast   asciicast v2 of one exec
    STATE/recordings/2026-01-31/<session>.<id>.events JSON lines of one watch or log
    STATE/recordings/2026-01-31/<file>.tail           what a crash left unfinished
    STATE/workers/1/{keys,recordings}/                the same of the second worker
"""

from __future__ import annotations

import base64
import re
from datetime import UTC, datetime
from pathlib import Path

from pratique.errors import RecordError

RECORDINGS = "recordings"
WORKERS = "workers"
SESSIONS_CHAIN = "sessions.chain"
INDEX = "index.sqlite"
LOCK = ".lock"
CHAIN_SUFFIX = ".chain"
TAIL_SUFFIX = ".tail"
FLOW = "flow"

RANDOM_BYTES = 10
"""80 random bits in a session id: no collision among any number of sessions in one millisecond."""

_SESSION = re.compile(r"\d{8}T\d{9}Z-[a-z2-7]{16}")
_PART = re.compile(r"flow|[a-z0-9][a-z0-9-]{0,63}\.(?:cast|events)")


def session_id(now: float, random: bytes) -> str:
    """`20260131T235959123Z-` and 16 base32 letters: sorts by time, safe as a file name.

    `now` is seconds since the epoch, `random` exactly RANDOM_BYTES bytes (ValueError otherwise).
    """
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a session id needs {RANDOM_BYTES} random bytes")
    moment = datetime.fromtimestamp(now, UTC)
    stamp = f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z"
    return f"{stamp}-{base64.b32encode(random).decode().lower()}"


def is_session_id(text: str) -> bool:
    """Whether `text` is an id as `session_id` makes them (and so can be part of a path)."""
    return _SESSION.fullmatch(text) is not None


def check_session_id(text: str) -> str:
    """The id itself. RecordError if it is none: an id that reached us from outside must not become a path."""
    if not is_session_id(text):
        raise RecordError(f"`{text!r}` is not a session id. Take one from `pratique sessions list`")
    return text


def is_part(text: str) -> bool:
    """Whether `text` names a data file of a session: `flow`, `<id>.cast`, `<id>.events`."""
    return _PART.fullmatch(text) is not None


def check_part(part: str) -> str:
    """The part name itself: `flow`, `<id>.cast`, `<id>.events` (id: a-z, 0-9, -). RecordError otherwise."""
    if not is_part(part):
        raise RecordError(f"`{part!r}` is not a part of a recording")
    return part


def events_part(flow: str) -> str:
    """The part that holds what the streamed response of `flow` (a flow's id) sent."""
    return check_part(f"{flow}.events")


def cast_part(flow: str) -> str:
    """The part that holds the terminal of `flow` (a flow's id)."""
    return check_part(f"{flow}.cast")


def day_of(session: str) -> str:
    """The folder of a session: the UTC day of its id, `2026-01-31`."""
    return f"{session[:4]}-{session[4:6]}-{session[6:8]}"


def worker_state(state: Path, worker: int) -> Path:
    """The state folder that a worker's recordings and their key are in: each has a chain of its own."""
    return state / WORKERS / str(worker) if worker else state


def states(state: Path) -> list[Path]:
    """Every folder that recordings of this gateway are in, the first worker's first."""
    others = (state / WORKERS).glob("*/" + RECORDINGS)
    return [state, *sorted((path.parent for path in others), key=lambda path: path.name.zfill(3))]


def recordings(state: Path) -> Path:
    """The folder of all recordings."""
    return state / RECORDINGS


def chain_path(state: Path, session: str) -> Path:
    """The journal of a session."""
    return recordings(state) / day_of(session) / f"{session}{CHAIN_SUFFIX}"


def part_path(state: Path, session: str, part: str) -> Path:
    """One data file of a session."""
    return recordings(state) / day_of(session) / f"{session}.{part}"
