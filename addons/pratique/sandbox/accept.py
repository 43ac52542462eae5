"""Content negotiation: which form of an answer the `Accept` header asks for.

Pure. The first clause that the sandbox can serve wins, as in the API server; protobuf and CBOR are passed over
(kubectl and client-go always offer JSON as well), so a client that takes only those gets 406.
"""

from __future__ import annotations

from dataclasses import dataclass

from pratique.sandbox import status

TABLE_VERSIONS = ("v1", "v1beta1")
META_FORMS = ("Table", "PartialObjectMetadata", "PartialObjectMetadataList")


@dataclass(frozen=True, slots=True)
class Form:
    """`kind` is "", "Table", "PartialObjectMetadata", "PartialObjectMetadataList" or a discovery list."""

    kind: str = ""
    version: str = "v1"
    yaml: bool = False
    pretty: bool = False


def choose(header: str, kinds: tuple[str, ...] = ()) -> Form:
    """The form for this header; `kinds` are the `as=` forms that the endpoint can answer."""
    if not header.strip():
        return Form()
    for clause in header.split(","):
        media, *parameters = [part.strip() for part in clause.split(";")]
        options = dict(part.partition("=")[::2] for part in parameters)
        form = _form(media.lower(), options, kinds)
        if form:
            return form
    raise status.not_acceptable()


def _form(media: str, options: dict[str, str], kinds: tuple[str, ...]) -> Form | None:
    if media in {"*/*", "application/*", "text/html"}:
        return Form()
    yaml = media == "application/yaml"
    if media != "application/json" and not yaml:
        return None
    kind = options.get("as", "")
    if kind and kind not in kinds:
        return None
    version = options.get("v", "v1")
    ours = options.get("g") == "meta.k8s.io" and version in TABLE_VERSIONS
    if kind in META_FORMS and not ours:
        return None
    return Form(kind, version, yaml)
