"""Questions and clocks for the tests of the approvals room."""

from __future__ import annotations

import threading

from pratique.approvals.deciding import Decision
from pratique.approvals.fingerprint import fingerprint
from pratique.approvals.grants import Target
from pratique.approvals.store import Question, Summary
from pratique.verdict import ApprovalTerms

HOUR = 3600.0
NOW = 1_000_000.0


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


def approved(store, asked=None, now=NOW):
    approval = store.ask(asked or question(), now)
    return store.decide(approval.id, Decision.APPROVE, "alice", "", now)


def use(store, approval, now=NOW):
    return store.consume(approval.id, approval.question.fingerprint, approval.client, now)


def in_threads(count, work):
    barrier, outcomes = threading.Barrier(count), []

    def run(index):
        barrier.wait(10)
        outcomes.append(work(index))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return outcomes
