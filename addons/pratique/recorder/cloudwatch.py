"""I/O: the API server's audit events out of CloudWatch Logs, where EKS writes them (log type `audit`).

Belongs here: the call and its pages. Not here: what is made of the events (`join`). boto3 is imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import msgspec

from pratique.errors import RecordError
from pratique.recorder.kms import why

STREAMS = "kube-apiserver-audit-"
"""What the names of EKS's log streams of audit events begin with (EKS user guide, "control plane logs")."""
CONNECT_SECONDS, READ_SECONDS, ATTEMPTS = 5, 30, 8
"""CloudWatch allows 25 FilterLogEvents calls a second of an account, so one is repeated when it is throttled."""


class Logs(Protocol):
    """One call of boto3's CloudWatch Logs client."""

    def filter_log_events(self, **arguments: Any) -> dict[str, Any]: ...


def client() -> Logs:
    """boto3's client of the default credential chain; needs `logs:FilterLogEvents` on the group."""
    import boto3  # noqa: PLC0415 - only for those whose audit log is there
    from botocore.config import Config  # noqa: PLC0415 - as boto3

    retries = {"total_max_attempts": ATTEMPTS, "mode": "standard"}
    config = Config(connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, retries=retries)
    made: Logs = boto3.session.Session().client("logs", config=config)
    return made


def events(group: str, since: float, logs: Logs | None = None) -> Iterator[dict[str, Any] | None]:
    """The audit events of a log group since then (seconds since the epoch), in CloudWatch's order.

    None for one that is no whole event: CloudWatch cuts what is longer than 256 KiB. Raises RecordError.
    """
    service = logs or client()
    decoder = msgspec.json.Decoder(dict[str, Any])
    asked: dict[str, Any] = {"logGroupName": group, "logStreamNamePrefix": STREAMS, "startTime": int(since * 1000)}
    while True:
        page = _page(service, group, asked)
        for each in page.get("events", ()):
            try:
                yield decoder.decode(each.get("message", ""))
            except msgspec.MsgspecError:
                yield None
        if not page.get("nextToken"):
            return
        asked["nextToken"] = page["nextToken"]


def _page(service: Logs, group: str, asked: dict[str, Any]) -> dict[str, Any]:
    try:
        return service.filter_log_events(**asked)
    except Exception as error:  # noqa: BLE001 - botocore's have no common base that is worth an import
        text = f"the log group `{group}` cannot be read: {why(error)}"
        remedy = "Is the group right (/aws/eks/CLUSTER/cluster), the region, and logs:FilterLogEvents allowed?"
        raise RecordError(f"{text}. {remedy}") from None
