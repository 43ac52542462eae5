"""A kubectl command line as the requests that kubectl 1.36 would send for it. Nothing is asked of a cluster.

Belongs here: the commands that name objects, from a built-in table of resources. Not here: flags (`kubectl_flags`),
what requests are made of (`kubectl_calls`), commands with manifests or streams (`kubectl_more`).

What only a cluster or a kubeconfig could tell is assumed, and said: the namespace, the version of a resource, whether
an object exists already. Requests that decide nothing (discovery, waiting for a deletion) are left out, and said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from urllib.parse import quote, urlencode

import click

from pratique.cli.asked import Asked, json_body, request
from pratique.cli.kubectl_calls import (
    EACH,
    JSON,
    JSON_PATCH,
    MERGE,
    PATCH_TYPES,
    STRATEGIC,
    Call,
    Command,
    Found,
    Handler,
    manifests,
    number,
    patched,
)
from pratique.cli.kubectl_flags import read_line
from pratique.cli.kubectl_more import MORE

_TABLE = (
    "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json"
)
_AGENT = ("User-Agent", "kubectl/v1.36.2 (linux/amd64) kubernetes/98b3519")
DISCOVERY = "kubectl also reads discovery (/api, /apis, /openapi/v3) now and then"


def kubectl_line(words: Sequence[str]) -> list[Asked]:
    """The requests of a command line (without `kubectl`), in order. UsageError for what is not known here."""
    line = read_line(words)
    name = line.words[0] if line.words else ""
    handler = {**_COMMANDS, **MORE}.get(name)
    if handler is None:
        known = ", ".join(sorted({**_COMMANDS, **MORE}))
        raise click.UsageError(f"`kubectl {name}` is not known here. Known: {known}")
    command = Command(line)
    if line.first("dry-run") == "client":
        command.assume("--dry-run=client sends no write; these are the requests without it")
    calls = list(handler(command, line.words[1:]))
    command.assume(DISCOVERY)
    return [_asked(words, command, call) for call in calls]


def _asked(words: Sequence[str], command: Command, call: Call) -> Asked:
    line = command.line
    query = [*call.query, *([("timeout", line.first("request-timeout"))] if "request-timeout" in line.flags else ())]
    encoded = urlencode(sorted(query, key=lambda pair: pair[0]), quote_via=quote, safe="")
    headers = [("Accept", call.accept), _AGENT, *call.headers]
    if call.body:
        headers.append(("Content-Type", call.media))
    headers += [("Impersonate-User", user) for user in line.flags.get("as", ())]
    headers += [("Impersonate-Group", group) for group in line.flags.get("as-group", ())]
    target = call.path + (("&" if "?" in call.path else "?") + encoded if encoded else "")
    label = " ".join(["kubectl", *words])
    return Asked(label, request(call.method, target, headers, call.body), call.step, tuple(command.assumed))


def _get(command: Command, words: Sequence[str]) -> Iterator[Call]:
    line = command.line
    if line.first("raw"):
        yield Call("read", "GET", line.first("raw"))
        return
    everywhere = line.on("all-namespaces")
    accept = JSON if line.first("output").partition("=")[0] not in {"", "wide"} else _TABLE
    watched = line.on("watch") or line.on("watch-only")
    for resource, name, _ in command.objects(words):
        path = command.path(resource, everywhere=everywhere)
        query = command.selection()
        if name and not watched:
            yield Call("read", "GET", command.path(resource, name, line.first("subresource")), (), accept=accept)
            continue
        if name:
            query = [("fieldSelector", f"metadata.name={name}")]
        yield Call("list", "GET", path, [*query, ("limit", line.first("chunk-size", "500"))], accept=accept)
        if watched:
            command.assume("the watch starts at the resourceVersion of the list: 0 stands for it")
            yield Call("watch", "GET", path, [*query, ("resourceVersion", "0"), ("watch", "true")], accept=accept)


def _describe(command: Command, words: Sequence[str]) -> Iterator[Call]:
    for resource, name, _ in command.objects(words):
        everywhere = command.line.on("all-namespaces")
        if not name:
            yield Call(
                "list", "GET", command.path(resource, everywhere=everywhere), [*command.selection(), ("limit", "500")]
            )
        yield Call("read", "GET", command.path(resource, name or EACH))
        namespace = command.namespace if resource.namespaced else "default"
        about = f"involvedObject.name={name or EACH},involvedObject.namespace={namespace}"
        query = [("fieldSelector", about), ("limit", "500")]
        yield Call("its events", "GET", f"/api/v1/namespaces/{namespace}/events", query)


def _delete(command: Command, words: Sequence[str]) -> Iterator[Call]:
    line = command.line
    if line.first("raw"):
        yield Call("delete", "DELETE", line.first("raw"))
        return
    cascade = {"background": "Background", "foreground": "Foreground", "orphan": "Orphan"}
    policy = cascade.get(line.first("cascade", "background"))
    if policy is None:
        raise click.UsageError("--cascade is background, foreground or orphan")
    options: dict[str, object] = {"propagationPolicy": policy}
    grace = "1" if line.on("now") else line.first("grace-period", "0" if line.on("force") else "")
    if grace:
        options = {"gracePeriodSeconds": number("grace-period", grace), **options}
    if command.dry_run():
        options["dryRun"] = ["All"]
    for found in _named(command, words):
        if not found.name:
            collection = command.path(found.resource, everywhere=line.on("all-namespaces"))
            yield Call("list what matches", "GET", collection, command.selection())
            command.assume(f"kubectl deletes what the list finds one by one: `{EACH}` stands for each")
        yield Call("delete", "DELETE", command.path_of(found), (), json_body(options))
    command.assume("kubectl then waits with GET and watch until they are gone (--wait=false: not)")


def _named(command: Command, words: Sequence[str]) -> list[Found]:
    if "filename" in command.line.flags:
        return [Found(each.resource, each.name, each.namespace) for each in manifests(command)]
    found = command.objects(words)
    selects = command.selection() or command.line.on("all")
    if not all(each.name for each in found) and not selects:
        raise click.UsageError("kubectl needs a name, a selector or --all here")
    return found


def _patch(command: Command, words: Sequence[str]) -> Iterator[Call]:
    line = command.line
    media = PATCH_TYPES.get(line.first("type", "strategic"))
    if media is None or not line.first("patch"):
        raise click.UsageError("kubectl patch needs -p PATCH, and --type strategic, merge or json")
    yield from patched(
        command,
        command.objects(words),
        line.first("patch"),
        "kubectl-patch",
        media,
        subresource=line.first("subresource"),
    )


def _metadata(field: str, manager: str) -> Handler:
    def handle(command: Command, words: Sequence[str]) -> Iterator[Call]:
        changes = [word for word in words if "=" in word or (word.endswith("-") and len(word) > 1)]
        found = _named(command, [word for word in words if word not in changes])
        values = {
            key.rstrip("-") if not mark else key: value if mark else None
            for key, mark, value in (w.partition("=") for w in changes)
        }
        yield from patched(command, found, {"metadata": {field: values}}, manager, MERGE)

    return handle


def _scale(command: Command, words: Sequence[str]) -> Iterator[Call]:
    replicas = number("replicas", command.line.first("replicas"))
    yield from patched(
        command, command.objects(words), {"spec": {"replicas": replicas}}, "", MERGE, subresource="scale"
    )


def _cordon(command: Command, words: Sequence[str], *, unschedulable: bool = True) -> Iterator[Call]:
    nodes = [Found(command.resource("nodes"), name) for name in words]
    value = True if unschedulable else None
    yield from patched(command, nodes, {"spec": {"unschedulable": value}}, "", STRATEGIC)


def _uncordon(command: Command, words: Sequence[str]) -> Iterator[Call]:
    return _cordon(command, words, unschedulable=False)


def _drain(command: Command, words: Sequence[str]) -> Iterator[Call]:
    yield from _cordon(command, words)
    for node in words:
        yield Call(
            "list its pods", "GET", "/api/v1/pods", [("fieldSelector", f"spec.nodeName={node}"), ("limit", "500")]
        )
        command.assume(f"kubectl evicts the pods that the list finds one by one: `{EACH}` in `default` stands for each")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": EACH, "namespace": "default"}}
        yield Call("evict", "POST", f"/api/v1/namespaces/default/pods/{EACH}/eviction", (), json_body(eviction))


def _rollout(command: Command, words: Sequence[str]) -> Iterator[Call]:
    action = words[0] if words else ""
    found = command.objects(words[1:])
    if action in {"status", "history"}:
        for resource, name, _ in found:
            yield Call("read", "GET", command.path(resource, name))
        return
    if action == "undo":
        command.assume("the template of the earlier revision is in the cluster: `{}` stands for it")
    patches: dict[str, tuple[object, str]] = {
        "restart": (
            {
                "spec": {
                    "template": {
                        "metadata": {"annotations": {"kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}}
                    }
                }
            },
            STRATEGIC,
        ),
        "pause": ({"spec": {"paused": True}}, STRATEGIC),
        "resume": ({"spec": {"paused": None}}, STRATEGIC),
        "undo": ([{"op": "replace", "path": "/spec/template", "value": {}}], JSON_PATCH),
    }
    if action not in patches:
        raise click.UsageError("kubectl rollout is restart, pause, resume, undo, status or history")
    patch, media = patches[action]
    yield from patched(command, found, patch, "kubectl-rollout", media)


def _set(command: Command, words: Sequence[str]) -> Iterator[Call]:
    if not words or words[0] != "image":
        raise click.UsageError("of `kubectl set` only `image` is known here")
    images = [
        {"name": name, "image": image} for name, mark, image in (word.partition("=") for word in words[1:]) if mark
    ]
    found = command.objects([word for word in words[1:] if "=" not in word])
    patch = {"spec": {"template": {"spec": {"containers": images}}}}
    yield from patched(command, found, patch, "kubectl-set", STRATEGIC)


_COMMANDS: dict[str, Handler] = {
    "get": _get,
    "describe": _describe,
    "delete": _delete,
    "patch": _patch,
    "label": _metadata("labels", "kubectl-label"),
    "annotate": _metadata("annotations", "kubectl-annotate"),
    "scale": _scale,
    "cordon": _cordon,
    "uncordon": _uncordon,
    "drain": _drain,
    "rollout": _rollout,
    "set": _set,
}
