"""A canonical request and its verdict as the question that reviewers answer.

Belongs here: which fields of the request the fingerprint, the summary and the target take. Not here: masking (the
caller's `body` and `effect` are masked already), how the fingerprint is made (`fingerprint`). Relies on
`pratique.kube.canonical`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pratique.approvals.effects import Effect
from pratique.approvals.fingerprint import fingerprint, is_stream
from pratique.approvals.grants import Target
from pratique.approvals.store import Question, Summary
from pratique.approvals.words import escaped_name, escaped_prose, in_words
from pratique.kube.canonical import CanonicalRequest
from pratique.verdict import ApprovalTerms, Verdict

MAX_CLAIM_CHARACTERS = 256  # of a User-Agent and the like


@dataclass(frozen=True, slots=True)
class Asker:
    """Who asks. `name` is proved by a key, `source` is the address of the connection, `claims` is what they say."""

    name: str
    source: str = ""
    session: str = ""
    claims: Mapping[str, str] = field(default_factory=dict)


def question_from(
    asker: Asker,
    cluster: str,
    canonical: CanonicalRequest,
    verdict: Verdict,
    *,
    body: str = "",
    effect: Effect | None = None,
) -> Question:
    """`body`: the canonical body as reviewers may see it, masked."""
    mark, intent = _marks(asker.name, cluster, canonical)
    argv = tuple((canonical.options.get("podExecOptions") or {}).get("command") or ())
    summary = Summary(
        words=in_words(canonical.attributes, dry_run=canonical.dry_run, argv=argv, name=_name(canonical)),
        method=canonical.method,
        path=escaped_name(_path(canonical)),
        body=escaped_prose(body, line_breaks=True),
        rules=verdict.rules,
        message=verdict.message,
        claims={name: escaped_prose(value[:MAX_CLAIM_CHARACTERS]) for name, value in asker.claims.items()},
        source=asker.source,
        effect=effect,
    )
    terms = verdict.terms or ApprovalTerms()
    return Question(mark, asker.name, cluster, summary, terms, target_of(canonical), asker.session, intent)


def _path(canonical: CanonicalRequest) -> str:
    """Of a connection without the query: its command stands in the words, where it is masked."""
    attributes, target = canonical.attributes, canonical.target
    if is_stream(attributes.api_group, attributes.resource, attributes.subresource):
        target = target.partition(b"?")[0]
    return target.decode("latin-1")


def _marks(client: str, cluster: str, canonical: CanonicalRequest) -> tuple[str, str]:
    """The fingerprint, and the intent: the same without query and body."""
    attributes = canonical.attributes
    streams = is_stream(attributes.api_group, attributes.resource, attributes.subresource)
    path, _, query = canonical.target.partition(b"?")

    def mark(query: bytes, patch_type: str, body: bytes) -> str:
        return fingerprint(
            client=client,
            cluster=cluster,
            method=canonical.method,
            path=path,
            query=query,
            patch_type=patch_type,
            body=body,
            is_stream=streams,
        )

    # Of a PATCH the content type is the patch type; behind a proxy it may be anything and mean anything.
    return mark(query, "" if streams else canonical.content_type, canonical.body), mark(b"", "", b"")


def target_of(canonical: CanonicalRequest) -> Target:
    """What the request is about. Names are as the client spelt them: compare them, escape them to show them."""
    attributes = canonical.attributes
    if not attributes.is_resource_request:
        return Target(attributes.verb, name=attributes.path, dry_run=canonical.dry_run)
    resource = f"{attributes.resource}/{attributes.subresource}" if attributes.subresource else attributes.resource
    name = _name(canonical)
    return Target(attributes.verb, attributes.api_group, resource, attributes.namespace, name, canonical.dry_run)


def _name(canonical: CanonicalRequest) -> str:
    """Of a create the name is in the body; "" where the server makes it (`generateName`)."""
    attributes, document = canonical.attributes, canonical.document
    if attributes.name or attributes.verb != "create" or not isinstance(document, dict):
        return attributes.name
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    return name if isinstance(name, str) else ""
