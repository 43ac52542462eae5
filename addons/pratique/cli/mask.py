"""`pratique mask`: masks a response body offline, with the gateway's own masker."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import BinaryIO

import click

from pratique.cli.output import default_policies
from pratique.documents import read_folder
from pratique.kube.attributes import request_attributes
from pratique.masking.known import KnownValues
from pratique.masking.masker import Masker
from pratique.masking.rules import compile_masks


@click.command()
@click.option("--policies", type=click.Path(path_type=Path), default=None, help="Folder with MaskPolicy documents.")
@click.option("--path", "target", required=True, help="URL path (and query) that the body answers.")
@click.option("--content-type", default="application/json", help="Content-Type of the body.")
@click.option("--client", default="demo", help="For which client.")
@click.argument("file", type=click.File("rb"), default="-")
def mask(policies: Path | None, target: str, content_type: str, client: str, file: BinaryIO) -> None:
    """Mask FILE (default: standard input) as the answer to GET PATH; what each rule did goes to standard error."""
    masks = compile_masks(read_folder(policies or default_policies()))
    attributes = request_attributes("GET", target.encode("utf-8", "surrogateescape"))
    body = file.read()
    masker = Masker(masks, attributes, client, KnownValues())
    if attributes.verb == "watch":
        stream = masker.watch_stream()
        out, hits = stream.feed(body) + stream.close(), stream.hits
    else:
        masked = masker.mask_body(content_type, body)
        out, hits = masked.body, masked.hits
    sys.stdout.buffer.write(out)
    for rule, count in sorted(hits.items()):
        click.echo(f"{rule}: {count} masked", err=True)
    if not hits:
        click.echo("nothing masked", err=True)
