"""Whose role, and under which session name: one assumed role per gateway, per client, or per session of a client.

Belongs here: which role a behalf gets, the words in SourceIdentity and session tags that stand for the behalf. Not here:
asking STS (`eks_source`), keeping the sources (`sources`), the fields of the document (`clusters`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from pratique.behalf import Behalf
from pratique.documents import Document
from pratique.errors import DocumentError
from pratique.identity.assume_role import MAX_SESSION_NAME_CHARACTERS, role_session_name
from pratique.identity.clusters import EksSource

CLIENT, SESSION = "{client}", "{session}"
OWN_NAME = "pratique"


@dataclass(frozen=True, slots=True)
class AssumedRole:
    """What one source of tokens assumes. Callers that are given equal ones share the source."""

    role_arn: str
    session_name: str
    source_identity: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


def assumed_role(eks: EksSource, behalf: Behalf) -> AssumedRole:
    """The role for `behalf`. A client that names a role of its own never shares its session with another client."""
    named = behalf.client and (eks.assume != "gateway" or behalf.role_arn)
    client = behalf.client if named else OWN_NAME
    session = behalf.session if named and eks.assume == "session" else ""
    identity = eks.source_identity
    room = (
        MAX_SESSION_NAME_CHARACTERS - len(session) - 1 if session else None
    )  # the id is what is looked for: it stays whole
    return AssumedRole(
        behalf.role_arn or eks.role_arn,
        role_session_name(client[:room], session),
        None if identity is None else role_session_name(_filled(identity, client, session)),
        tuple((key, _filled(value, client, session)) for key, value in sorted(eks.session_tags.items())),
    )


def with_role(eks: EksSource, role: AssumedRole) -> EksSource:
    """`eks` as it is for one assumed role."""
    return msgspec.structs.replace(
        eks, role_arn=role.role_arn, source_identity=role.source_identity, session_tags=dict(role.tags)
    )


def role_errors(documents: Sequence[Document]) -> list[DocumentError]:
    """A client's own role is of use only where the gateway assumes roles."""
    clusters = [document for document in documents if document.kind == "Cluster"]
    if any("eks" in document.data.get("spec", {}) for document in clusters) or not clusters:  # type: ignore[operator]  # a mapping, by its header
        return []
    return [
        document.error(
            ("spec", "roleARN"),
            f"client `{document.name}` names a role, but the Cluster has no `eks`",
            "Remove `roleARN`, or let the Cluster's credential come from `eks`",
        )
        for document in documents
        if document.kind == "Client" and "roleARN" in document.data.get("spec", {})  # type: ignore[operator]  # as above
    ]


def _filled(text: str, client: str, session: str) -> str:
    return text.replace(CLIENT, client).replace(SESSION, session or client)
