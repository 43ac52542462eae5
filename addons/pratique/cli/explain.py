"""`pratique explain`: what the gateway makes of requests, rule by rule, without sending anything.

Belongs here: which form a request is given in, and the JSON of the answer. Not here: the forms (`asked`, `kubectl_line`,
`recorded_flow`), the text for people (`explained`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import click

from pratique.cli.asked import Asked, curl_line, curl_request
from pratique.cli.explained import show
from pratique.cli.kubectl_line import kubectl_line
from pratique.cli.output import console, default_policies, output_option, print_json, state_option
from pratique.cli.recorded_flow import looks_like_flows, of_file, of_session
from pratique.documents import read_folder
from pratique.errors import Refused
from pratique.identity.clients import Clients
from pratique.kube.attributes import request_attributes
from pratique.kube.canonical import canonicalise
from pratique.kube.forms import NotARequest, from_corpus
from pratique.kube.nethttp import own_answer
from pratique.kube.status import harmless
from pratique.policy import explain as core
from pratique.policy.decision import PolicySet, compile_policies
from pratique.policy.request import PolicyRequest

DEFAULT_CLIENT = "demo"
_HELP = """Explain requests: which attributes they have, what is sent, which rules match, and the verdict. Nothing is sent.

WHAT is one of

\b
  FILE.jsonl, -             requests as JSON lines: id, method, path, headers, body
  FILE.flow                 a flow file, of mitmproxy or of pratique
  SESSION                   a recorded session (see `pratique sessions list`)
  /api/v1/pods?watch=1      a path, with -X, -H and -d; or an https:// URL
  curl …                    a curl command
  kubectl …                 a kubectl command; what it assumes is printed
"""
_DENIED = {"action": "Deny", "rules": [], "errors": []}


class Judge(NamedTuple):
    """`client` "" is what a recording says, else the default."""

    policies: PolicySet
    clients: Clients
    client: str = ""

    def explain(self, asked: Asked, recorded: str = "") -> dict[str, Any]:
        """The JSON of one request, with `explanation` for people. Never raises for a request, whatever is in it.

        `attributes` are null where no API server would have any: Go's net/http answers such a request itself.
        `verdict` of a refused request is Deny by no rule: no policy is asked.
        """
        raw = asked.raw
        result: dict[str, Any] = {"id": asked.label, "refused": None, "attributes": None, "canonical": None}
        result["verdict"] = _DENIED
        if own_answer(raw) is None:
            result["attributes"] = request_attributes(raw.method.decode("latin-1"), raw.target).as_json()
        try:
            canonical = canonicalise(raw)
        except Refused as refusal:
            message = harmless(refusal.message)
            result["refused"] = {"code": refusal.code, "message": message, "rule": refusal.rule}
        else:
            client = self.client or recorded or DEFAULT_CLIENT
            request = PolicyRequest.from_canonical(client, canonical, self.clients.labels_of(client))
            explanation = core.explain(self.policies, request).as_json()
            result["canonical"] = canonical.as_json()
            result["verdict"] = {key: explanation["verdict"][key] for key in ("action", "rules", "errors")}
            result["explanation"] = explanation
        if asked.step:
            result["step"] = asked.step
        if asked.assumed:
            result["assumed"] = list(asked.assumed)
        return result


class _Explain(click.Command):
    """A command whose words after `kubectl` or `curl` are that command's, also without `--` before it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        options = {
            "--policies",
            "--client",
            "--state",
            "-X",
            "--request",
            "-H",
            "--header",
            "-d",
            "--data",
            "--output",
            "-o",
        }
        for at, word in enumerate(args):
            if word == "--":
                break
            if word in {"kubectl", "curl"} and (at == 0 or args[at - 1] not in options):
                args = [*args[:at], "--", *args[at:]]
                break
        return super().parse_args(ctx, args)


