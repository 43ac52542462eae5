"""A canonical request and its verdict as the question that reviewers answer.

Belongs here: which fields of the request the fingerprint and the summary take. Not here: masking (the caller's `body`
is masked already), how the fingerprint is made (`fingerprint`). Relies on `pratique.kube.canonical`.
"""

from __future__ import annotations

from collections.abc import Mapping

from pratique.approvals.fingerprint import fingerprint, is_stream
from pratique.approvals.store import Question, Summary
from pratique.approvals.words import escaped_name, escaped_prose, in_words
from pratique.kube.canonical import CanonicalRequest
from pratique.verdict import ApprovalTerms, Verdict

MAX_CLAIM_CHARACTERS = 256  # of a User-Agent and the like


def question_from(
    client: str,
    cluster: str,
    canonical: CanonicalRequest,
    verdict: Verdict,
    *,
    body: str = "",
    claims: Mapping[str, str] | None = None,
) -> Question:
    """`body`: the canonical body as reviewers may see it, masked. `claims`: what the client says of itself."""
    attributes = canonical.attributes
    path, _, query = canonical.target.partition(b"?")
    streams = is_stream(attributes.api_group, attributes.resource, attributes.subresource)
    mark = fingerprint(
        client=client,
        cluster=cluster,
        method=canonical.method,
        path=path,
        query=query,
        # Of a PATCH the content type is the patch type; behind a proxy it may be anything and mean anything.
        patch_type="" if streams else canonical.content_type,
        body=canonical.body,
        is_stream=streams,
    )
    summary = Summary(
        words=in_words(attributes, dry_run=canonical.dry_run, argv=tuple(canonical.options.get("command") or ())),
        method=canonical.method,
        path=escaped_name(canonical.target.decode("latin-1")),
        body=escaped_prose(body, line_breaks=True),
        rules=verdict.rules,
        message=verdict.message,
        claims={name: escaped_prose(value[:MAX_CLAIM_CHARACTERS]) for name, value in (claims or {}).items()},
    )
    return Question(mark, client, cluster, summary, verdict.terms or ApprovalTerms())
