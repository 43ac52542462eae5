"""What the sandbox remembers of each request it received, for tests and as audit lines (audit.k8s.io/v1).

Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pratique.sandbox.authenticator import User
from pratique.sandbox.reviews import user_info
from pratique.sandbox.store import rfc3339

JSON = dict[str, Any]


@dataclass(slots=True)
class RecordedRequest:
    """One request as it arrived. `headers` keep order, case and repeats; `code` is 0 until answered."""

    method: str
    uri: str
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(default=b"", repr=False)
    received: float = 0.0
    user: User | None = None
    audit_id: str = ""
    code: int = 0

    @property
    def path(self) -> str:
        return self.uri.partition("?")[0]

    @property
    def query(self) -> str:
        return self.uri.partition("?")[2]

    def header(self, name: str) -> str | None:
        """The first value of a header, by any case."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def audit(self) -> JSON:
        """An audit event of level Metadata, stage ResponseComplete."""
        return {
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": "Metadata",
            "auditID": self.audit_id,
            "stage": "ResponseComplete",
            "requestURI": self.uri,
            "verb": self.method.lower(),
            "user": user_info(self.user) if self.user else {"username": "system:anonymous"},
            "userAgent": self.header("user-agent") or "",
            "responseStatus": {"metadata": {}, "code": self.code},
            "requestReceivedTimestamp": rfc3339(self.received),
        }


@dataclass(frozen=True, slots=True)
class Scripted:
    """An answer that is given word for word; each of `chunks` is sent by itself."""

    chunks: tuple[bytes, ...]
    code: int = 200
    headers: tuple[tuple[str, str], ...] = (("Content-Type", "application/json"),)
