"""I/O (asyncio): whole lists by own calls, page by page, and counts without the objects.

Belongs here: `continue`, `limit`, metadata instead of objects. Not here: what is listed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from pratique.kube.canonical import CanonicalRequest, canonicalise
from pratique.kube.forms import RawRequest
from pratique.kube.query import encode
from pratique.kube.rehearsal import OwnAnswer

MAX_LISTED = 5_000  # objects; ten pages. More are not shown to anybody, and a client asks for fewer
METADATA = b"application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"

type Send = Callable[[CanonicalRequest], Awaitable[OwnAnswer]]


@dataclass(frozen=True, slots=True)
class Listed:
    """`complete` is false beyond MAX_LISTED; `problem` is the cluster's text, unmasked, where it refused."""

    items: tuple[Any, ...] = ()
    complete: bool = True
    problem: str = ""


async def every(send: Send, request: CanonicalRequest) -> Listed:
    """All items of a list, their metadata only."""
    items: list[Any] = []
    token = ""
    while True:
        answer = await send(_page(request, token))
        if not answer.ok or not isinstance(answer.document, dict):
            return Listed(problem=_problem(answer))
        items += [item for item in answer.document.get("items") or () if isinstance(item, dict)]
        token = str((answer.document.get("metadata") or {}).get("continue") or "")
        if not token or len(items) >= MAX_LISTED:
            return Listed(tuple(items[:MAX_LISTED]), complete=not token)


async def count(send: Send, path: str) -> int | None:
    """How many objects a collection holds, by one item and `remainingItemCount`; None if the cluster refuses."""
    answer = await send(listing(path, (("limit", "1"),)))
    if not answer.ok or not isinstance(answer.document, dict):
        return None
    metadata = answer.document.get("metadata") or {}
    rest = metadata.get("remainingItemCount")
    if rest is None and metadata.get("continue"):
        found = await every(send, listing(path, (("limit", "500"),)))
        return len(found.items)
    return len(answer.document.get("items") or ()) + int(rest or 0)


def listing(path: str, pairs: tuple[tuple[str, str], ...] = ()) -> CanonicalRequest:
    """The GET of a collection, metadata only."""
    target = path.encode("ascii") + (b"?" + encode(sorted(pairs)) if pairs else b"")
    headers = ((b"Accept", b"application/json"), (b"Accept-Encoding", b"identity"), (b"Host", b"gateway"))
    return _metadata_only(canonicalise(RawRequest(b"GET", target, headers, b"")))


def _page(request: CanonicalRequest, token: str) -> CanonicalRequest:
    if not token:
        return _metadata_only(request)
    pairs = tuple(sorted({*(pair for pair in request.query if pair[0] != "continue"), ("continue", token)}))
    target = request.target.partition(b"?")[0] + b"?" + encode(pairs)
    return _metadata_only(replace(request, query=pairs, target=target))


def _metadata_only(request: CanonicalRequest) -> CanonicalRequest:
    headers = tuple((name, METADATA if name == b"Accept" else value) for name, value in request.headers)
    return replace(request, headers=headers)


def _problem(answer: OwnAnswer) -> str:
    message = answer.document.get("message") if isinstance(answer.document, dict) else None
    return f"{answer.code} {message or ''}".strip()
