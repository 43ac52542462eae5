"""Cases of policies: a request, and the verdict that it must get. `*.cases.yaml`, kind PolicyCases.

Belongs here: the format, running cases against a PolicySet. Not here: files (`pratique.documents.folder`; recorded flows
are read by the caller), the report of a whole folder (`check.py`). Each case goes through `pratique.kube.canonical`, as a
request does.

::

    apiVersion: pratique/v1
    kind: PolicyCases
    metadata: {name: read-only}
    spec:
      client: viewer-1                  # of cases that name none
      cases:
      - name: a list of pods
        request: {method: GET, path: /api/v1/pods}
        expect: {action: Allow, rules: [read-only/read], why: reading is what it is for}
      - name: an exec
        request: {verb: create, resource: pods/exec, namespace: dev, name: web, command: [sh, -c, id], stdin: true}
        expect: {action: Deny}
      - name: what an agent did on Monday
        request: {flow: {file: monday.flow, auditID: 5c7d…}}
        expect: {action: RequireApproval}

`rules`, where given, must be the deciding rules exactly. `action: Refused` is a request that is refused before policy.
What the cluster would say goes with the request: `result` of a patch, `oldObject` (null: there is none) and
`namespaceLabels`; a rule that needs one that is not given denies, as it does without a cluster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

import msgspec

from pratique.documents import Document, parse
from pratique.errors import DocumentError, DocumentErrors, Position, PratiqueError, Refused
from pratique.kube.canonical import canonicalise
from pratique.kube.forms import RawRequest
from pratique.policy.decision import PolicySet
from pratique.policy.request import ABSENT, PolicyRequest
from pratique.verdict import Verdict

KIND = "PolicyCases"
REFUSED = "Refused"

_METHODS = {
    "get": "GET",
    "list": "GET",
    "watch": "GET",
    "create": "POST",
    "update": "PUT",
    "patch": "PATCH",
    "apply": "PATCH",
    "delete": "DELETE",
    "deletecollection": "DELETE",
}
_COLLECTIONS = frozenset({"list", "watch", "deletecollection"})
_MEDIA = {
    "json-patch": "application/json-patch+json",
    "merge-patch": "application/merge-patch+json",
    "strategic-merge-patch": "application/strategic-merge-patch+json",
    "apply-patch": "application/apply-patch+yaml",
}
_STREAMS = {"exec": "v5.channel.k8s.io", "attach": "v5.channel.k8s.io", "portforward": "SPDY/3.1+portforward.k8s.io"}
_SPDY_STREAMS = {**_STREAMS, "portforward": "portforward.k8s.io"}
_SPDY = {"connection": "Upgrade", "upgrade": "SPDY/3.1"}
_WEBSOCKET = {
    "connection": "Upgrade",
    "upgrade": "websocket",
    "sec-websocket-version": "13",
    "sec-websocket-key": "AAAAAAAAAAAAAAAAAAAAAA==",
}

Text = Annotated[str, msgspec.Meta(min_length=1)]


class FlowReference(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One request of a recorded flow file: by its Audit-ID, or the `index`-th of the file (from 1)."""

    file: Text
    audit_id: str = msgspec.field(default="", name="auditID")
    index: Annotated[int, msgspec.Meta(ge=0)] = 0


class CaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """One of: `method` and `path` (with its query) and `headers`; `verb` and `resource` and what goes with them; `flow`.

    `result` is what the gateway's dry run of a patch would answer, `oldObject` the live object.
    """

    method: str = ""
    path: str = ""
    headers: dict[str, str] = {}
    verb: Literal["", "get", "list", "watch", "create", "update", "patch", "apply", "delete", "deletecollection"] = ""
    resource: str = ""
    api_group: str = ""
    api_version: str = "v1"
    namespace: str = ""
    name: str = ""
    patch_type: Literal["json-patch", "merge-patch", "strategic-merge-patch"] = "strategic-merge-patch"
    command: tuple[str, ...] = ()
    stdin: bool = False
    tty: bool = False
    dry_run: bool = False
    body: Any = None
    flow: FlowReference | None = None
    result: Any = None
    old_object: Any = msgspec.UNSET
    namespace_labels: dict[str, str] | None = None


