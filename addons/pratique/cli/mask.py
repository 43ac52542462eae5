"""`pratique mask`: masks a response body offline, with the gateway's own masker, and says what each rule did.

The body goes to standard output, the report to standard error; where a body cannot be masked nothing of it is written.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import click

from pratique.cli.output import default_policies, output_option, print_json, table
from pratique.documents import read_folder
from pratique.errors import MaskError, PratiqueError
from pratique.kube.attributes import RequestAttributes, request_attributes
from pratique.kube.objects import type_of_request
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.rules import MaskSet, compile_masks

_PROTOBUF = (b"k8s\0", b"\xd9\xd9\xf7")  # protobuf and CBOR of Kubernetes (apimachinery 1.36 `serializer`)


@click.command()
@click.option("--policies", type=click.Path(path_type=Path), default=None, help="Folder with MaskPolicy documents.")
@click.option(
    "--path", "target", required=True, help="URL path (and query) that the body answers: /api/v1/pods?watch=1"
)
@click.option("--content-type", default="", help="Content-Type of the body. [default: text/plain for logs, else JSON]")
@click.option("--client", default="demo", show_default=True, help="For which client.")
@output_option
@click.argument("file", type=click.File("rb"), default="-")
def mask(  # noqa: PLR0917 - click calls it by name
    policies: Path | None, target: str, content_type: str, client: str, output: str, file: BinaryIO
) -> None:
    """Mask FILE (default: standard input) as the answer to GET PATH.

    A List, a Table, one object, a watch (?watch=1), a Status, or the text of a log. What each rule did goes to standard
    error; `--output json` makes that one line of JSON.
    """
    masks = compile_masks(read_folder(policies or default_policies()))
    attributes = _attributes(target)
    masker = Masker(masks, attributes, client, KnownValues())
    shown, hits = masked_answer(masker, attributes, content_type, file.read())
    sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()
    _report(masks, attributes, client, hits, output)


def _attributes(target: str) -> RequestAttributes:
    attributes = request_attributes("GET", target.encode("utf-8", "surrogateescape"))
    if attributes.error:
        raise PratiqueError(f"`{target}` is no URL path: {attributes.error}. Example: /api/v1/secrets")
    return attributes


def masked_answer(
    masker: Masker, attributes: RequestAttributes, content_type: str, body: bytes
) -> tuple[bytes, dict[str, int]]:
    """The body as a client would get it, and rule → how often. Raises MaskError, with what to do."""
    is_text = attributes.subresource in {"log", "proxy"}
    content_type = content_type or ("text/plain" if is_text else "application/json")
    if content_type.startswith("application/json") and not is_text:
        _check_json(body)
    if attributes.verb == "watch":
        stream = masker.watch_stream()
        return stream.feed(body) + stream.close(), stream.hits
    masked = masker.mask_body(content_type, body)
    return masked.body, masked.hits


def _check_json(body: bytes) -> None:
    start = body.lstrip()[:1]
    if body.startswith(_PROTOBUF):
        raise MaskError(
            "this is protobuf or CBOR. The gateway never shows it: it asks the cluster for JSON, so give JSON"
        )
    if body and start not in {b"{", b"["}:
        raise MaskError("this is no JSON (is it YAML?). The gateway never shows YAML: use `kubectl get --raw PATH`")


def _report(masks: MaskSet, attributes: RequestAttributes, client: str, hits: dict[str, int], output: str) -> None:
    """Every rule for the type of the request, and whatever else has masked something (patterns, other kinds)."""
    rules = masks.plan(type_of_request(attributes), attributes.namespace, client).rules
    counts = {rule.id: hits.get(rule.id, 0) for rule in rules} | hits
    if output == "json":
        print_json({"masked": counts, "total": sum(hits.values()), "client": client, "path": attributes.path}, err=True)
        return
    table(["RULE", "MASKED"], counts.items(), err=True)
    if not masks.applies_to(client):
        click.echo(f"no MaskPolicy is for client `{client}`: everything passes as it is", err=True)
    elif not hits:
        click.echo("nothing masked", err=True)
