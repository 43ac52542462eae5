"""`pratique doctor`: each step between the gateway and its cluster, which one is broken, and the remedy."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import click
import msgspec

from pratique.behalf import GATEWAY
from pratique.cli.output import console, default_policies, output_option, print_json, table
from pratique.doctor.around import SERVICE_ACCOUNT_TOKEN, Surroundings, around
from pratique.doctor.examine import Examined, examine
from pratique.doctor.findings import Finding, State
from pratique.doctor.probes import ApiServer, Aws, UnreachableError, answers_tcp
from pratique.errors import DocumentErrors, StartError
from pratique.identity.clusters import EksSource, SandboxSource
from pratique.identity.gate import Credential
from pratique.identity.tls import write_tls_files
from pratique.identity.upstream import Upstream, load_upstream
from pratique.loaded import Loaded, load


@click.command()
@click.option("--policies", type=click.Path(path_type=Path), default=None, help="Folder of the gateway's documents.")
@click.option("--as-client", is_flag=True, help="Ask from where a client runs: what it could reach around the gateway.")
@click.option("--server", default="", help="With --as-client: the API server's URL, if no documents are at hand.")
@click.option("--gateway", default="", help="With --as-client: the gateway's URL, which must answer.")
@output_option
def doctor(policies: Path | None, as_client: bool, server: str, gateway: str, output: str) -> None:  # noqa: FBT001 - click's
    """Check every step: documents, endpoint, Role X, Role Y, token, rights, ways around. Exit 1 if one is broken."""
    found = _around(server, gateway) if as_client else _examined(policies or default_policies())
    findings = list(_progress(found, quiet=output == "json"))
    if output == "json":
        print_json([msgspec.to_builtins(finding) for finding in findings])
    else:
        _show(findings)
    sys.exit(1 if any(finding.state is State.BROKEN for finding in findings) else 0)


def _examined(folder: Path) -> Iterator[Finding]:
    try:
        loaded = load(folder)
        if isinstance(loaded.cluster.source, SandboxSource):
            raise StartError(f"`{folder}` is about the sandbox. Name a folder with another Cluster: --policies DIR")
        upstream = load_upstream(loaded.cluster)
    except DocumentErrors as error:
        remedy = "Mend them; `pratique check` shows the same"
        yield Finding("documents", State.BROKEN, "; ".join(str(each) for each in error.errors), remedy)
        return
    yield Finding("documents", State.OK, f"`{folder}` is in order")
    eks = loaded.cluster.source if isinstance(loaded.cluster.source, EksSource) else None
    with _api_server(upstream) as api:
        if isinstance(api, Finding):
            yield api
            return
        yield from examine(_what(loaded, upstream, eks), api, Aws(eks) if eks is not None else None)


def _what(loaded: Loaded, upstream: Upstream, eks: EksSource | None) -> Examined:
    def credential() -> Credential:
        return asyncio.run(upstream.sources.credential(GATEWAY, time.time()))

    return Examined(str(upstream.server), eks, loaded.clients.roles, credential, time.time)


@contextmanager
def _api_server(upstream: Upstream) -> Iterator[ApiServer | Finding]:
    with tempfile.TemporaryDirectory(prefix="pratique-doctor-") as folder:
        files = write_tls_files(Path(folder), upstream.certificate_authority, upstream.client_certificate)
        certificate = str(files.client_certificate) if files.client_certificate else None
        try:
            yield ApiServer(upstream.server, upstream.certificate_authority, upstream.tls_server_name, certificate)
        except UnreachableError as error:
            yield error.finding


def _around(server: str, gateway: str) -> Iterator[Finding]:
    own = os.environ.get("KUBERNETES_SERVICE_HOST", ""), os.environ.get("KUBERNETES_SERVICE_PORT", "443")
    endpoints = [place for place in (_place(server), (own[0], int(own[1])) if own[0] else None) if place is not None]
    if not endpoints:
        raise StartError("no API server to look for. Give its URL: --server https://…")
    seen = Surroundings(
        tuple(endpoints), _place(gateway), dict(os.environ), has_token=Path(SERVICE_ACCOUNT_TOKEN).exists()
    )
    return around(seen, answers_tcp)


def _place(url: str) -> tuple[str, int] | None:
    if not url:
        return None
    parts = urlsplit(url if "//" in url else f"//{url}")
    if not parts.hostname:
        raise StartError(f"`{url}` is no URL. Give https://HOST[:PORT]")
    return parts.hostname, parts.port or 443


def _progress(found: Iterable[Finding], *, quiet: bool) -> Iterator[Finding]:
    """A step may take seconds: on a terminal the one that was just done is shown meanwhile."""
    if quiet or not sys.stderr.isatty():
        yield from found
        return
    with console(err=True).status("documents …") as status:
        for finding in found:
            status.update(f"{finding.step} …")
            yield finding


def _show(findings: list[Finding]) -> None:
    rows = [(each.state.value, each.step, each.about, each.says, each.remedy) for each in findings]
    table(["", "STEP", "CLIENT", "FOUND", "REMEDY"], rows)
