"""A request, a policy and an answer, as somebody pasted them: what the gateway would make of them.

Belongs here: reading what was pasted, putting the policy in its place, the outcome as JSON. Pure. Not here: the engine
(`pratique.policy`, `pratique.masking`), the forms of a request (`pratique.cli.asked`, `kubectl_line`), files (`playground`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import click

from pratique.cli.asked import Asked, curl_line, curl_request, request
from pratique.cli.explain import Judge
from pratique.cli.kubectl_line import kubectl_line
from pratique.cli.mask import masked_answer
from pratique.documents import Document
from pratique.documents.document import parse
from pratique.documents.folder import duplicates
from pratique.errors import DocumentErrors, PratiqueError
from pratique.identity.clients import Clients
from pratique.kube.attributes import request_attributes
from pratique.kube.forms import NotARequest, from_corpus
from pratique.kube.status import harmless
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.rules import compile_masks
from pratique.policy.decision import compile_policies

MAX_STEPS = 20
"""Requests of one kubectl command that are shown; discovery is not among them."""
PASTED = "policy"
"""The name of the pasted text in errors: `policy:3:5: …`."""
KINDS = frozenset({"Policy", "MaskPolicy"})


@dataclass(frozen=True, slots=True)
class Pasted:
    """What stands in the fields of the page.

    `policy`: Policy and MaskPolicy documents that stand in for those of the same name; `alone`: and for all others of
    their kind. `answer`: what the cluster would say, to be masked.
    """

    request: str
    policy: str = ""
    client: str = ""
    answer: str = ""
    alone: bool = False


def try_out(documents: Sequence[Document], pasted: Pasted) -> dict[str, Any]:
    """What the page shows: `problems` of the policy, `problem` of the request, else `steps` and `masked`.

    Never raises for what was pasted.
    """
    outcome: dict[str, Any] = {"problems": [], "problem": "", "steps": [], "masked": None}
    try:
        changed = with_policy(documents, pasted)
        judge = Judge(compile_policies(changed), Clients.from_documents(changed), pasted.client)
        masks = compile_masks(changed)
    except DocumentErrors as errors:
        return outcome | {"problems": [harmless(str(error)) for error in errors.errors]}
    if not pasted.request.strip():
        return outcome
    try:
        asked = read_request(pasted.request)[:MAX_STEPS]
    except (click.UsageError, NotARequest, ValueError, RecursionError) as error:
        return outcome | {"problem": harmless(_said(error))}
    steps = [_step(one, judge.explain(one)) for one in asked]
    if pasted.answer.strip() and asked:
        outcome["masked"] = _masked(
            asked[-1], pasted, lambda attributes, client: Masker(masks, attributes, client, KnownValues())
        )
    return outcome | {"steps": steps}


def with_policy(documents: Sequence[Document], pasted: Pasted) -> list[Document]:
    """Raises DocumentErrors for what was pasted."""
    if not pasted.policy.strip():
        return list(documents)
    own = parse(pasted.policy, PASTED, KINDS)
    if problems := duplicates(own):
        raise DocumentErrors(problems)
    named = {(each.kind, each.name) for each in own}
    kinds = {each.kind for each in own} if pasted.alone else set[str]()
    kept = [each for each in documents if each.kind not in kinds and (each.kind, each.name) not in named]
    return [*kept, *own]


def read_request(text: str) -> list[Asked]:
    """A kubectl or curl command, a path, one line of JSON, or the text of an HTTP request.

    Raises click.UsageError, NotARequest, ValueError with what to do.
    """
    text = text.strip()
    first = text.split(maxsplit=1)[0]
    if first == "kubectl":
        return list(kubectl_line(_words(text)[1:]))
    if first == "curl":
        return [curl_line(_words(text)[1:])]
    if text.startswith("{"):
        found = json.loads(text)
        return [Asked(found.get("id") or "the request", from_corpus(found))]
    if text.startswith("/") or first.startswith("https://"):
        return [curl_request(first, "", (), ())]
    return [_http(text)]


def _words(text: str) -> list[str]:
    return shlex.split(text.replace("\\\n", " "))


def _http(text: str) -> Asked:
    head, _, body = text.replace("\r\n", "\n").partition("\n\n")
    line, *lines = head.split("\n")
    method, _, rest = line.partition(" ")
    target = rest.strip().removesuffix(" HTTP/1.1").removesuffix(" HTTP/2").strip()
    if not target.startswith("/"):
        raise ValueError(
            "this is no request. Paste a kubectl or curl command, a path, or `METHOD /path` with headers below it"
        )
    headers = [tuple(part.strip() for part in each.partition(":")[::2]) for each in lines if each.strip()]
    if body and not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("Content-Type", "application/json"))
    return Asked(f"{method} {target}", request(method, target, headers, body))  # type: ignore[arg-type]  # pairs


def _said(error: Exception) -> str:
    if isinstance(error, click.UsageError):
        return error.message
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}: {error.msg}"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)


def _step(asked: Asked, result: dict[str, Any]) -> dict[str, Any]:
    """Texts that quote what was pasted are escaped: the page shows text only, and so does a terminal."""
    explanation = result.get("explanation") or {}
    verdict = explanation.get("verdict") or {}
    canonical = result["canonical"] or {}
    return {
        "label": harmless(str(asked.label)),
        "step": harmless(asked.step),
        "assumed": [harmless(text) for text in asked.assumed],
        "refused": result["refused"],
        "attributes": result["attributes"],
        "sent": harmless(f"{canonical['method']} {canonical['target']}") if canonical else "",
        "action": result["verdict"]["action"],
        "rules": result["verdict"]["rules"],
        "errors": [harmless(text) for text in result["verdict"]["errors"]],
        "message": harmless(verdict.get("message") or ""),
        "considered": [
            {key: rule[key] for key in ("rule", "action", "matched", "reason", "position")}
            for rule in sorted(explanation.get("rules", ()), key=lambda rule: not rule["matched"])
        ],
        "observed": explanation.get("observed", []),
    }


def _masked(asked: Asked, pasted: Pasted, masker: Any) -> dict[str, Any]:
    """`body` as the client would get it; `hits`: rule → how often."""
    attributes = request_attributes(asked.raw.method.decode("latin-1"), asked.raw.target)
    client = pasted.client or "demo"
    try:
        body, hits = masked_answer(masker(attributes, client), attributes, "", pasted.answer.encode())
    except PratiqueError as error:
        return {"body": "", "hits": {}, "problem": harmless(str(error))}
    return {"body": body.decode("utf-8", "replace"), "hits": hits, "problem": ""}
