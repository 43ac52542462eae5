"""What every kubectl command is made of: requests, objects, what had to be assumed. See `kubectl_line`.

I/O: `-f FILE` is read. A folder, a URL or standard input is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import click
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from pratique.cli.asked import Pairs, json_body
from pratique.cli.kubectl_flags import Line
from pratique.kube import resources
from pratique.kube.resources import Resource

JSON = "application/json"
STRATEGIC = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
PATCH_TYPES = {"strategic": STRATEGIC, "merge": MERGE, "json": JSON_PATCH}
EACH = "each-one-found"


class Call(NamedTuple):
    """One request: `path` without its query."""

    step: str
    method: str
    path: str
    query: Pairs = ()
    body: str = ""
    media: str = JSON
    accept: str = JSON
    headers: Pairs = ()


class Found(NamedTuple):
    """An object that a line names. `namespace` "": that of the line."""

    resource: Resource
    name: str
    namespace: str = ""


class Command:
    """One command line while it is turned into calls; collects what had to be assumed."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.assumed: dict[str, None] = {}

    def assume(self, text: str) -> None:
        self.assumed[text] = None

    @property
    def namespace(self) -> str:
        given = self.line.first("namespace")
        if not given:
            self.assume("namespace: default (no -n; a kubeconfig may name another)")
        return given or "default"

    def resource(self, text: str) -> Resource:
        """UsageError for a name that neither Kubernetes has nor `plural.version.group` says."""
        found = resources.find(text)
        if found is not None:
            return found
        plural, _, rest = text.lower().partition(".")
        version, _, group = rest.partition(".")
        if not rest:
            known = "Write it as plural.version.group, such as widgets.v1.example.com"
            raise click.UsageError(f"`{text}` is no resource of Kubernetes itself. {known}")
        if not (version.startswith("v") and version[1:2].isdigit() and group):
            version, group = "v1", rest
            self.assume(f"{text}: version v1 (a custom resource: only the cluster knows)")
        self.assume(f"{text}: plural and namespaced (a custom resource: only the cluster knows)")
        return Resource(group, version, plural, True)

    def objects(self, words: Sequence[str]) -> list[Found]:
        """`TYPE[,TYPE] [NAME…]` or `TYPE/NAME…`; name "" is the collection. UsageError."""
        if not words:
            raise click.UsageError("kubectl needs a resource here. Name one, such as `pods`")
        if any("/" in word for word in words):
            pairs = [word.partition("/") for word in words]
            if not all(kind and name for kind, _, name in pairs):
                raise click.UsageError("kubectl takes TYPE/NAME for all of them, or `TYPE NAME…`. Write one form")
            return [Found(self.resource(kind), name) for kind, _, name in pairs]
        types = resources.ALL if words[0] == "all" else words[0].split(",")
        return [Found(self.resource(kind), name) for kind in types for name in words[1:] or ("",)]

    def path(self, resource: Resource, name: str = "", subresource: str = "", *, everywhere: bool = False) -> str:
        namespace = self.namespace if resource.namespaced and not everywhere else ""
        return resource.path(namespace, quote(name, safe=":*@"), subresource)

    def path_of(self, found: Found, subresource: str = "") -> str:
        """Of one object, or of each that a selector finds; a manifest says its own namespace."""
        name = found.name or EACH
        if found.namespace:
            return found.resource.path(found.namespace, quote(name, safe=":*@"), subresource)
        return self.path(found.resource, name, subresource)

    def selection(self) -> list[tuple[str, str]]:
        given = (("fieldSelector", self.line.first("field-selector")), ("labelSelector", self.line.first("selector")))
        return [(key, value) for key, value in given if value]

    def manager(self, name: str) -> list[tuple[str, str]]:
        return [*self.dry_run(), ("fieldManager", self.line.first("field-manager", name))]

    def dry_run(self) -> list[tuple[str, str]]:
        return [("dryRun", "All")] if self.line.first("dry-run") == "server" else []


Handler = Callable[[Command, Sequence[str]], Iterator[Call]]


class Manifest(NamedTuple):
    resource: Resource
    name: str
    namespace: str
    document: dict[str, Any]


def manifests(command: Command) -> list[Manifest]:
    """The documents of all `-f` files. UsageError for what is no manifest."""
    return [
        _manifest(command, file, item) for file in command.line.flags.get("filename", ()) for item in _documents(file)
    ]


def _documents(file: str) -> list[Any]:
    path = Path(file)
    if not path.is_file():
        raise click.UsageError(f"`{file}` is no file here. Folders, URLs and standard input are not read")
    try:
        found = list(YAML(typ="safe", pure=True).load_all(path.read_text(encoding="utf-8")))
    except (YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{file}:{mark.line + 1}:{mark.column + 1}" if mark else f"{file}:1:1"
        raise click.UsageError(f"{place}: the manifest does not parse. Correct it") from None
    return [
        each
        for document in found
        if document
        for each in (document.get("items", [document]) if isinstance(document, dict) else [document])
    ]


def _manifest(command: Command, file: str, document: Any) -> Manifest:
    metadata = document.get("metadata") if isinstance(document, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(document.get(key), str) for key in ("apiVersion", "kind")):
        raise click.UsageError(f"{file}: a document without apiVersion, kind and metadata. Give Kubernetes manifests")
    api_version, kind = document["apiVersion"], document["kind"]
    found = resources.of_kind(api_version, kind)
    if found is None:
        group, _, version = api_version.rpartition("/")
        plural = kind.lower() + "s"
        command.assume(f"{kind}: the resource is `{plural}`, namespaced (a custom resource: only the cluster knows)")
        found = Resource(group, version, plural, True)
    name, namespace = str(metadata.get("name") or ""), str(metadata.get("namespace") or "")
    return Manifest(found, name, namespace or (command.namespace if found.namespaced else ""), document)


def number(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise click.UsageError(f"--{flag} is `{text}`, which is no number") from None


def patched(
    command: Command,
    found: Sequence[Found],
    patch: object,
    manager: str,
    media: str,
    *,
    subresource: str = "",
) -> Iterator[Call]:
    for each in found:
        yield Call("read", "GET", command.path_of(each))
        body = patch if isinstance(patch, str) else json_body(patch)
        query = command.manager(manager) if manager else command.dry_run()
        yield Call("write", "PATCH", command.path_of(each, subresource), query, body, media)
