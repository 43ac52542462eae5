"""`kind: Recording`: whose keystrokes may be recorded.

Belongs here: the document and its meaning. What is typed holds passwords that no terminal shows, so stdin is recorded
only for clients that a document names; a document that says `stdin: false` for a client wins over all others.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Sequence

import msgspec

from pratique.documents import Document
from pratique.errors import DocumentError, DocumentErrors

KIND = "Recording"


class _Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """`clients` are globs (`*`, `?`) over Client names."""

    stdin: bool
    clients: tuple[str, ...]


class RecordingRules:
    """What the Recording documents of a folder say. Without any, no stdin is recorded."""

    def __init__(self, rules: Sequence[tuple[tuple[str, ...], bool]] = ()) -> None:
        self._rules = [(re.compile("|".join(map(_translated, globs))), stdin) for globs, stdin in rules]

    @classmethod
    def from_documents(cls, documents: Sequence[Document]) -> RecordingRules:
        """Every `kind: Recording`. Raises DocumentErrors, all at once."""
        errors: list[DocumentError] = []
        rules: list[tuple[tuple[str, ...], bool]] = []
        for document in documents:
            if document.kind != KIND:
                continue
            try:
                spec = document.convert(("spec",), _Spec)
            except DocumentErrors as error:
                errors += error.errors
                continue
            if not spec.clients or not all(spec.clients):
                remedy = 'Name clients, or write `["*"]` for all'
                errors.append(document.error(("spec", "clients"), "`clients` is empty or has an empty name", remedy))
            rules.append((spec.clients, spec.stdin))
        if errors:
            raise DocumentErrors(errors)
        return cls(rules)

    def stdin(self, client: str) -> bool:
        """Whether the stdin of this client's sessions is recorded."""
        said = [stdin for globs, stdin in self._rules if globs.match(client)]
        return bool(said) and all(said)


def _translated(glob: str) -> str:
    return fnmatch.translate(glob.replace("[", "[[]"))
