"""A request that somebody asks about, and what was assumed to get it.

Belongs here: the value that all the forms of `pratique explain` end in, and the curl form. Not here: the forms that
have a module of their own (`kubectl_line`, `recorded_flow`; a line of the corpus is read by `pratique.kube.forms`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import click

from pratique.kube.forms import RawRequest

Pairs = Sequence[tuple[str, str]]

# curl's options that say nothing about the request, with and without a value.
_CURL_SILENT = frozenset(
    [
        "-s",
        "-S",
        "-k",
        "-v",
        "-i",
        "-L",
        "-f",
        "-N",
        "-#",
        "-g",
        "--silent",
        "--insecure",
        "--verbose",
        "--include",
        "--location",
        "--fail",
    ]
)
_CURL_SILENT |= frozenset(
    ["--no-buffer", "--compressed", "--http1.1", "--http2", "--globoff", "--show-error", "--http2-prior-knowledge"]
)
_CURL_VALUE = frozenset(
    [
        "-o",
        "--output",
        "--cacert",
        "--cert",
        "-E",
        "--key",
        "--max-time",
        "-m",
        "--connect-timeout",
        "--resolve",
        "-w",
        "--write-out",
    ]
)
_CURL_OPTIONS = {
    "-X": "method", "--request": "method", "-H": "header", "--header": "header", "-d": "data", "--data": "data", "--data-raw": "data",
    "--data-binary": "data", "--data-ascii": "data", "--json": "json", "-A": "agent", "--user-agent": "agent", "-u": "user", "--user": "user",
    "-b": "cookie", "--cookie": "cookie", "--url": "url", "--oauth2-bearer": "bearer",
}  # fmt: skip


class Asked(NamedTuple):
    """`label` is an id, a command line or a place; `step` says which request of several; `assumed` what is not in it."""

    label: Any
    raw: RawRequest
    step: str = ""
    assumed: tuple[str, ...] = ()


def request(method: str, target: str, headers: Pairs = (), body: str | bytes = b"") -> RawRequest:
    """As an HTTP/1.1 client sends it: Host and Content-Length are added where they are missing."""
    data = body.encode("utf-8", "surrogateescape") if isinstance(body, str) else body
    names = {name.lower() for name, _ in headers}
    sent = [] if "host" in names else [("Host", "gateway")]
    sent += headers
    if data and not names & {"content-length", "transfer-encoding"}:
        sent.append(("Content-Length", str(len(data))))
    fields = tuple((_encoded(name), _encoded(value)) for name, value in sent)
    return RawRequest(_encoded(method), _encoded(target), fields, data)


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def json_body(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def curl_request(target: str, method: str, headers: Iterable[str], data: Sequence[str]) -> Asked:
    """A request in curl's words: `-d` makes it a POST, and without a Content-Type a form, which is said."""
    pairs = [_header(text) for text in headers]
    assumed = []
    body = "&".join(data)
    if data and not any(name.lower() == "content-type" for name, _ in pairs):
        assumed.append("Content-Type: application/json (curl would send a form, which the API server does not take)")
        pairs.append(("Content-Type", "application/json"))
    path = target
    if "://" in target.partition("?")[0]:
        parts = urlsplit(target)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        assumed.append(f"{parts.netloc} is the gateway: curl sends only the path")
    if not path.startswith("/"):
        raise click.UsageError(f"`{target}` is no URL and no path. Give one that begins with / or https://")
    method = method or ("POST" if data else "GET")
    return Asked(f"{method} {path}", request(method, path, pairs, body), assumed=tuple(assumed))


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise click.UsageError(f"the header `{text}` has no colon. Write it as `Name: value`")
    return name, value.strip(" \t")


def curl_line(words: Sequence[str]) -> Asked:
    """A pasted curl command, without `curl`. UsageError for an option that is not known here."""
    found: dict[str, list[str]] = {}
    for option, value in _curl_options(words):
        found.setdefault(option, []).append(value)
    headers = found.get("header", [])
    headers += [f"User-Agent: {agent}" for agent in found.get("agent", ())]
    headers += [f"Cookie: {cookie}" for cookie in found.get("cookie", ())]
    headers += [f"Authorization: Bearer {token}" for token in found.get("bearer", ())]
    if "json" in found:
        headers += ["Content-Type: application/json", "Accept: application/json"]
    data = found.get("data", []) + found.get("json", [])
    if any(item.startswith("@") for item in data):
        raise click.UsageError("`-d @file` is not read here. Paste the body")
    urls = found.get("url", [])
    if len(urls) != 1:
        raise click.UsageError(f"the curl command has {len(urls)} URLs. Give one")
    return curl_request(urls[0], found.get("method", [""])[-1], headers, data)


def _curl_options(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    rest = iter(words)
    for word in rest:
        name, equals, value = word.partition("=") if word.startswith("--") else (word, "", "")
        short = word[:2]
        if word in _CURL_SILENT or (word.startswith("-") and word[1:2] != "-" and set(word[1:]) <= set("sSkviLfNg#")):
            continue
        if not word.startswith("-"):
            yield "url", word
        elif word in _CURL_VALUE:
            next(rest, "")
        elif word in {"-I", "--head"}:
            yield "method", "HEAD"
        elif name in _CURL_OPTIONS:
            yield _CURL_OPTIONS[name], value if equals else next(rest, "")
        elif short in _CURL_OPTIONS and not word.startswith("--"):
            yield _CURL_OPTIONS[short], word[2:]
        else:
            raise click.UsageError(f"`{word}` of curl is not known here. Leave it out")
