"""What is known about one recorded request and one session, as plain data.

Belongs here: `Record` (one line of a timeline), `Opened` (who a session belongs to), `Stage`. Not here: how they are
scrubbed (`scrub`), chained (`chain`) or written (`spool`). Every text in these values must have been scrubbed before:
they are stored in clear, indexed and exported.
"""

from __future__ import annotations

from enum import StrEnum

import msgspec

BODY_BYTES = 1 << 20
"""Of a body that are stored; size and SHA-256 tell the rest. A recorded 100 MB list is no help to an auditor."""


class Stage(StrEnum):
    """How far the request is when the record is written; the first three are those of audit.k8s.io/v1."""

    RECEIVED = "RequestReceived"
    STARTED = "ResponseStarted"
    COMPLETE = "ResponseComplete"
    EVENT = "Event"


class Record(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """One request, or one event of a long-lived one.

    `flow` joins the records of one request: its start, its events, its end. `started` and `ended` are seconds since the
    epoch; sizes are bytes; `*_sha256` is set only for what is *not* stored whole, and `*_cut` is then how many bytes
    are stored; the hash of a request is that of its masked body, never of a value. `verdict` is an Action of
    pratique.verdict; `status` is what the client was answered, `answered_by` is "gateway" or "upstream" (or nobody);
    `sent` says that it went to the cluster, whoever answered then. `observed` are the verdicts of policies that are only
    observed: name, action, rules. `masks` are ids of mask rules that hit. `own_calls` are Audit-IDs of the gateway's own
    calls about the request. `credential` is by what the client was authenticated: its kind, `:`, and what names it (the
    hash of a key, `jti`, a serial and thumbprint). `note` is one line of prose for the timeline.
    """

    flow: str = ""
    stage: Stage = Stage.COMPLETE
    audit_id: str = ""
    client: str = ""
    credential: str = ""
    cluster: str = ""
    method: str = ""
    path: str = ""
    query: str = ""
    verb: str = ""
    api_group: str = ""
    api_version: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    argv: tuple[str, ...] = ()
    verdict: str = ""
    rules: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()
    observed: tuple[str, ...] = ()
    message: str = ""
    approval_id: str = ""
    own_calls: tuple[str, ...] = ()
    masks: tuple[str, ...] = ()
    status: int = 0
    answered_by: str = ""
    sent: bool = False
    started: float = 0.0
    ended: float = 0.0
    request_bytes: int = 0
    request_cut: int = 0
    request_sha256: str = ""
    response_bytes: int = 0
    response_cut: int = 0
    response_sha256: str = ""
    user_agent: str = ""
    impersonated: str = ""
    source_ip: str = ""
    note: str = ""


class Opened(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """Whose session this is.

    `client` is authenticated; `claims` is what the client says about itself and could be a lie: `kubectl_session`,
    `user_agent`, `mcp_client`. `continues` is the id of the session that this one goes on with.
    """

    session: str
    client: str = ""
    cluster: str = ""
    source_ip: str = ""
    claims: dict[str, str] = {}
    continues: str = ""


def comment(record: Record) -> str:
    """The line that mitmweb shows beside a flow: verdict, rules, approval, masks, what is not stored, what was said."""
    cut = [
        f"{what}: {stored} of {size} bytes are stored, sha256 {digest}"
        for what, size, stored, digest in (
            ("request", record.request_bytes, record.request_cut, record.request_sha256),
            ("response", record.response_bytes, record.response_cut, record.response_sha256),
        )
        if stored
    ]
    parts = [
        f"{record.verdict or 'refused'} {' '.join(record.rules)}".strip(),
        f"approval {record.approval_id}" if record.approval_id else "",
        f"masked by {' '.join(record.masks)}" if record.masks else "",
        *cut,
        record.message,
        record.note,
    ]
    return " · ".join(part for part in parts if part)


def marker(record: Record) -> str:
    """The sign that mitmweb shows in front of a flow; empty for what was simply allowed."""
    if record.verdict == "RequireApproval":
        return ":raised_hand:"
    return ":no_entry_sign:" if record.answered_by == "gateway" else ""
