"""The fields of the built-in kinds, as the sandbox needs them: by resource. The table itself is `pratique.kube.fields`."""

from __future__ import annotations

from pratique.kube.fields import Field, message_of_kind, messages, named
from pratique.sandbox.resources import Resource

__all__ = ["DELETE_OPTIONS", "Field", "message_of", "message_of_kind", "messages", "named"]

DELETE_OPTIONS = "meta.v1.DeleteOptions"


def message_of(resource: Resource) -> str:
    """`apps.v1.Deployment`; "" for a custom resource."""
    return "" if resource.custom else message_of_kind(resource.api_version, resource.kind)
