"""Questions and clocks for the tests of the approvals room."""

from __future__ import annotations

from pratique.approvals.fingerprint import fingerprint
from pratique.approvals.store import Question, Summary
from pratique.verdict import ApprovalTerms

HOUR = 3600.0


def question(name="api", client="agent", terms=None, body="{}"):
    """A delete of the Deployment `name`."""
    path = f"/apis/apps/v1/namespaces/payments/deployments/{name}"
    mark = fingerprint(client=client, cluster="prod", method="DELETE", path=path.encode(), query=b"")
    summary = Summary(f"delete Deployment payments/{name}", "DELETE", path, body, ("p/r",), "deletes need a person")
    return Question(mark, client, "prod", summary, terms or ApprovalTerms(expires_after=HOUR))


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
