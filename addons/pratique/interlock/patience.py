"""Which requests an API server gives no deadline, so that the gateway gives them none either. Pure.

Source: kube-apiserver 1.36, `BasicLongRunningRequestCheck` as set up in `pkg/controlplane/apiserver/config.go`.
"""

from __future__ import annotations

from pratique.kube.attributes import RequestAttributes

VERBS = frozenset({"watch", "proxy"})
SUBRESOURCES = frozenset({"attach", "exec", "log", "portforward", "proxy"})


def is_long_running(attributes: RequestAttributes) -> bool:
    return attributes.verb in VERBS or attributes.subresource in SUBRESOURCES