class Expect(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    action: Literal["Allow", "RequireApproval", "Deny", "Refused"]
    rules: tuple[str, ...] | None = None
    errors: bool = False
    why: str = ""


class CaseSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    name: Text
    request: CaseRequest
    expect: Expect
    client: str = ""
    labels: dict[str, str] = {}


class CasesSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    cases: tuple[CaseSpec, ...]
    client: str = ""
    description: str = ""


type Recorded = Callable[[Path, FlowReference], RawRequest]


@dataclass(frozen=True, slots=True)
class Case:
    """One case, with its client filled in and the place where it stands."""

    name: str
    client: str
    spec: CaseSpec
    position: Position
    recorded: RawRequest | None = None


@dataclass(frozen=True, slots=True)
class CaseResult:
    """`verdict` is None for a request that was refused before policy; `problem` is "" for a case that passes.

    `reached` are the rules that matched, deciding or not.
    """

    case: Case
    verdict: Verdict | None
    refused: str
    reached: frozenset[str]
    problem: str

    @property
    def passed(self) -> bool:
        return not self.problem


def parse_cases(text: str, file: str, recorded: Recorded | None = None) -> list[Case]:
    """The cases of one file. `recorded` reads a request of a flow file. Raises DocumentErrors."""
    cases: list[Case] = []
    for document in parse(text, file, kinds={KIND}):
        cases += _cases(document, recorded)
    return cases


def _cases(document: Document, recorded: Recorded | None) -> list[Case]:
    spec = document.convert(("spec",), CasesSpec)
    errors: list[DocumentError] = []
    cases: list[Case] = []
    for index, case in enumerate(spec.cases):
        path = ("spec", "cases", index)
        client = case.client or spec.client
        if not client:
            message = f"case `{case.name}` has no client"
            errors.append(document.error(path, message, "Write `client:` here or under `spec:`"))
        if [bool(case.request.method), bool(case.request.verb), case.request.flow is not None].count(True) != 1:
            message = f"case `{case.name}` needs `method` and `path`, or `verb` and `resource`, or `flow`"
            errors.append(document.error((*path, "request"), message, "Write one of the three forms"))
            continue
        try:
            raw = _recorded(document, case.request.flow, recorded)
        except (OSError, ValueError, PratiqueError) as error:
            place = (*path, "request", "flow")
            why = error.strerror if isinstance(error, OSError) else error
            errors.append(document.error(place, f"recorded flow cannot be read: {why}", "Name another file or request"))
            continue
        cases.append(Case(case.name, client, case, document.position(*path), raw))
    if errors:
        raise DocumentErrors(errors)
    return cases


def _recorded(document: Document, flow: FlowReference | None, recorded: Recorded | None) -> RawRequest | None:
    if flow is None:
        return None
    if recorded is None:
        raise ValueError("recorded flows are not read here")
    return recorded(Path(document.resolve(flow.file)), flow)


def run_cases(policies: PolicySet, cases: Iterable[Case]) -> list[CaseResult]:
    """Each case against the policies, in order."""
    return [_run(policies, case) for case in cases]


def _run(policies: PolicySet, case: Case) -> CaseResult:
    try:
        request = policy_request(case)
    except Refused as refusal:
        expected = case.spec.expect.action == REFUSED
        problem = "" if expected else f"refused before policy: {refusal.message}"
        return CaseResult(case, None, refusal.rule or refusal.message, frozenset(), problem)
    verdict = policies.decide(request)
    reached = frozenset(trace.rule for trace in policies.explain(request) if trace.matched or trace.error)
    return CaseResult(case, verdict, "", reached, _difference(case.spec.expect, verdict))


def _difference(expect: Expect, verdict: Verdict) -> str:
    if expect.action != verdict.action.value:
        return f"expected {expect.action}, got {verdict.action.value} by {_listed(verdict.rules)}: {verdict.message}"
    if expect.rules is not None and sorted(expect.rules) != list(verdict.rules):
        return f"expected {expect.action} by {_listed(expect.rules)}, got it by {_listed(verdict.rules)}"
    if expect.errors != bool(verdict.errors):
        return f"expected {'errors' if expect.errors else 'no error'}, got {_listed(verdict.errors)}"
    return ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(names) or "no rule"


def policy_request(case: Case) -> PolicyRequest:
    """The request of a case, parsed as the gateway parses. Raises Refused."""
    given = case.spec.request
    canonical = canonicalise(case.recorded or raw_request(given))
    request = PolicyRequest.from_canonical(case.client, canonical, case.spec.labels, given.result)
    old = ABSENT if given.old_object is msgspec.UNSET else given.old_object
    return replace(request, old_object=old, namespace_labels=given.namespace_labels)


def raw_request(request: CaseRequest) -> RawRequest:
    """The bytes that a client would send."""
    method = request.method or _METHODS[request.verb]
    target = request.path or _target(request)
    given = {key.lower(): value for key, value in request.headers.items()}
    headers = {"host": "gateway", **_media(request, method), **given}
    body = b""
    if request.body is not None:
        body = request.body.encode() if isinstance(request.body, str) else msgspec.json.encode(request.body)
        headers["content-length"] = str(len(body))
    pairs = tuple((name.encode(), value.encode()) for name, value in headers.items())
    return RawRequest(method.encode(), target.encode(), pairs, body)


def _media(request: CaseRequest, method: str) -> dict[str, str]:
    subresource = request.resource.partition("/")[2]
    if request.verb and subresource in _STREAMS:
        if method == "POST":
            return {**_SPDY, "x-stream-protocol-version": _SPDY_STREAMS[subresource]}
        return {**_WEBSOCKET, "sec-websocket-protocol": _STREAMS[subresource]}
    if request.body is None:
        return {}
    kind = "apply-patch" if request.verb == "apply" else request.patch_type
    return {"content-type": _MEDIA[kind] if method == "PATCH" else "application/json"}


def _target(request: CaseRequest) -> str:
    resource, _, subresource = request.resource.partition("/")
    root = f"/apis/{request.api_group}/{request.api_version}" if request.api_group else f"/api/{request.api_version}"
    parts = ["namespaces", request.namespace] if request.namespace else []
    named = request.name and not (request.verb == "create" and not subresource) and request.verb not in _COLLECTIONS
    parts += [resource, *([request.name] if named else []), *([subresource] if subresource else [])]
    return root + "".join(f"/{quote(part, safe=':')}" for part in parts) + _query(request, subresource)


def _query(request: CaseRequest, subresource: str) -> str:
    pairs: list[tuple[str, str]] = []
    if request.verb == "watch":
        pairs.append(("watch", "true"))
    if request.verb == "apply":
        pairs += [("fieldManager", "case"), ("force", "true")]
    if request.dry_run:
        pairs.append(("dryRun", "All"))
    if request.verb in _COLLECTIONS and request.name:
        pairs.append(("fieldSelector", f"metadata.name={request.name}"))
    if subresource in {"exec", "attach"}:
        pairs += [("command", element) for element in request.command]
        pairs += [("stdout", "true"), *((name, "true") for name in ("stdin", "tty") if getattr(request, name))]
    return "?" + urlencode(pairs) if pairs else ""
