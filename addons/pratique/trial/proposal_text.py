"""A proposed policy as YAML that a person reviews: what each rule was seen to be needed for stands above it.

Belongs here: the text. Pure. Not here: which rules (`proposal`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator

from pratique.kube.status import harmless
from pratique.trial.proposal import ProposedRule
from pratique.trial.usage import Left, Usage
from pratique.verdict import Action

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./-]*\Z")
_WORDS = frozenset({"true", "false", "null", "yes", "no", "on", "off", "y", "n"})
SHOWN_LEFT_OUT = 30


def policy_text(usage: Usage, rules: Iterable[ProposedRule], name: str, source: str) -> str:
    """The whole document. `source` says what it was made from."""
    return "\n".join([*_head(usage, name, source), *_rules(rules), *_left_out(usage)]) + "\n"


def _head(usage: Usage, name: str, source: str) -> Iterator[str]:
    yield f"# The least that client `{harmless(usage.client)}` needed for what it did in {usage.requests} recorded requests:"
    yield f"# {harmless(source)}"
    yield "# Names are listed as they were seen; a glob stands where at least three names had one prefix and generated endings."
    yield "# What changes or removes something, runs something or opens a session waits for a person (RequireApproval)."
    yield "# Review it before it is used: it allows what was done, not what should have been."
    yield "apiVersion: pratique/v1"
    yield "kind: Policy"
    yield f"metadata: {{name: {name}}}"
    yield "spec:"
    yield f"  description: {scalar(f'Proposed from recordings of client {usage.client}.')}"
    yield f"  subjects: [{scalar(usage.client)}]"
    yield "  rules:"


def _rules(rules: Iterable[ProposedRule]) -> Iterator[str]:
    for rule in rules:
        yield from _evidence(rule)
        yield f"    - name: {rule.name}"
        yield f"      verbs: {listed(rule.verbs)}"
        if rule.paths:
            yield f"      nonResourceURLs: {listed(rule.paths)}"
        else:
            yield from _places(rule)
        yield f"      action: {rule.action.value}"
        if rule.action is Action.REQUIRE_APPROVAL:
            yield "      approval: {grant: once}"


def _places(rule: ProposedRule) -> Iterator[str]:
    if rule.group:
        yield f"      apiGroups: {listed([rule.group])}"
    yield f"      resources: {listed(rule.resources)}"
    if rule.namespaces is not None:
        yield f"      namespaces: {listed(rule.namespaces)}"
    if rule.names is not None:
        yield f"      resourceNames: {listed(rule.names)}"
    if rule.dry_run is not None:
        yield f"      dryRun: {str(rule.dry_run).lower()}"
    if rule.commands is not None:
        yield "      exec:"
        yield "        commands:"
        for command in rule.commands:
            yield f"          - {listed(command)}"


def _evidence(rule: ProposedRule) -> Iterator[str]:
    said = [f"{rule.requests} request" + ("" if rule.requests == 1 else "s")]
    if not rule.paths:
        if rule.names is None and rule.distinct_names:
            said.append(
                f"{rule.distinct_names} names, so any" if rule.distinct_names > 1 else "one name, and some unknown"
            )
        elif rule.names is not None and rule.distinct_names > len(rule.names):
            said.append(f"{rule.distinct_names} names")
        if rule.namespaces is None and rule.distinct_namespaces > 1:
            said.append(f"{rule.distinct_namespaces} namespaces, so any")
    yield f"    # {'; '.join(said)}"
    for one in rule.examples:
        yield f"    #   {harmless(one.words)[:160]}  ({harmless(one.place)[-120:]})"


def _left_out(usage: Usage) -> Iterator[str]:
    if not usage.left_out:
        return
    yield "# Left out:"
    for reason in Left:
        found = {words: count for (why, words), count in usage.left_out.items() if why is reason}
        if not found:
            continue
        yield f"#   {reason.value}"
        for words, count in list(found.items())[:SHOWN_LEFT_OUT]:
            yield f"#     {count} × {harmless(words)[:160]}"
        if len(found) > SHOWN_LEFT_OUT:
            yield f"#     and {len(found) - SHOWN_LEFT_OUT} more"


def listed(values: Iterable[str]) -> str:
    """A flow sequence."""
    return f"[{', '.join(map(scalar, values))}]"


def scalar(text: str) -> str:
    """A YAML string, plain where that is safe, else in double quotes."""
    if _PLAIN.match(text) and text.lower() not in _WORDS:
        return text
    quoted = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in quoted)
