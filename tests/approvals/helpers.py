"""Questions and clocks for the tests of the approvals room."""

from __future__ import annotations

from pratique.approvals.fingerprint import fingerprint
from pratique.approvals.grants import Target
from pratique.approvals.store import Question, Summary
from pratique.verdict import ApprovalTerms

HOUR = 3600.0


def question(name="api", client="agent", terms=None, body="{}", *, session="", query=b"", effect=None, words=""):
    """A delete of the Deployment `name`."""
    path = f"/apis/apps/v1/namespaces/payments/deployments/{name}"
    marks = {"client": client, "cluster": "prod", "method": "DELETE", "path": path.encode()}
    words = words or f"delete Deployment payments/{name}"
    summary = Summary(words, "DELETE", path, body, ("p/r",), "deletes need a person", effect=effect)
    target = Target("delete", "apps", "deployments", "payments", name)
    terms = terms or ApprovalTerms(expires_after=HOUR)
    mark, intent = fingerprint(**marks, query=query), fingerprint(**marks, query=b"")
    return Question(mark, client, "prod", summary, terms, target, session, intent)


class VirtualTime:
    """A clock that moves when somebody sleeps. `await` it as `sleep`."""

    def __init__(self, now=1000.0):
        self.now = now

    def __call__(self):
        return self.now

    async def sleep(self, seconds):
        import asyncio

        self.now += seconds
        await asyncio.sleep(0)