@click.command(
    cls=_Explain,
    help=_HELP,
    epilog="Exit code 0: all were explained; 1: a line was no request, the rest was explained.",
)
@click.option("--policies", type=click.Path(path_type=Path), default=None, help="Folder with Policy documents.")
@click.option("--client", default="", help=f"As which client. Default: {DEFAULT_CLIENT}, or what a recording says.")
@state_option
@click.option("-X", "--request", "method", default="", help="Method of a path, as curl's.")
@click.option("-H", "--header", "headers", multiple=True, help="Header of a path, as curl's.")
@click.option("-d", "--data", "data", multiple=True, help="Body of a path, as curl's.")
@click.argument("what", nargs=-1, required=True)
@output_option
def explain(  # noqa: PLR0917 - the options of a command line
    policies: Path | None,
    client: str,
    state: Path,
    method: str,
    headers: tuple[str, ...],
    data: tuple[str, ...],
    what: tuple[str, ...],
    output: str,
) -> None:
    """The command; its help is `_HELP`."""
    documents = read_folder(policies or default_policies())
    judge = Judge(compile_policies(documents), Clients.from_documents(documents), client)
    problems = Problems()
    for recorded, asked in _requests(what, (method, headers, data), state, problems):
        result = judge.explain(asked, recorded)
        if output == "json":
            result.pop("explanation", None)
            print_json(result)
        else:
            show(console(), asked, result)
    sys.exit(1 if problems.found else 0)


class Problems:
    """Lines that are no request: each is said, and counted."""

    def __init__(self) -> None:
        self.found = 0

    def add(self, place: str, message: str) -> None:
        self.found += 1
        click.echo(f"pratique: {place}: {harmless(message)}", err=True)


type _Curl = tuple[str, tuple[str, ...], tuple[str, ...]]


def _requests(what: Sequence[str], curl: _Curl, state: Path, problems: Problems) -> Iterable[tuple[str, Asked]]:
    first = what[0]
    if first == "kubectl":
        return [("", asked) for asked in kubectl_line(what[1:])]
    if first == "curl":
        return [("", curl_line(what[1:]))]
    if len(what) > 1:
        raise click.UsageError("give one thing to explain; `kubectl …` and `curl …` take all words after them")
    is_file = first != "-" and Path(first).is_file()
    if first != "-" and not is_file and (first.startswith("/") or "://" in first):
        method, headers, data = curl
        return [("", curl_request(first, method, headers, data))]
    if any(curl):
        raise click.UsageError("-X, -H and -d go with a path, such as /api/v1/pods")
    if is_file or first == "-":
        return _of_file(first, problems)
    if Path(first).suffix:
        raise click.UsageError(f"there is no file `{first}`")
    return of_session(state, first)


def _of_file(name: str, problems: Problems) -> Iterator[tuple[str, Asked]]:
    shown = "<stdin>" if name == "-" else name
    with click.open_file(name, "rb") as file:
        start = file.readline()
        if looks_like_flows(start):
            yield from of_file(start + file.read(), shown)
            return
        yield from _of_lines(start, file, shown, problems)


def _of_lines(start: bytes, file: IO[bytes], name: str, problems: Problems) -> Iterator[tuple[str, Asked]]:
    number, line = 0, start
    while line:
        number += 1
        if line.strip():
            try:
                yield "", _of_line(line)
            except json.JSONDecodeError as error:
                problems.add(f"{name}:{number}:{error.colno}", f"{error.msg}. Give one JSON object a line")
            except (ValueError, RecursionError) as error:
                problems.add(
                    f"{name}:{number}:1", f"not a request: {_why(error)}. Give id, method, path, headers, body"
                )
        line = file.readline()


def _of_line(line: bytes) -> Asked:
    found = json.loads(line.rstrip(b"\r\n").decode("utf-8", "surrogateescape"))
    if not isinstance(found, dict):
        raise NotARequest("it is not a JSON object")
    return Asked(found.get("id"), from_corpus(found))


def _why(error: Exception) -> str:
    if isinstance(error, UnicodeError):
        return "it holds text that cannot be sent"
    return "it is nested too deep" if isinstance(error, RecursionError) else str(error)
