"""I/O: the files of an installation: its Cluster document, and for each client a Client document and a kubeconfig.

Belongs here: making them when they are missing; they are never changed. Not here: what stands in a Client document
(`pratique.identity.clients`).
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pratique.documents import Document, parse
from pratique.errors import DocumentErrors, StartError
from pratique.identity.clients import NewApiKey, client_document, new_api_key
from pratique.setup.plan import Found, Thing

SUFFIX = ".yaml"


def read_documents(folder: Path) -> dict[str, str]:
    """File name → text of every document of a folder. StartError: no such folder."""
    if not folder.is_dir():
        raise StartError(
            f"`{folder}` is no folder. Copy `policies/` there, without cluster.yaml, and name it: --documents"
        )
    return {file.name: file.read_text(encoding="utf-8") for file in sorted(folder.glob(f"*{SUFFIX}"))}


def parsed(texts: Mapping[str, str], folder: Path) -> list[Document]:
    """The documents, without their cases. Raises DocumentErrors."""
    documents: list[Document] = []
    errors = []
    for name, text in texts.items():
        if name.endswith(f".cases{SUFFIX}"):
            continue
        try:
            documents += parse(text, str(folder / name))
        except DocumentErrors as error:
            errors += error.errors
    if errors:
        raise DocumentErrors(errors)
    return documents


def cluster_document(described: Mapping[str, Any], region: str, role_y_arn: str) -> str:
    """The Cluster of an EKS cluster. JSON is YAML."""
    spec = {
        "server": described["endpoint"],
        "certificateAuthority": {"data": described["certificateAuthority"]["data"]},
        "eks": {"clusterName": described["name"], "region": region, "roleARN": role_y_arn},
    }
    if described.get("outpostConfig") and described.get("id"):
        spec["eks"]["clusterID"] = described["id"]
    name = re.sub(r"[^a-z0-9.-]", "-", described["name"].lower()).strip("-.")[:63]
    document = {"apiVersion": "pratique/v1", "kind": "Cluster", "metadata": {"name": name}, "spec": spec}
    return json.dumps(document, indent=2) + "\n"


def kubeconfig(client: str, key: str, server: str, authority: str) -> str:
    """What the workload gets: the gateway's endpoint and CA (empty: one that its system trusts), and its API key."""
    cluster = {"server": server}
    if authority:
        cluster["certificate-authority-data"] = base64.b64encode(authority.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "pratique", "cluster": cluster}],
        "users": [{"name": client, "user": {"token": key}}],
        "contexts": [{"name": "pratique", "context": {"cluster": "pratique", "user": client}}],
        "current-context": "pratique",
    }
    return json.dumps(document, indent=2) + "\n"


class Files:
    """Files of one folder of documents. `server`: the gateway's URL, for kubeconfigs."""

    def __init__(self, folder: Path, clients: Sequence[str], server: str) -> None:
        """Raises StartError: a client that cannot be one."""
        self._folder = folder
        self._server = server
        self._texts: dict[str, str] = {}
        self._keys: dict[str, NewApiKey] = {}
        for name in clients:
            if not self._document(name).exists():
                if self.kubeconfig_of(name).exists():
                    text = (
                        f"`{self.kubeconfig_of(name)}` exists, but no document of client `{name}`: its key is unknown"
                    )
                    raise StartError(f"{text}. Remove it to get a new one")
                self._keys[name] = key = _new_key(name)
                self._texts[f"client-{name}{SUFFIX}"] = client_document(name, key.sha256)

    def add_cluster(self, text: str) -> None:
        self._texts["cluster.yaml"] = text

    @property
    def texts(self) -> Mapping[str, str]:
        """The documents that will be written: name → text."""
        return self._texts

    def things(self) -> tuple[Thing, ...]:
        """Documents first; a kubeconfig needs the CA, so it comes after the cluster's things."""
        return tuple(
            Thing("file", str(self._folder / name), {}, "a document of the gateway", once=True, stays=True)
            for name in sorted(self._texts)
        )

    def kubeconfigs(self) -> tuple[Thing, ...]:
        return tuple(
            Thing("kubeconfig", str(self.kubeconfig_of(name)), {"client": name}, f"for the client {name}: its API key, shown nowhere else", once=True)
            for name in sorted(self._keys)
        )  # fmt: skip

    def kubeconfig_of(self, client: str) -> Path:
        return self._folder.parent / f"{client}.kubeconfig"

    def read(self, thing: Thing) -> Found | None:
        return Found({}, ours=True) if Path(thing.name).exists() else None

    def create(self, thing: Thing, authority: str = "") -> None:
        path = Path(thing.name)
        if thing.kind == "file":
            _write(path, self._texts[path.name], 0o644)
            return
        client = str(thing.wanted["client"])
        _write(path, kubeconfig(client, self._keys[client].key.reveal(), self._server, authority), 0o600)

    def _document(self, client: str) -> Path:
        return self._folder / f"client-{client}{SUFFIX}"


def _new_key(name: str) -> NewApiKey:
    try:
        return new_api_key(name, os.urandom(32))
    except ValueError as error:
        raise StartError(str(error)) from None


def _write(path: Path, text: str, mode: int) -> None:
    """Never over a file that is there, and never readable by others for a moment."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w", encoding="utf-8") as file:
        file.write(text)
