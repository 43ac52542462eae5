"""The explanation of one request as text for people: attributes, what is sent, each rule, the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from pratique.cli.asked import Asked
from pratique.cli.output import STYLES
from pratique.kube.rules import RULES
from pratique.kube.status import harmless

_WIDTH = 13  # of the column of names
_BODY_CHARACTERS = 400  # of a body that is shown; `--output json` has all of it
_TARGET_CHARACTERS = 400


def show(to: Console, asked: Asked, result: dict[str, Any]) -> None:
    """Coloured on a terminal, the same lines plain in a pipe."""
    to.print(_title(asked))
    for name, text, style in _facts(asked, result):
        to.print(Text(f"  {name:<{_WIDTH}}") + Text(harmless(text), style=style))
    explanation = result.get("explanation")
    if explanation is not None:
        to.print(Text(f"  {'rules':<{_WIDTH}}") + Text(_count(explanation["rules"]), style="dim"))
        _show_rules(to, explanation["rules"])
    to.print(_verdict(result))
    to.print()


def _title(asked: Asked) -> Text:
    step = f"  ({asked.step})" if asked.step else ""
    return Text(harmless(str(asked.label)) + step, style="bold")


def _facts(asked: Asked, result: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    for text in asked.assumed:
        yield "assumed", text, "cyan"
    target = asked.raw.target.decode("utf-8", "surrogateescape")
    yield "request", f"{asked.raw.method.decode('latin-1')} {_cut(target, _TARGET_CHARACTERS)}", ""
    attributes = result["attributes"]
    yield "attributes", _attributes(attributes) if attributes else "none: no API server reads this request", ""
    refused = result["refused"]
    if refused:
        yield "refused", f"{refused['code']} {refused['message']}", "red"
        rule = RULES.get(refused["rule"])
        yield "by", f"{refused['rule']}" + (f": {rule.why} (row {', '.join(rule.rows)})" if rule else ""), "red"
        return
    yield from _canonical(asked, result["canonical"])
    explanation = result["explanation"]
    yield "client", explanation["client"], ""
    named = (("needs", "required"), ("escalation", "escalations"), ("pod powers", "podPowers"), ("images", "images"))
    for name, key in named:
        if explanation[key]:
            yield name, ", ".join(explanation[key]), "yellow" if name in {"escalation", "pod powers"} else ""
    if explanation["needs"]:
        yield (
            "would ask",
            f"the cluster for {', '.join(explanation['needs'])}; without one it is judged without",
            "yellow",
        )


def _attributes(attributes: dict[str, Any]) -> str:
    if attributes["error"]:
        return f"error: {attributes['error']}"
    if not attributes["isResourceRequest"]:
        return f"{attributes['verb']} {attributes['path']} (no resource)"
    resource = attributes["resource"] + (f"/{attributes['subresource']}" if attributes["subresource"] else "")
    group = "/".join(part for part in (attributes["apiGroup"], attributes["apiVersion"]) if part)
    words = [attributes["verb"] or "(no verb)", resource, f"in {group}"]
    words += [f"namespace {attributes['namespace']}"] if attributes["namespace"] else ["no namespace"]
    words += [f"name {attributes['name']}"] if attributes["name"] else []
    for key in ("fieldSelector", "labelSelector"):
        words += [f"{key} `{attributes[key]}`"] if attributes[key] else []
    return "  ".join(words)


def _canonical(asked: Asked, canonical: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    yield "sent", f"{canonical['method']} {_cut(canonical['target'], _TARGET_CHARACTERS)}", ""
    sent = {name.lower() for name, _ in canonical["headers"]}
    left = [name.decode("latin-1") for name, _ in asked.raw.headers if name.decode("latin-1").lower() not in sent]
    silent = {"host", "content-length", "sec-websocket-key"}
    left = [name for name in dict.fromkeys(left) if name.lower() not in silent]
    if left:
        yield "not sent", "headers " + ", ".join(left), "dim"
    traits = [canonical["patchType"], f"upgrade {canonical['upgrade']}" if canonical["upgrade"] else ""]
    traits += ["dry run" if canonical["dryRun"] else "", "stream" if canonical["stream"] else ""]
    traits += ["proxied to an application" if canonical["proxied"] else ""]
    if any(traits):
        yield "kind", ", ".join(trait for trait in traits if trait), ""
    if canonical["options"].get("optionsError"):
        yield "options", f"the server answers 400: {canonical['options']['optionsError']}", "yellow"
    if canonical["bodyBytes"]:
        shown = (
            ""
            if canonical["body"] is None
            else f"  {_cut(json.dumps(canonical['body'], ensure_ascii=False), _BODY_CHARACTERS)}"
        )
        yield "body", f"{canonical['contentType']}, {canonical['bodyBytes']} bytes{shown}", ""


def _cut(text: str, characters: int) -> str:
    return text if len(text) <= characters else f"{text[:characters]}… ({len(text)} characters)"


def _count(rules: list[dict[str, Any]]) -> str:
    matched = sum(rule["matched"] for rule in rules)
    return f"{len(rules)} considered, {matched} match"


def _rows(rules: list[dict[str, Any]]) -> Iterator[tuple[str, str, str, str]]:
    """(mark, action, rule, reason), what matches first; a policy that is not for this client is one row."""
    others: dict[tuple[str, str], int] = {}
    for rule in sorted(rules, key=lambda each: not each["matched"]):
        policy, reason = rule["rule"].partition("/")[0], rule["reason"]
        if not rule["matched"] and "is not a subject of" in reason:
            others[policy, reason] = others.get((policy, reason), 0) + 1
            continue
        mark = "matches" if rule["matched"] else "error" if rule["error"] else "no"
        yield mark, rule["action"], harmless(rule["rule"]), rule["position"] if rule["matched"] else harmless(reason)
    for (policy, reason), number in others.items():
        yield "no", f"({number} rules)", f"{harmless(policy)}/*", harmless(reason)


def _show_rules(to: Console, rules: list[dict[str, Any]]) -> None:
    rows = list(_rows(rules))
    if not to.is_terminal:
        widths = [max(len(row[column]) for row in rows) for column in range(3)] if rows else []
        for row in rows:
            cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
            to.print(Text("    " + "  ".join([*cells, row[3]])))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    for no_wrap in (True, True, True, False):
        table.add_column(overflow="fold", no_wrap=no_wrap)
    for mark, action, rule, reason in rows:
        look = STYLES.get(action, "") if mark == "matches" else "red" if mark == "error" else "dim"
        bold = "bold" if mark == "matches" else look
        table.add_row(
            Text(mark, style=bold), Text(action, style=look), Text(rule, style=bold), Text(reason, style="dim")
        )
    to.print(Padding(table, (0, 0, 0, 4)))


def _verdict(result: dict[str, Any]) -> Text:
    verdict = result["verdict"]
    text = Text(f"  {'verdict':<{_WIDTH}}") + Text(verdict["action"], style=f"bold {STYLES.get(verdict['action'], '')}")
    if result["refused"]:
        return text + Text("  before any policy was asked")
    by = ", ".join(verdict["rules"]) or "nothing permits it"
    full = result["explanation"]["verdict"]
    text += Text(f"  by {harmless(by)}" if verdict["rules"] else f"  {by}")
    if full["message"]:
        text += Text(f"\n  {'':<{_WIDTH}}{harmless(full['message'])}")
    for one in result["explanation"]["observed"]:
        said = f"{one['policy']} (observed) would say {one['action']}"
        text += Text(
            f"\n  {'':<{_WIDTH}}{harmless(said)}  by {harmless(', '.join(one['rules']) or 'no rule')}", style="cyan"
        )
    for error in verdict["errors"]:
        text += Text(f"\n  {'':<{_WIDTH}}{harmless(error)}", style="red")
    return text
