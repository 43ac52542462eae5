"""Who is logged in, which decisions they may send once, and how often somebody may try a key.

Belongs here: sessions, nonces, the limit of attempts. Not here: cookies and headers (`api`), keys (`reviewers`). Pure but
for the randomness of tokens; time is an argument, seconds. In memory only: after a restart one logs in again.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import OrderedDict, deque
from dataclasses import dataclass, field

SESSION_SECONDS = 12 * 3600.0  # a working day
IDLE_SECONDS = 2 * 3600.0  # an open page asks every few seconds and stays; a closed one ends
MAX_SESSIONS = 1_000
NONCE_SECONDS = 900.0  # what was shown a quarter of an hour ago is looked at again before it is decided
MAX_NONCES = 5_000
ATTEMPTS = 10
ATTEMPT_SECONDS = 60.0
MAX_ADDRESSES = 10_000
ATTEMPTS_IN_ALL = 100  # in the same time, from wherever: a key cannot be guessed, but hashing costs
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """`key_sha256` is the key that opened it: with that key the session ends."""

    id: str
    reviewer: str
    key_sha256: str
    opened_at: float


class Sessions:
    """By the hash of their token: a memory dump of this table logs nobody in."""

    def __init__(self) -> None:
        self._sessions: OrderedDict[str, tuple[Session, float]] = OrderedDict()

    def open(self, reviewer: str, key_sha256: str, now: float) -> str:
        """The token of a new session, for the cookie."""
        token = secrets.token_urlsafe(TOKEN_BYTES)
        session = Session(secrets.token_hex(8), reviewer, key_sha256, now)
        self._sessions[_hash(token)] = (session, now)
        while len(self._sessions) > MAX_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def find(self, token: str, now: float) -> Session | None:
        """The session, if it has not ended; counts as use."""
        key = _hash(token)
        session, used_at = self._sessions.get(key, (None, 0.0))
        if session is None:
            return None
        if now - session.opened_at >= SESSION_SECONDS or now - used_at >= IDLE_SECONDS:
            del self._sessions[key]
            return None
        self._sessions[key] = (session, now)
        return session

    def close(self, token: str) -> None:
        self._sessions.pop(_hash(token), None)


class Nonces:
    """Each lets one caller send one decision about one subject, as it was shown."""

    def __init__(self) -> None:
        self._nonces: OrderedDict[str, tuple[str, str, str, float]] = OrderedDict()

    def issue(self, caller: str, subject: str, shown: str, now: float) -> str:
        """`caller` is a session or a key, `subject` an approval or grant, `shown` a digest of what they see."""
        nonce = secrets.token_urlsafe(TOKEN_BYTES)
        self._nonces[nonce] = (caller, subject, shown, now)
        while len(self._nonces) > MAX_NONCES:
            self._nonces.popitem(last=False)
        return nonce

    def use(self, nonce: str, caller: str, subject: str, shown: str, now: float) -> bool:
        """True once, for that caller and subject, if what was shown is what is. A wrong use uses it up, too."""
        found = self._nonces.pop(nonce, None)
        return found is not None and found[:3] == (caller, subject, shown) and now - found[3] < NONCE_SECONDS


@dataclass
class Attempts:
    """Failed attempts: `ATTEMPTS` from one address, `ATTEMPTS_IN_ALL` from all, in `ATTEMPT_SECONDS`."""

    _failed: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)
    _all: deque[float] = field(default_factory=deque)

    def wait_seconds(self, address: str, now: float) -> int:
        """0 if a key may be tried now, else for how long not."""
        waits = [self._wait(self._failed.get(address, deque()), ATTEMPTS, now)]
        waits.append(self._wait(self._all, ATTEMPTS_IN_ALL, now))
        return max(waits)

    def failed(self, address: str, now: float) -> None:
        self._failed.setdefault(address, deque(maxlen=ATTEMPTS)).append(now)
        self._failed.move_to_end(address)
        self._all.append(now)
        while len(self._all) > ATTEMPTS_IN_ALL:
            self._all.popleft()
        while len(self._failed) > MAX_ADDRESSES:
            self._failed.popitem(last=False)

    @staticmethod
    def _wait(failed: deque[float], limit: int, now: float) -> int:
        recent = [at for at in failed if now - at < ATTEMPT_SECONDS]
        return 0 if len(recent) < limit else int(ATTEMPT_SECONDS - (now - recent[-limit])) + 1


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()
