"""A request and its answer as the record that is stored: every text scrubbed, bodies as sizes.

Belongs here: `Record` out of what the gateway knows. Pure; time is an argument. Not here: the flow itself (`addon`), what is
scrubbed how (`scrub`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pratique.exchange import Exchange
from pratique.recorder.claims import user_agent
from pratique.recorder.record import BODY_BYTES, Record, Stage
from pratique.recorder.scrub import argv_of, scrub_path, scrub_query, scrub_value

MAX_METHOD = 32
"""Characters; the longest of Kubernetes is DELETE."""


@dataclass(frozen=True, slots=True)
class Sizes:
    """Of a body: its size; where not all of it is stored, how much is (`cut`), and the hash of all."""

    size: int = 0
    cut: int = 0
    sha256: str = ""

    @classmethod
    def of(cls, size: int, stored: int, sha256: str) -> Sizes:
        """The hash is kept only where something is missing."""
        return cls(size, stored, sha256) if stored < size else cls(size)


def sizes(body: bytes) -> Sizes:
    """Of a body of which the first BODY_BYTES are stored."""
    if len(body) <= BODY_BYTES:
        return Sizes(len(body))
    return Sizes(len(body), BODY_BYTES, hashlib.sha256(body).hexdigest())


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What the wire told, unscrubbed. `request` is of the masked body; `headers` are the request's, by lower-case name."""

    flow: str
    method: str
    target: str
    headers: Mapping[str, str]
    source_ip: str
    request_bytes: int
    request: Sizes
    status: int
    response: Sizes
    note: str


def describe(
    state: Exchange, told: Told, stage: Stage, cluster: str, *, now: float, mask: Callable[[str], str]
) -> Record:
    """The record of a request at `stage`, `now` being seconds since the epoch.

    `mask` is asked what of a query or an argument may be stored.
    """
    path, _, query = told.target.partition("?")
    verdict, refusal = state.verdict, state.refusal
    early = bool(state.answered) and not state.cleared  # the gateway's own 101
    answered_by = "gateway" if refusal or early else "upstream" if told.status else ""
    return Record(
        flow=told.flow,
        stage=stage,
        audit_id=state.audit_id,
        client=state.client.name if state.client else "",
        credential=scrub_value(str(state.proof)) if state.proof else "",
        cluster=cluster,
        method=scrub_value(told.method[:MAX_METHOD]),
        path=scrub_path(path),
        query=mask(scrub_query(query)),
        **_attributes(state),
        argv=tuple(map(mask, argv_of(query))),
        verdict=str(verdict.action) if verdict else "",
        rules=verdict.rules if verdict else (),
        errors=tuple(map(scrub_value, verdict.errors)) if verdict else (),
        observed=state.observed,
        message=scrub_value(refusal.message) if refusal else "",
        approval_id=_approval(state),
        masks=tuple(sorted(state.masked or (state.stream.hits if state.stream else {}))),
        status=told.status,
        answered_by=answered_by,
        sent=state.cleared,
        started=state.started,
        ended=now,
        request_bytes=told.request_bytes,
        request_cut=told.request.cut,
        request_sha256=told.request.sha256,
        response_bytes=told.response.size,
        response_cut=told.response.cut,
        response_sha256=told.response.sha256,
        user_agent=user_agent(told.headers),
        impersonated=state.account.user if state.account and state.cleared else "",
        source_ip=told.source_ip,
        own_calls=tuple(state.own_calls),
        note=scrub_value(told.note),
    )


def _attributes(state: Exchange) -> dict[str, Any]:
    """The request attributes; a name may be a token that somebody pasted, so they are scrubbed like any text."""
    if state.canonical is None:
        return {}
    found = state.canonical.attributes
    names = ("api_group", "api_version", "resource", "subresource", "namespace", "name")
    return {"verb": found.verb} | {name: scrub_value(getattr(found, name)) for name in names}


def _approval(state: Exchange) -> str:
    """The approval that was used, or the one that the client was told to wait for."""
    causes = state.refusal.causes if state.refusal else ()
    return state.approval or next((cause.message for cause in causes if cause.reason == "ApprovalID"), "")
