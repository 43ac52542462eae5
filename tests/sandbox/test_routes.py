from __future__ import annotations

import pytest

from pratique.sandbox.resources import Registry
from pratique.sandbox.routes import parse


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/api/v1/pods", ("pods", "", "", "", False)),
        ("/api/v1/namespaces/n/pods/p", ("pods", "n", "p", "", False)),
        ("/api/v1/namespaces/n/pods/p/log", ("pods", "n", "p", "log", False)),
        ("/api/v1/namespaces/n/pods/p%2Flog", ("pods", "n", "p", "log", False)),
        ("/api/v1/namespaces//secrets", ("secrets", "", "", "", False)),
        ("/api/v1/namespaces", ("namespaces", "", "", "", False)),
        ("/api/v1/namespaces/n", ("namespaces", "n", "n", "", False)),
        ("/api/v1/namespaces/n/status", ("namespaces", "n", "n", "status", False)),
        ("/api/v1/namespaces/n/pods/", ("pods", "n", "", "", False)),
        ("/apis/apps/v1/namespaces/n/deployments/d/scale", ("deployments", "n", "d", "scale", False)),
        ("/api/v1/watch/namespaces/n/secrets/s", ("secrets", "n", "s", "", True)),
        ("/api/v1/nodes/n/proxy/x/y", ("nodes", "", "n", "proxy", False)),
    ],
)
def test_resource_paths(path, expected):
    route = parse(path, Registry())
    assert route.resource is not None
    assert (route.resource.plural, route.namespace, route.name, route.subresource, route.watch) == expected


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/apis", "/apis/apps", "/apis/apps/v1", "/version", "/api/v1/nopes", "/apis/x/v1/pods",
             "/api/v1/namespaces/n/nodes", "/api/v1/watch", "", "/API/v1/pods"],
)  # fmt: skip
def test_other_paths_are_non_resource_paths(path):
    assert parse(path, Registry()).resource is None
