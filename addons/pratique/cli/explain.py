"""`pratique explain`: what the gateway makes of requests in the corpus's format, one JSON line (or one block) each."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import click

from pratique.cli.output import console, default_policies, output_option, print_json
from pratique.documents import read_folder
from pratique.errors import Refused
from pratique.kube.attributes import request_attributes
from pratique.kube.canonical import RawRequest, canonicalise
from pratique.kube.status import harmless
from pratique.policy import explain as core
from pratique.policy.decision import PolicySet, compile_policies
from pratique.policy.request import PolicyRequest

CHUNKED = "CHUNKED:"


def raw_request(line: dict[str, Any]) -> RawRequest:
    """A corpus line as the bytes of a request. `body` is what is left after de-chunking. KeyError for missing fields."""
    target = (
        base64.b64decode(line["path_b64"]) if line.get("path_b64") else line["path"].encode("utf-8", "surrogateescape")
    )
    headers = [
        (name.encode("latin-1", "replace"), value.encode("utf-8", "surrogateescape"))
        for name, value in line.get("headers") or []
    ]
    text = line.get("body")
    body = (text or "").removeprefix(CHUNKED).encode("utf-8", "surrogateescape")
    names = {name.lower() for name, _ in headers}
    if body and not names & {b"content-length", b"transfer-encoding"}:
        headers.append((b"content-length", str(len(body)).encode()))
    if b"host" not in names:
        headers.append((b"host", b"gateway"))
    method = line["method"].encode("latin-1", "replace")
    return RawRequest(method, target, tuple(headers), body, line.get("http_version") or "HTTP/1.1")


def explain_line(line: dict[str, Any], policies: PolicySet | None, client: str) -> dict[str, Any]:
    """The contract's JSON object for one request. Never raises for a request, whatever is in it."""
    result: dict[str, Any] = {
        "id": line.get("id"),
        "refused": None,
        "attributes": None,
        "canonical": None,
        "verdict": None,
    }
    raw = raw_request(line)
    try:
        result["attributes"] = request_attributes(raw.method.decode("latin-1"), raw.target).as_json()
        canonical = canonicalise(raw)
        result["canonical"] = canonical.as_json()
        if policies is not None:
            explanation = core.explain(policies, PolicyRequest.from_canonical(client, canonical)).as_json()
            result["verdict"] = {key: explanation["verdict"][key] for key in ("action", "rules", "errors")}
            result["explanation"] = explanation
    except Refused as refusal:
        result["refused"] = {"code": refusal.code, "message": refusal.message, "rule": refusal.rule}
    return result


@click.command()
@click.option("--policies", type=click.Path(path_type=Path), default=None, help="Folder with Policy documents.")
@click.option("--client", default="demo", help="As which client.")
@click.argument("file", type=click.File("r", encoding="utf-8", errors="surrogateescape"))
@output_option
def explain(policies: Path | None, client: str, file: TextIO, output: str) -> None:
    """Explain each request of FILE (JSON lines in the corpus's format, `-` for standard input)."""
    loaded = compile_policies(read_folder(policies or default_policies()))
    bad = 0
    for number, line in _lines(file):
        try:
            result = explain_line(json.loads(line), loaded, client)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            click.echo(
                f"pratique: {file.name}:{number}:1: not a request: {type(error).__name__}. Give one JSON object a line",
                err=True,
            )
            bad += 1
            continue
        if output == "json":
            result.pop("explanation", None)
            print_json(result)
        else:
            _show(result)
    sys.exit(1 if bad else 0)


def _lines(file: TextIO) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in enumerate(file, 1) if line.strip())


def _show(result: dict[str, Any]) -> None:
    shown = console()
    attributes = result["attributes"] or {}
    what = " ".join(
        str(attributes.get(key) or "") for key in ("verb", "apiGroup", "resource", "subresource", "namespace", "name")
    )
    shown.print(f"[bold]{harmless(str(result['id']))}[/] {harmless(' '.join(what.split()))}", markup=True)
    if result["refused"]:
        shown.print(
            f"  [red]refused[/] {result['refused']['code']} {harmless(result['refused']['message'])} ({result['refused']['rule']})"
        )
        return
    verdict = result["verdict"]
    colour = {"Allow": "green", "Deny": "red"}.get(verdict["action"], "yellow")
    shown.print(f"  [{colour}]{verdict['action']}[/] {', '.join(verdict['rules']) or 'no rule matches'}")
    for trace in result["explanation"]["rules"]:
        mark = "matches" if trace["matched"] else trace["reason"]
        shown.print(f"    {harmless(trace['rule'])}: {harmless(mark)}", markup=False)
