"""I/O: the Kubernetes side of an installation, with the Python client.

Belongs here: reading, making and deleting its objects. Not here: what is wanted (`wanted`), what is done (`plan`).
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

from pratique.errors import StartError
from pratique.setup.plan import Found, Thing
from pratique.setup.serving import Serving
from pratique.setup.wanted import INSTALLATION, MANAGED_BY, TAG_VALUE

KINDS = {
    "Namespace": "/api/v1/namespaces",
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Secret": "/api/v1/namespaces/{}/secrets",
    "ConfigMap": "/api/v1/namespaces/{}/configmaps",
    "ClusterRole": "/apis/rbac.authorization.k8s.io/v1/clusterroles",
    "ClusterRoleBinding": "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
_RBAC = ("ClusterRoleBinding", "ClusterRole", "RoleBinding", "Role")
"""What is deleted when no policy needs it any more; bindings first."""
CA_NAME = "pratique-ca"
SERVING_KEY, CA_KEY = "tls-combined.pem", "ca.crt"


class Cluster:
    """`api`: a kubernetes.client.ApiClient. `make_serving` makes the certificate for these names."""

    def __init__(self, api: Any, make_serving: Callable[[list[str]], Serving]) -> None:
        self._api = api
        self._make_serving = make_serving

    def read(self, thing: Thing) -> Found | None:
        found = self._get(_path(thing))
        return None if found is None else Found(found, _is_ours(found, thing))

    def unwanted(self, labels: dict[str, str]) -> dict[str, Found]:
        """Every RBAC object with the labels of this installation, by key; the wanted ones are among them."""
        found: dict[str, Found] = {}
        selector = ",".join(f"{name}={value}" for name, value in labels.items())
        for kind in _RBAC:
            listed = self._get(KINDS[kind].replace("/namespaces/{}", "") + f"?labelSelector={selector}")
            for item in (listed or {}).get("items") or []:
                namespace = item["metadata"].get("namespace", "")
                name = f"{namespace}/{item['metadata']['name']}" if namespace else item["metadata"]["name"]
                found[f"{kind}:{name}"] = Found(item, ours=True)
        return found

    def create(self, thing: Thing) -> None:
        if thing.kind == "Secret":
            self._create_serving(thing)
        else:
            self._send("POST", _collection(thing), dict(thing.wanted))

    def update(self, thing: Thing, differs: tuple[str, ...]) -> None:  # noqa: ARG002 - all of it is sent
        found = self._get(_path(thing)) or {}
        kept = found.get("metadata", {})
        labels = {**(kept.get("labels") or {}), **thing.wanted["metadata"]["labels"]}
        metadata = {**kept, "labels": labels}
        self._send("PUT", _path(thing), {**dict(thing.wanted), "metadata": metadata})

    def delete(self, thing: Thing) -> None:
        self._send("DELETE", _path(thing), None, missing=True)
        if thing.kind == "Secret":
            self._send("DELETE", f"{KINDS['ConfigMap'].format(_namespace(thing))}/{CA_NAME}", None, missing=True)

    def authority(self, namespace: str) -> str:
        """PEM of the CA of the serving certificate; empty where it was not made here."""
        found = self._get(f"{KINDS['ConfigMap'].format(namespace)}/{CA_NAME}") or {}
        return str((found.get("data") or {}).get(CA_KEY, ""))

    def _create_serving(self, thing: Thing) -> None:
        document = {key: value for key, value in thing.wanted.items() if key != "names"}
        serving = self._make_serving(list(thing.wanted["names"]))
        metadata = {**document["metadata"], "name": CA_NAME}
        authority = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {CA_KEY: serving.authority}}
        path = f"{KINDS['ConfigMap'].format(_namespace(thing))}"
        self._send("DELETE", f"{path}/{CA_NAME}", None, missing=True)  # of a Secret that somebody deleted
        self._send("POST", path, authority)
        combined = base64.b64encode(serving.combined.reveal().encode()).decode()
        self._send("POST", _collection(thing), {**document, "type": "Opaque", "data": {SERVING_KEY: combined}})

    # --- calls ---

    def _get(self, path: str) -> dict[str, Any] | None:
        return self._send("GET", path, None, missing=True)

    def _send(self, method: str, path: str, body: Any, *, missing: bool = False) -> dict[str, Any] | None:
        """The answer's document; None where there is none and that is no error."""
        from kubernetes.client.rest import ApiException  # noqa: PLC0415 - 300 ms

        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        url = self._api.configuration.host.rstrip("/") + path
        auth = self._api.configuration.auth_settings()
        headers |= {each["key"]: each["value"] for each in auth.values() if each["in"] == "header" and each["value"]}
        try:
            response = self._api.rest_client.request(method, url, headers=headers, body=body)
            document: dict[str, Any] = json.loads(response.data)
        except ApiException as error:
            if error.status == 404 and missing:
                return None
            raise _refused(method, path, error) from None
        except (OSError, ValueError, _http_error()) as error:
            raise StartError(f"the cluster cannot be asked: {type(error).__name__}. Check --context") from None
        return document


def _http_error() -> type[Exception]:
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - with the client

    found: type[Exception] = HTTPError
    return found


def _refused(method: str, path: str, error: Any) -> StartError:
    try:
        said = str(json.loads(error.body).get("message", ""))
    except (ValueError, TypeError, AttributeError):
        said = ""
    remedy = "Use a context that may do it"
    if error.status == 404:
        remedy = "Create the namespace that the policy names, then run it again"
    return StartError(f"{method} {path}: {error.status} {said}. {remedy}")


def _is_ours(found: dict[str, Any], thing: Thing) -> bool:
    """An object of another installation is not ours."""
    labels = found["metadata"].get("labels") or {}
    wanted = (thing.wanted.get("metadata") or {}).get("labels") or {}
    return labels.get(MANAGED_BY) == TAG_VALUE and labels.get(INSTALLATION) == wanted.get(INSTALLATION)


def _namespace(thing: Thing) -> str:
    return thing.name.partition("/")[0] if "/" in thing.name else ""


def _collection(thing: Thing) -> str:
    return KINDS[thing.kind].format(_namespace(thing))


def _path(thing: Thing) -> str:
    return f"{_collection(thing)}/{thing.name.rpartition('/')[2]}"
