"""`./scripts/setup`: makes what an installation on EKS needs, shows the plan of it (--dry-run), or takes it back (--destroy)."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click

from pratique.cli.output import console, default_policies, output_option, print_json, table
from pratique.documents import Document
from pratique.errors import PratiqueError, StartError
from pratique.policy.decision import compile_policies
from pratique.policy.patterns import ANY
from pratique.policy.rules import PolicySpec
from pratique.setup.apply import Places, steps_of
from pratique.setup.aws import Aws
from pratique.setup.cluster import Cluster
from pratique.setup.files import Files, cluster_document, parsed, read_documents
from pratique.setup.plan import Action, Step, Thing
from pratique.setup.rights import Rights, rights
from pratique.setup.serving import serving_certificate
from pratique.setup.wanted import Installation, wanted

NEXT = (
    "next: build the image (scripts/deploy/Dockerfile), copy scripts/deploy/kustomize/example, change what is marked, "
    "kubectl apply -k it; then kubectl -n {} exec deploy/pratique -- /opt/pratique/bin/pratique doctor --policies "
    "/etc/pratique/policies"
)


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    cluster: str
    region: str | None
    role_x: str
    role_y: str
    documents: Path | None
    clients: tuple[str, ...]
    gateway_url: str
    namespace: str
    group: str
    boundary: str
    impersonate: bool
    context: str | None


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--cluster", required=True, help="Name of the EKS cluster.")
@click.option("--region", default=None, help="Its region; default: that of your AWS configuration.")
@click.option("--role-x", required=True, help="ARN of the gateway's own role, which exists.")
@click.option("--role-y", default="", help="Name of the role to make; default: pratique-CLUSTER.")
@click.option("--documents", type=click.Path(path_type=Path), default=None, help="Folder of the gateway's documents.")
@click.option("--client", "clients", multiple=True, help="A client to make, with its kubeconfig. Needs --documents.")
@click.option("--gateway-url", default="https://pratique.pratique.svc", show_default=True, help="As clients reach it.")
@click.option("--namespace", default="pratique", show_default=True, help="Of the gateway.")
@click.option("--group", default="pratique:agents", show_default=True, help="Kubernetes group of Role Y.")
@click.option("--permissions-boundary", "boundary", default="", help="ARN of a policy for Role Y.")
@click.option(
    "--impersonate", is_flag=True, help="Role Y only impersonates the ServiceAccount (clients: `impersonate`)."
)
@click.option("--context", default=None, help="Context of your kubeconfig; default: the current one.")
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("--destroy", is_flag=True, help="Take it back.")
@output_option
def main(dry_run: bool, destroy: bool, output: str, **asked: Any) -> None:  # noqa: FBT001 - click's
    """Role Y, its trust and access entry, RBAC of the policies, the serving certificate, documents, clients."""
    try:
        steps = run(Asked(**asked), dry_run=dry_run, destroy=destroy, output=output)
    except (PratiqueError, OSError) as error:
        click.echo(f"setup: {error}", err=True)
        sys.exit(1)
    sys.exit(1 if any(step.action is Action.REFUSE for step in steps) else 0)


def run(asked: Asked, *, dry_run: bool, destroy: bool, output: str) -> tuple[Step, ...]:
    """The plan, carried out unless `dry_run`. Raises StartError, DocumentErrors."""
    aws = Aws(*_aws_clients(asked.region), asked.cluster)
    described = aws.describe()
    api = _api_client(asked.context, described["endpoint"])
    places, what, things, given = _things(asked, aws, Cluster(api, _serving), described)
    steps = steps_of(places, what, things, back=destroy)
    refused = [step for step in steps if step.action is Action.REFUSE]
    _show(steps, given, output)
    if refused and not destroy:
        names = ", ".join(step.thing.key for step in refused)
        raise StartError(
            f"nothing was done: {names} exist and were not made by setup. Choose other names, or remove them"
        )
    if dry_run:
        return steps
    for step in places.do(steps, what.namespace):
        if step.changes and output == "text":
            click.echo(f"done: {step.action} {step.thing.kind} {step.thing.name}")
    if not destroy and output == "text":
        click.echo(NEXT.format(what.namespace), err=True)
    return steps


def _things(
    asked: Asked, aws: Aws, cluster: Cluster, described: dict[str, Any]
) -> tuple[Places, Installation, tuple[Thing, ...], Rights]:
    what = _installation(asked, described)
    aws.check_role(what.role_x_name)
    files = _files(asked, described, what)
    texts = {**read_documents(asked.documents or default_policies()), **(files.texts if files else {})}
    documents = parsed(texts, asked.documents or default_policies())
    compile_policies(documents)
    given = rights(documents, _clients(documents))
    if not given.rules:
        raise StartError("no policy is about any client: Role Y would have no rights. Add a Policy, or a client of one")
    if asked.documents is None:
        return Places(aws, cluster, None), what, wanted(what, given), given
    what = _installation(asked, described, texts)
    own = files.things() if files else ()
    more = files.kubeconfigs() if files else ()
    return Places(aws, cluster, files), what, (*own, *wanted(what, given), *more), given


def _clients(documents: list[Document]) -> list[str]:
    """Those of the folder; where there are none, every policy counts."""
    specs = [document.convert(("spec",), PolicySpec) for document in documents if document.kind == "Policy"]
    return [document.name for document in documents if document.kind == "Client"] or [
        subject.replace(ANY, "x") for spec in specs for subject in spec.subjects
    ]


def _files(asked: Asked, described: dict[str, Any], what: Installation) -> Files | None:
    if asked.documents is None:
        if asked.clients:
            raise StartError("--client needs --documents: the folder that its document goes to")
        return None
    files = Files(asked.documents, asked.clients, asked.gateway_url)
    if not any(document.kind == "Cluster" for document in parsed(read_documents(asked.documents), asked.documents)):
        region = asked.region or described["arn"].split(":")[3]
        files.add_cluster(cluster_document(described, region, what.role_y_arn))
    return files


def _installation(asked: Asked, described: dict[str, Any], texts: dict[str, str] | None = None) -> Installation:
    _, partition, _, _, account, _ = described["arn"].split(":", 5)
    host = urlsplit(asked.gateway_url).hostname
    if not host or not asked.gateway_url.startswith("https://"):
        raise StartError(f"--gateway-url `{asked.gateway_url}` is no https URL. Give https://HOST[:PORT]")
    if asked.role_x.split(":")[4:5] != [account] or ":role/" not in asked.role_x:
        raise StartError(
            f"--role-x `{asked.role_x}` is no role of account {account}. Give arn:…:iam::{account}:role/NAME"
        )
    service = f"pratique.{asked.namespace}.svc"
    admin = f"pratique-admin.{asked.namespace}.svc"
    return Installation(
        cluster=asked.cluster,
        cluster_arn=described["arn"],
        account=account,
        partition=partition,
        role_x_arn=asked.role_x,
        role_y=asked.role_y or f"pratique-{asked.cluster}",
        namespace=asked.namespace,
        group=asked.group,
        permissions_boundary=asked.boundary,
        impersonate=asked.impersonate,
        gateway_names=tuple(dict.fromkeys((host, service, f"{service}.cluster.local", admin))),
        documents={name: text for name, text in (texts or {}).items() if ".cases." not in name},
    )


def _serving(names: list[str]) -> Any:
    return serving_certificate(names, time.time())


def _aws_clients(region: str | None) -> tuple[Any, Any]:
    try:
        import boto3  # noqa: PLC0415 - --help does not wait for it

        session = boto3.session.Session(region_name=region)
        return session.client("iam"), session.client("eks")
    except Exception as error:  # noqa: BLE001 - botocore raises classes of its own making
        raise StartError(f"AWS: {type(error).__name__}. Give --region, and check AWS_PROFILE") from None


def _api_client(context: str | None, endpoint: str) -> Any:
    """A client of the kubeconfig's context, which must be that of the EKS cluster."""
    from kubernetes import config  # noqa: PLC0415 - as above

    try:
        api = config.new_client_from_config(context=context)
    except Exception as error:  # noqa: BLE001 - whatever is wrong with a kubeconfig
        remedy = "aws eks update-kubeconfig writes one; --context names a context"
        raise StartError(f"the kubeconfig cannot be used: {type(error).__name__}. {remedy}") from None
    host = str(api.configuration.host)
    if urlsplit(host).netloc.lower() != urlsplit(endpoint).netloc.lower():
        raise StartError(
            f"the context leads to `{host}`, the EKS cluster is at `{endpoint}`. Give its context: --context"
        )
    return api


def _show(steps: tuple[Step, ...], given: Rights, output: str) -> None:
    if output == "json":
        rows = [
            {"action": str(step.action), "kind": step.thing.kind, "name": step.thing.name, "why": step.thing.why, "differs": step.differs, "wanted": step.thing.wanted}
            for step in steps
        ]  # fmt: skip
        print_json({"steps": rows, "notes": given.notes})
        return
    if not steps:
        click.echo("nothing is there")
    rows_ = [
        (step.action, step.thing.kind, step.thing.name, ", ".join(step.differs) or step.thing.why) for step in steps
    ]
    table(["", "KIND", "NAME", "WHY"], rows_)
    for note in given.notes:
        console(err=True).print(f"note: {note}", markup=False)


if __name__ == "__main__":
    main()
