"""I/O: what the page can pick from: the documents in force and the newest recorded requests.

Belongs here: reading them. Not here: what is made of a request (`trying`), the HTTP side (`approvals.admin.playground`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pratique.cli.recorded_flow import OF_THE_WIRE
from pratique.documents import Document, fingerprint, read_folder
from pratique.documents.folder import Fingerprint
from pratique.errors import RecordError, Refused
from pratique.kube.status import harmless
from pratique.playground.trying import KINDS, Pasted, try_out
from pratique.recorder.layout import FLOW, states
from pratique.recorder.sessions import Recordings, located
from pratique.recorder.timeline import rows

MAX_RECORDED = 100
"""Requests to pick from, the newest first: a longer list is searched with `pratique sessions list`."""
MAX_ANSWER = 256 * 1024
"""Characters of a recorded answer that are put into the page's field."""


class Playground:
    """`folder` is that of the documents in force, `state` the state folder. Blocks; call it from a thread."""

    def __init__(self, folder: Path, state: Path) -> None:
        self._folder, self._state = folder, state
        self._seen: Fingerprint | None = None
        self._documents: list[Document] = []

    def try_out(self, *, request: str, policy: str, client: str, answer: str, alone: bool) -> dict[str, Any]:
        """As `trying.try_out`. DocumentErrors: the folder cannot be read."""
        return try_out(self._current(), Pasted(request, policy, client, answer, alone))

    def choices(self) -> dict[str, Any]:
        """Policies with their text, clients, and recorded requests."""
        documents = self._current()
        clients = sorted(each.name for each in documents if each.kind == "Client")
        return {"policies": self._policies(documents), "clients": clients, "recorded": self._recorded()}

    def recorded(self, session: str, entry: int) -> dict[str, Any]:
        """One recorded request as text, and what it was answered. Refused (404)."""
        try:
            found, identifier = located(self._state, session)
            chosen = [each for each in found.timeline(identifier) if each.n == entry and each.part == FLOW]
            if not chosen:
                raise RecordError("no such request")
            flow: Any = found.flow(identifier, chosen[0])
        except RecordError as error:
            raise Refused(404, "NotFound", f"it cannot be read: {error}", rule="playground/recorded") from None
        response = flow.get("response") or {}
        return {
            "request": _text_of(flow["request"]),
            "client": str((flow.get("metadata") or {}).get("pratique.client", "")),
            "answer": _decoded(response.get("content"))[:MAX_ANSWER],
        }

    def _current(self) -> list[Document]:
        seen = fingerprint(self._folder)
        if seen != self._seen:
            self._documents, self._seen = read_folder(self._folder), seen
        return self._documents

    def _policies(self, documents: list[Document]) -> list[dict[str, str]]:
        files = dict.fromkeys(each.file for each in documents if each.kind in KINDS)
        return [{"name": Path(file).name, "text": Path(file).read_text(encoding="utf-8")} for file in files]

    def _recorded(self) -> list[dict[str, Any]]:
        found = list[dict[str, Any]]()
        sessions = sorted(((one, each) for each in states(self._state) for one in Recordings(each).ids()), reverse=True)
        for session, state in sessions:
            for row in reversed(rows(Recordings(state).timeline(session), [])):
                words, verdict = harmless(row.words), row.verdict
                found.append(
                    {"session": session, "entry": row.entry, "words": words, "verdict": verdict, "status": row.status}
                )
                if len(found) == MAX_RECORDED:
                    return found
        return found


def _text_of(sent: dict[str, Any]) -> str:
    target = sent["path"].decode("utf-8", "surrogateescape")
    lines = [f"{sent['method'].decode('latin-1')} {target}"]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in sent["headers"]]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in OF_THE_WIRE]
    return "\n".join(lines) + "\n\n" + _decoded(sent.get("content"))


def _decoded(content: Any) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""
