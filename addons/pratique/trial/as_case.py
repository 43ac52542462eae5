"""A recorded request as a case of a policy, in as few words as say it all; and the case as text, put into a file of cases.

Belongs here: the readable form, and the proof that it is the same request; where in the text it goes. Pure. Not here: files, which
request is meant (`pratique.cli.cases`).
"""

from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import msgspec
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from pratique.errors import Position, PratiqueError, Refused
from pratique.kube.body import dump
from pratique.kube.canonical import CanonicalRequest
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.operations import mask_operations
from pratique.masking.rules import MaskSet
from pratique.policy.cases import Case, CaseRequest, CaseSpec, Expect, parse_cases, policy_request
from pratique.policy.request import PolicyRequest

MAX_BODY = 32 * 1024
"""Bytes of a body that a person reads in a case; for more, a case refers to the flow (`flow: {file, auditID}`)."""
LINE = 110
"""Characters: what is longer is written as a block."""

_NOWHERE = Position("")
_NO_OPTIONS = {"apiVersion": "v1", "kind": "DeleteOptions"}
_TYPES = {"json-patch": "json-patch", "merge-patch": "merge-patch"}


class NotACase(PratiqueError):
    """The request, or the file, cannot be written so; the text says what to do."""


def case_request(request: PolicyRequest, canonical: CanonicalRequest, *, with_result: bool = False) -> CaseRequest:
    """By verb and resource where that says it all, else by method and path. NotACase."""
    if len(canonical.body) > MAX_BODY:
        raise NotACase(f"the body has {len(canonical.body)} bytes. Write the case with `flow: {{file: …, auditID: …}}`")
    result = request.result if with_result else None
    for form in (_by_verb, _by_path):
        made = form(request, canonical)
        if made is not None and _is_the_same(made, request):
            return msgspec.structs.replace(made, result=result)
    raise NotACase("this request cannot be written as a case. Write one with `flow: {file: …, auditID: …}`")


def masked(
    request: PolicyRequest, canonical: CanonicalRequest, masks: MaskSet
) -> tuple[PolicyRequest, CanonicalRequest]:
    """As the recorder would keep it: an audit log, or the recording of another tool, holds values. MaskError."""
    masker = Masker(masks, canonical.attributes, request.client, KnownValues())
    result = request.result
    if result is not None:
        result = json.loads(masker.mask_body("application/json", dump(result)).body)
    document = canonical.document
    if document is not None and not canonical.proxied:
        if canonical.patch_type == "json-patch":
            document = mask_operations(document, canonical.attributes, masks, request.client)
        else:
            document = json.loads(masker.mask_body("application/json", canonical.body).body)
    if document == canonical.document and result == request.result:
        return request, canonical
    kept = replace(canonical, document=document, body=b"" if document is None else dump(document))
    return replace(request, document=document, result=result), kept


def _by_verb(request: PolicyRequest, canonical: CanonicalRequest) -> CaseRequest | None:
    attributes = request.attributes
    if not attributes.is_resource_request or not attributes.verb:
        return None
    applies = attributes.verb == "patch" and request.patch_type == "apply-patch"
    sub = f"/{attributes.subresource}" if attributes.subresource else ""
    options = request.exec
    found: dict[str, Any] = {
        "verb": "apply" if applies else attributes.verb,
        "resource": attributes.resource + sub,
        "apiGroup": attributes.api_group,
        "apiVersion": attributes.api_version,
        "namespace": "" if attributes.resource == "namespaces" else attributes.namespace,
        "name": attributes.name,
        "patchType": _TYPES.get(request.patch_type, "strategic-merge-patch"),
        "dryRun": request.dry_run,
        "body": _body(canonical),
    }
    if options is not None:
        found |= {"command": list(options.command or ()), "stdin": options.stdin, "tty": options.tty}
    try:
        return msgspec.convert(found, CaseRequest)
    except msgspec.ValidationError:
        return None


def _by_path(_request: PolicyRequest, canonical: CanonicalRequest) -> CaseRequest:
    kept = {"content-type", "connection", "upgrade", "x-stream-protocol-version"}
    headers = {
        name.decode().lower(): value.decode("latin-1")
        for name, value in canonical.headers
        if name.decode().lower() in kept or name.lower().startswith(b"sec-websocket-")
    }
    path = canonical.target.decode("ascii")
    return CaseRequest(method=canonical.method, path=path, headers=headers, body=_body(canonical))


def _body(canonical: CanonicalRequest) -> Any:
    """Without the DeleteOptions that say nothing: the canonical form of a delete has them, clients send none."""
    return None if canonical.document == _NO_OPTIONS else canonical.document


