"""I/O: `pratique replay --against`: a session's reads sent again to a test cluster, and the statuses compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kubernetes import config
from urllib3.exceptions import HTTPError

from pratique.cli.output import print_json, table
from pratique.errors import StartError
from pratique.recorder.reads import Read, read
from pratique.recorder.sessions import Recordings
from pratique.recorder.timeline import rows

TIMEOUT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A read and what it was answered now; 0 where nothing was sent."""

    read: Read
    now: int = 0

    @property
    def result(self) -> str:
        if not self.read.target:
            return "skipped"
        return "same" if self.now == self.read.row.status else "different"

    def as_json(self) -> dict[str, Any]:
        row = self.read.row
        return {"result": self.result, "recorded": row.status, "now": self.now, "request": row.words, "path": row.path,
                "reason": self.read.reason, "auditID": row.audit_id}  # fmt: skip


class Cluster:
    """A client of the cluster that a kubeconfig names. It can only GET. StartError when it cannot be used."""

    def __init__(self, kubeconfig: Path, context: str | None) -> None:
        try:
            self._api: Any = config.new_client_from_config(str(kubeconfig), context=context)
        except Exception as error:  # noqa: BLE001 - whatever stands in the file; a text of the parser may quote a token
            said = str(error) if isinstance(error, config.ConfigException) else type(error).__name__
            raise StartError(f"`{kubeconfig}` cannot be used: {' '.join(said.split())}") from None

    def status(self, target: str) -> int:
        """The status that a GET of `target` is answered with; the body is not read."""
        api = self._api
        headers = {"Accept": "application/json", "User-Agent": "pratique-replay"}
        api.update_params_for_auth(headers, [], ["BearerToken"])
        url = api.configuration.host.rstrip("/") + target
        try:
            answer = api.rest_client.pool_manager.request(
                "GET",
                url,
                headers=headers,
                preload_content=False,
                redirect=False,
                retries=False,
                timeout=TIMEOUT_SECONDS,
            )
        except HTTPError as error:
            raise StartError(f"the cluster did not answer: {type(error).__name__}") from None
        answer.close()
        return int(answer.status)


def outcomes(recordings: Recordings, session: str, cluster: Cluster) -> Iterator[Outcome]:
    """Every request of the session, in order; the reads among them are sent."""
    parts = [path.name.removeprefix(f"{session}.") for path in recordings.parts(session)]
    for row in rows(recordings.timeline(session), parts):
        item = read(row)
        yield Outcome(item, cluster.status(item.target)) if item.target else Outcome(item)


def compare(recordings: Recordings, session: str, kubeconfig: Path, context: str | None, output: str) -> int:
    """Prints the comparison; 1 if a status differs."""
    found = list(outcomes(recordings, session, Cluster(kubeconfig, context)))
    different = sum(item.result == "different" for item in found)
    if output == "json":
        print_json([item.as_json() for item in found])
    else:
        table(
            ["RESULT", "RECORDED", "NOW", "REQUEST", "WHY"],
            [(i.result, i.read.row.status, i.now or "", i.read.row.words, i.read.reason) for i in found],
        )
    return 1 if different else 0
