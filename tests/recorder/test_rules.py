"""`kind: Recording`: whose stdin is recorded, and what a bad document says."""

from __future__ import annotations

import pytest

from pratique.documents import parse
from pratique.errors import DocumentErrors
from pratique.recorder.rules import RecordingRules


def document(spec: str, name: str = "r") -> str:
    return f"apiVersion: pratique/v1\nkind: Recording\nmetadata: {{name: {name}}}\nspec:\n  {spec}\n"


def rules(*specs: str) -> RecordingRules:
    text = "---\n".join(document(spec, f"r{number}") for number, spec in enumerate(specs))
    return RecordingRules.from_documents(parse(text, "recording.yaml") if specs else [])


def test_without_a_document_no_stdin_is_recorded() -> None:
    assert not rules().stdin("agent")


def test_only_clients_that_are_named() -> None:
    found = rules("{stdin: true, clients: [agent, 'ops-*']}")
    assert [found.stdin(client) for client in ("agent", "ops-1", "ops", "agent-2", "[a]")] == [
        True,
        True,
        False,
        False,
        False,
    ]


@pytest.mark.parametrize(
    "specs",
    [
        ("{stdin: true, clients: ['*']}", "{stdin: false, clients: [agent]}"),
        ("{stdin: false, clients: ['a*']}", "{stdin: true, clients: [agent]}"),
    ],
)
def test_no_wins_over_yes(specs: tuple[str, str]) -> None:
    assert not rules(*specs).stdin("agent")


def test_globs_are_no_regular_expressions() -> None:
    found = rules("{stdin: true, clients: ['a.c', 'x[yz]']}")
    assert [found.stdin(client) for client in ("a.c", "abc", "x[yz]", "xy")] == [True, False, True, False]


@pytest.mark.parametrize(
    ("spec", "error"),
    [
        ("{stdin: maybe, clients: [a]}", "recording.yaml:5:11: expected `bool`, got `str`"),
        ("{clients: [a]}", "recording.yaml:4:1: field `stdin` is missing. Add `stdin:`"),
        ("{stdin: true}", "recording.yaml:4:1: field `clients` is missing. Add `clients:`"),
        ("{stdin: true, client: [a], clients: [b]}", "recording.yaml:5:17: field `client` is not known. Did you mean `clients`?"),
        ("{stdin: true, clients: []}", 'recording.yaml:5:17: `clients` is empty or has an empty name. Name clients, or write `["*"]` for all'),
        ("{stdin: true, clients: ['']}", 'recording.yaml:5:17: `clients` is empty or has an empty name. Name clients, or write `["*"]` for all'),
    ],
)  # fmt: skip
def test_errors_say_where_and_what_to_do(spec: str, error: str) -> None:
    with pytest.raises(DocumentErrors) as raised:
        rules(spec)
    assert error in str(raised.value)
