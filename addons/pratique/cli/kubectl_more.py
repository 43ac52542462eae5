"""The kubectl commands that write manifests, start streams, or ask about the caller. See `kubectl_line`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import click

from pratique.cli.asked import json_body
from pratique.cli.kubectl_calls import EACH, STRATEGIC, Call, Command, Handler, Manifest, manifests, number

_APPLY = "application/apply-patch+yaml"
_WEBSOCKET = (
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA=="),
)
_CHANNELS = ("Sec-WebSocket-Protocol", "v5.channel.k8s.io")
_TUNNEL = ("Sec-WebSocket-Protocol", "SPDY/3.1+portforward.k8s.io")
_STRICT = ("fieldValidation", "Strict")
_SPDY = "where the server refuses the WebSocket, kubectl repeats this as a SPDY POST"


def _path(manifest: Manifest, name: str = "") -> str:
    return manifest.resource.path(manifest.namespace, name)


def _from_files(command: Command) -> list[Manifest]:
    found = manifests(command)
    if not found:
        raise click.UsageError("kubectl needs -f FILE here")
    return found


def _create(command: Command, words: Sequence[str]) -> Iterator[Call]:
    if "filename" not in command.line.flags:
        yield from _generated(command, words)
        return
    for manifest in _from_files(command):
        query = [*command.manager("kubectl-create"), _STRICT]
        yield Call("write", "POST", _path(manifest), query, json_body(manifest.document))


def _generated(command: Command, words: Sequence[str]) -> Iterator[Call]:
    """`kubectl create KIND NAME`: the kinds whose object the line says completely."""
    kind, name = words[0] if words else "", words[-1] if len(words) > 1 else ""
    if kind == "token" and name:
        spec = {"audiences": command.line.flags.get("audience"), "expirationSeconds": None, "boundObjectRef": None}
        body = {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1", "metadata": {}, "spec": spec}
        yield Call("mint", "POST", command.path(command.resource("sa"), name, "token"), (), json_body(body))
        return
    literals = dict(pair.partition("=")[::2] for pair in command.line.flags.get("from-literal", ()))
    bodies: dict[str, dict[str, Any]] = {
        "namespace": {},
        "serviceaccount": {},
        "configmap": {"data": literals},
        "secret": {"stringData": literals, "type": "Opaque"},
        "deployment": {
            "spec": {
                "replicas": number("replicas", command.line.first("replicas", "1")),
                "template": _template(command, name),
            }
        },
        "job": {"spec": {"template": _template(command, name)}},
    }
    aliases = {"ns": "namespace", "sa": "serviceaccount", "cm": "configmap", "deploy": "deployment"}
    kind = aliases.get(kind, kind)
    if kind not in bodies or not name:
        raise click.UsageError(
            f"of `kubectl create` only {', '.join(bodies)}, token, each with a name, and -f are known here"
        )
    resource = command.resource(kind)
    if kind == "secret":
        command.assume("secret: kubectl sends `data` in base64; `stringData` has the same effect")
    document = {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": {"name": name}, **bodies[kind]}
    yield Call(
        "write", "POST", command.path(resource), [*command.manager("kubectl-create"), _STRICT], json_body(document)
    )


def _template(command: Command, name: str) -> dict[str, Any]:
    containers = [{"name": name, "image": image} for image in command.line.flags.get("image", ())]
    if containers and command.line.rest:
        containers[0] = {**containers[0], "command": list(command.line.rest)}  # type: ignore[dict-item]  # JSON
    return {"metadata": {"labels": {"app": name}}, "spec": {"containers": containers}}


def _apply(command: Command, _: Sequence[str]) -> Iterator[Call]:
    line = command.line
    for manifest in _from_files(command):
        body, path = json_body(manifest.document), _path(manifest, manifest.name)
        if line.on("server-side"):
            force = ("force", "true" if line.on("force-conflicts") else "false")
            yield Call("apply", "PATCH", path, [*command.manager("kubectl"), _STRICT, force], body, _APPLY)
            continue
        query = [*command.manager("kubectl-client-side-apply"), _STRICT]
        command.assume("apply: the patch is the difference to the live object; the whole manifest stands for it")
        yield Call("read", "GET", path)
        yield Call("write, if it exists", "PATCH", path, query, body, STRATEGIC)
        yield Call("write, if it does not exist", "POST", _path(manifest), query, body)


def _replace(command: Command, _: Sequence[str]) -> Iterator[Call]:
    for manifest in _from_files(command):
        path = _path(manifest, manifest.name)
        yield Call("read", "GET", path)
        query = [*command.manager("kubectl-replace"), _STRICT]
        yield Call("write", "PUT", path, query, json_body(manifest.document))


def _run(command: Command, words: Sequence[str]) -> Iterator[Call]:
    if not words or "image" not in command.line.flags:
        raise click.UsageError("kubectl run needs a name and --image")
    name = words[0]
    container: dict[str, Any] = {"name": name, "image": command.line.first("image")}
    if command.line.rest:
        container["command" if command.line.on("command") else "args"] = list(command.line.rest)
    for flag, field in (("stdin", "stdin"), ("tty", "tty")):
        if command.line.on(flag):
            container[field] = True
    spec = {"containers": [container], "restartPolicy": command.line.first("restart", "Always")}
    document = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"run": name}}, "spec": spec}
    yield Call(
        "write", "POST", command.path(command.resource("pods")), command.manager("kubectl-run"), json_body(document)
    )


def _pod(command: Command, word: str, step: str = "read") -> Iterator[Call]:
    """The reads that find a pod; the pod of a workload is assumed."""
    kind, slash, name = word.partition("/")
    resource, name = command.resource(kind if slash else "pods"), name if slash else word
    yield Call(step, "GET", command.path(resource, name))
    if resource.plural != "pods":
        command.assume(f"{word}: one of its pods, `{EACH}`")
        yield Call("list its pods", "GET", command.path(command.resource("pods")), [("limit", "500")])


def _pod_name(word: str) -> str:
    kind, slash, name = word.partition("/")
    return word if not slash else name if kind in {"pod", "pods", "po"} else EACH


def _stream(subresource: str) -> Handler:
    def handle(command: Command, words: Sequence[str]) -> Iterator[Call]:
        line = command.line
        argv = list(line.rest) or list(words[1:] if subresource == "exec" else ())
        if not words or (subresource == "exec" and not argv):
            raise click.UsageError(
                f"kubectl {subresource} needs a pod" + (", `--` and a command" if subresource == "exec" else "")
            )
        yield from _pod(command, words[0])
        query = [("command", word) for word in argv]
        query += [("container", line.first("container"))] if line.first("container") else []
        query += [("stdin", "true")] if line.on("stdin") else []
        query += [("stdout", "true"), ("tty", "true") if line.on("tty") else ("stderr", "true")]
        path = command.path(command.resource("pods"), _pod_name(words[0]), subresource)
        command.assume(_SPDY)
        yield Call(subresource, "GET", path, query, headers=(*_WEBSOCKET, _CHANNELS))

    return handle


def _port_forward(command: Command, words: Sequence[str]) -> Iterator[Call]:
    if len(words) < 2:
        raise click.UsageError("kubectl port-forward needs a pod and a port")
    yield from _pod(command, words[0])
    path = command.path(command.resource("pods"), _pod_name(words[0]), "portforward")
    ports = ", ".join(word.rpartition(":")[2] for word in words[1:])
    command.assume(f"the ports ({ports}) are named when a connection opens, not in the request")
    command.assume(_SPDY)
    yield Call("port-forward", "GET", path, headers=(*_WEBSOCKET, _TUNNEL))


def _copy(command: Command, words: Sequence[str]) -> Iterator[Call]:
    remote = [word.partition(":") for word in words if ":" in word]
    if len(words) != 2 or len(remote) != 1:
        raise click.UsageError("kubectl cp needs one local path and one POD:PATH")
    (place, _, path), reads = remote[0], ":" in words[0]
    namespace, slash, name = place.partition("/")
    if slash:
        command.line.flags["namespace"] = [namespace]
    argv = ["tar", "cf", "-", path] if reads else ["tar", "-xmf", "-", "-C", path.rpartition("/")[0] or "/"]
    inner = Command(command.line)
    inner.assumed = command.assumed
    inner.line.flags["stdin"] = ["false" if reads else "true"]
    yield from _stream("exec")(inner, [name if slash else place, *argv])


def _logs(command: Command, words: Sequence[str]) -> Iterator[Call]:
    line = command.line
    query = [("container", line.first("container") or (words[1] if len(words) > 1 else ""))]
    query += [("follow", "true")] if line.on("follow") else []
    query += [("previous", "true")] if line.on("previous") else []
    query += [("timestamps", "true")] if line.on("timestamps") else []
    since = line.first("since")
    query += [
        ("tailLines", line.first("tail")),
        ("limitBytes", line.first("limit-bytes")),
        ("sinceTime", line.first("since-time")),
    ]
    query += [("sinceSeconds", str(_seconds(since)))] if since else []
    pods = command.resource("pods")
    if line.first("selector"):
        yield Call("list", "GET", command.path(pods), [*command.selection(), ("limit", "500")])
        command.assume(f"kubectl reads the logs of what the list finds one by one: `{EACH}` stands for each")
        words = [EACH]
    elif words:
        yield from _pod(command, words[0])
    else:
        raise click.UsageError("kubectl logs needs a pod, or a selector")
    given = [(key, value) for key, value in query if value and not (key == "tailLines" and value == "-1")]
    yield Call("logs", "GET", command.path(pods, _pod_name(words[0]), "log"), given, accept="*/*")


def _seconds(duration: str) -> int:
    units = {"s": 1, "m": 60, "h": 3600}
    try:
        return round(float(duration[:-1]) * units[duration[-1]])
    except (ValueError, KeyError, IndexError):
        raise click.UsageError(f"`{duration}` is no length of time here. Write 30s, 5m or 2h") from None


def _top(command: Command, words: Sequence[str]) -> Iterator[Call]:
    kind = "nodes" if words and words[0].startswith("no") else "pods"
    resource = command.resource(f"{kind}.metrics.k8s.io")
    everywhere = command.line.on("all-namespaces")
    name = words[1] if len(words) > 1 else ""
    yield Call("read", "GET", command.path(resource, name, everywhere=everywhere), command.selection())


def _auth(command: Command, words: Sequence[str]) -> Iterator[Call]:
    if list(words) == ["whoami"]:
        body: dict[str, Any] = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        yield Call("ask", "POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", (), json_body(body))
        return
    if list(words[:1]) != ["can-i"] or len(words) < 3:
        raise click.UsageError("of `kubectl auth` only `whoami` and `can-i VERB RESOURCE` are known here")
    resource = command.resource(words[2].partition("/")[0])
    asked = {"namespace": command.namespace, "verb": words[1], "group": resource.group, "resource": resource.plural}
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": asked},
    }
    yield Call("ask", "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", (), json_body(body))


def _paths(*paths: str) -> Handler:
    def handle(_: Command, __: Sequence[str]) -> Iterator[Call]:
        for path in paths:
            yield Call("discover", "GET", path)

    return handle


def _events(command: Command, _: Sequence[str]) -> Iterator[Call]:
    path = command.path(command.resource("events"), everywhere=command.line.on("all-namespaces"))
    yield Call("list", "GET", path, [*command.selection(), ("limit", "500")])


MORE: dict[str, Handler] = {
    "create": _create,
    "apply": _apply,
    "replace": _replace,
    "run": _run,
    "exec": _stream("exec"),
    "attach": _stream("attach"),
    "port-forward": _port_forward,
    "cp": _copy,
    "logs": _logs,
    "top": _top,
    "auth": _auth,
    "events": _events,
    "version": _paths("/version?timeout=32s"),
    "api-resources": _paths("/api", "/apis"),
    "api-versions": _paths("/api", "/apis"),
    "explain": _paths("/openapi/v3"),
}