def _is_the_same(made: CaseRequest, request: PolicyRequest) -> bool:
    """INVARIANT: a case asks the policies what the recorded request asked them."""
    case = Case("", request.client, CaseSpec("x", made, Expect("Allow")), _NOWHERE)
    try:
        again = policy_request(case)
    except Refused:
        return False
    same_way = again.exec == request.exec and again.ports == request.ports and again.patch_type == request.patch_type
    looked_at = (
        "verb",
        "api_group",
        "resource",
        "subresource",
        "namespace",
        "name",
        "field_selector",
        "label_selector",
    )
    left, right = again.attributes, request.attributes
    return (
        same_way
        and all(getattr(left, name) == getattr(right, name) for name in looked_at)
        and left.path.rstrip("/") == right.path.rstrip("/")  # which are not sent
        and (again.document, again.dry_run, again.method) == (request.document, request.dry_run, request.method)
    )


def add_case(text: str, file: str, spec: CaseSpec) -> str:
    """The text of a file of cases with one more at the end of its list; nothing else of it is touched. NotACase.

    DocumentErrors if the file has errors.
    """
    before = parse_cases(text, file, lambda *_: _UNREAD)
    if any(case.name == spec.name for case in before):
        raise NotACase(f"{file} has a case `{spec.name}` already. Give another --name")
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    at, indent = _end_of_cases(text, file, len(lines))
    while at and not lines[at - 1].strip():
        at -= 1
    new = "".join([*lines[:at], _item(spec, indent), *lines[at:]])
    after = parse_cases(new, file, lambda *_: _UNREAD)
    if [case.spec for case in after] != [*(case.spec for case in before), spec]:
        raise NotACase(f"the case cannot be put into {file} without changing it. Write it by hand")
    return new


_UNREAD: Any = None


def _end_of_cases(text: str, file: str, length: int) -> tuple[int, int]:
    """(line before which a new item goes, its indentation) of the only document."""
    documents = [each for each in YAML(typ="rt", pure=True).load_all(io.StringIO(text)) if each is not None]
    if len(documents) != 1:
        raise NotACase(f"{file} holds {len(documents)} documents. Name a file with one")
    root = documents[0]
    cases = root["spec"]["cases"]
    if not cases or cases.fa.flow_style():
        raise NotACase(f"the cases of {file} are not a list with a line for each. Write the first one by hand")
    following = [*_lines_after(root["spec"], "cases"), *_lines_after(root, "spec")]
    indent = cases.lc.item(0)[1] - 2
    if not following:
        return length, indent
    lines, at = text.splitlines(), min(following)
    while at and lines[at - 1].lstrip().startswith("#"):  # the comment belongs to what follows
        at -= 1
    return at, indent


def _lines_after(mapping: CommentedMap, key: str) -> list[int]:
    keys = list(mapping)
    return [mapping.lc.key(name)[0] for name in keys[keys.index(key) + 1 :]]


def _item(spec: CaseSpec, indent: int) -> str:
    out = io.StringIO()
    yaml = YAML(typ="rt", pure=True)
    yaml.width, yaml.explicit_start = 1 << 16, False
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(CommentedSeq([_plain(spec)]), out)
    lines = [line.removeprefix("  ") for line in out.getvalue().splitlines()]
    return "".join(f"{' ' * indent}{line}\n" if line else "\n" for line in lines)


def _plain(spec: CaseSpec) -> CommentedMap:
    """Without what is as it is by default; short mappings in one line."""
    made = CommentedMap({"name": spec.name})
    if spec.client:
        made["client"] = spec.client
    made["request"] = _short(_given(spec.request))
    made["expect"] = _short(_given(spec.expect))
    return made


def _given(value: msgspec.Struct) -> dict[str, Any]:
    plain = msgspec.to_builtins(value)
    usual = {field.encode_name: _usual(field) for field in msgspec.structs.fields(value)}
    return {name: item for name, item in plain.items() if _list(item) != usual[name]}


def _usual(field: msgspec.structs.FieldInfo) -> Any:
    return _list(field.default_factory() if field.default_factory is not msgspec.NODEFAULT else field.default)


def _list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _short(value: Any) -> Any:
    """Flow style for what fits in a line, blocks for the rest."""
    made: CommentedMap | CommentedSeq
    if isinstance(value, dict):
        made = CommentedMap({name: _short(item) for name, item in value.items()})
    elif isinstance(value, list | tuple):
        made = CommentedSeq([_short(item) for item in value])
    else:
        return value
    if len(str(value)) <= LINE:
        made.fa.set_flow_style()
    return made


def new_file(name: str, client: str, spec: CaseSpec) -> str:
    """A file of cases with one case."""
    own = replace_client(spec, client)
    head = (
        f"apiVersion: pratique/v1\nkind: PolicyCases\nmetadata:\n  name: {name}\nspec:\n  client: {client}\n  cases:\n"
    )
    return head + _item(own, 4)


def replace_client(spec: CaseSpec, client: str) -> CaseSpec:
    """The case without its client, where the file says the same."""
    return msgspec.structs.replace(spec, client="") if spec.client == client else spec


def judged_case(spec: CaseSpec, client: str, file: str) -> Case:
    """The case as `run_cases` takes it."""
    return replace(Case(spec.name, spec.client or client, spec, _NOWHERE), position=Position(file))
