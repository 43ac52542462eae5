"""Recordings made for tests: flows as the recorder writes them, audit events, small folders of documents."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pratique.documents import parse
from pratique.recorder.flowstate import Ends, Message, Server, flow_bytes
from pratique.recorder.record import Record, Stage
from pratique.trial.judging import As, Engine, Judgement
from pratique.trial.reading import BadRecording, pieces, read
from pratique.trial.recorded import RecordedRequest

ENDS, SERVER = Ends("c", ("10.0.0.9", 1), ("127.0.0.1", 8443), 1.0), Server(b"https", "api", 6443)
PODS = "/api/v1/namespaces/dev/pods"


def policy(rules: str, name: str = "p", spec: str = "") -> str:
    return f"apiVersion: pratique/v1\nkind: Policy\nmetadata: {{name: {name}}}\nspec:\n{spec}  rules:\n{rules}"


def masks(rules: str) -> str:
    return f"---\napiVersion: pratique/v1\nkind: MaskPolicy\nmetadata: {{name: m}}\nspec:\n  rules:\n{rules}"


READ = '  - {name: read, verbs: [get, list, watch], apiGroups: ["*"], resources: ["*"], action: Allow}\n'
ASKS = "  - {name: asks, verbs: [delete], resources: [pods], action: RequireApproval}\n"
SECRETS = "  - {name: secrets, match: {resources: [secrets]}, jsonPaths: [$.data.*]}\n"


def engine(text: str, asks: As | None = None) -> Engine:
    return Engine.of(parse(text, "p.yaml"), asks)


def flow(
    method: str = "GET",
    target: str = PODS,
    body: Any = None,
    *,
    client: str = "mcp-1",
    verdict: str = "Allow",
    answer: Any = None,
    status: int = 200,
    headers: dict[str, str] | None = None,
    flow: str = "f1",
    stage: Stage = Stage.COMPLETE,
    rules: tuple[str, ...] = ("p/read",),
) -> bytes:
    sent = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {"Accept": "application/json", **({"Content-Type": "application/json"} if sent else {}), **(headers or {})}
    path, _, query = target.partition("?")
    meta = Record(flow=flow, audit_id=f"audit-{flow}", client=client, method=method, path=path, query=query,
                  verdict=verdict, rules=rules, status=status, stage=stage)  # fmt: skip
    pairs = [(name.encode(), value.encode()) for name, value in given.items()]
    shown = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    told = None if answer is None else Message([(b"content-type", b"application/json")], shown, 1.0, 1.0)
    return flow_bytes(meta, ENDS, SERVER, Message(pairs, sent, 1.0, 1.0), told)


def event(verb: str = "list", uri: str = PODS, **changes: Any) -> dict[str, Any]:
    reference = {"resource": "pods", "namespace": "dev", "apiVersion": "v1"} | changes.pop("objectRef", {})
    return {
        "kind": "Event",
        "apiVersion": "audit.k8s.io/v1",
        "auditID": "a-1",
        "stage": "ResponseComplete",
        "requestURI": uri,
        "verb": verb,
        "user": {"username": "system:serviceaccount:agents:mcp"},
        "objectRef": reference,
        "responseStatus": {"code": 200},
    } | changes


def lines(*events: Any) -> bytes:
    return b"".join(json.dumps(each).encode() + b"\n" for each in events)


def read_all(file: Path) -> tuple[list[RecordedRequest], list[str]]:
    """Everything of a file, and what was wrong with it."""
    bad: list[str] = []

    def on_bad(problem: BadRecording) -> None:
        bad.append(str(problem))

    found = [recorded for piece in pieces(file, on_bad) for recorded in read(piece, on_bad)]
    return found, bad


def judged(text: str, data: bytes, folder: Path, name: str = "r.flow") -> list[Judgement]:
    """The only file of a folder, through the engine."""
    (folder / name).write_bytes(data)
    requests, bad = read_all(folder / name)
    assert bad == []
    made = engine(text)
    return [made.judge(recorded) for recorded in requests]
