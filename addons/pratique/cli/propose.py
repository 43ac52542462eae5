"""`pratique propose`: the least policy that would have let pass what a client did, and the RBAC that goes with it."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import click
from ruamel.yaml import YAML

from pratique.cli.output import console
from pratique.cli.trying import SHOWN_BAD, progress_bar
from pratique.documents import parse
from pratique.errors import RecordError
from pratique.identity.clients import Clients
from pratique.kube.status import harmless
from pratique.masking.rules import compile_masks
from pratique.policy.decision import PolicySet, compile_policies
from pratique.policy.patterns import Globs
from pratique.trial.judging import As, Engine
from pratique.trial.proposal import proposed
from pratique.trial.proposal_text import policy_text
from pratique.trial.reading import BadRecording, files_of, pieces, read
from pratique.trial.role import dns_name, manifests
from pratique.trial.usage import Usage

_PATH = click.Path(path_type=Path)


@click.command()
@click.option("--recordings", "-r", multiple=True, required=True, type=_PATH, help="As of `pratique test-policy`.")
@click.option("--client", required=True, help="Whose policy; with --user, the name that these users get.")
@click.option("--user", "users", multiple=True, help="Users of an audit log that are this client (globs).")
@click.option("--name", default="", help="Of the policy. [default: CLIENT-proposed]")
@click.option("--out", type=_PATH, default=None, help="Where the policy goes. [default: standard output]")
@click.option(
    "--rbac", type=_PATH, default=None, help="Also write ClusterRole, Roles and bindings for Role Y to this file."
)
@click.option("--group", default="", help="Kubernetes group that they are bound to. [default: pratique:CLIENT]")
@click.option("--also-denied", is_flag=True, help="Also for what was denied when it was recorded.")
@click.option("--keep-going", is_flag=True, help="Read on after what cannot be read; exit 1 all the same.")
def propose(  # noqa: PLR0917 - the options of a command line
    recordings: tuple[Path, ...],
    client: str,
    users: tuple[str, ...],
    name: str,
    out: Path | None,
    rbac: Path | None,
    group: str,
    also_denied: bool,  # noqa: FBT001
    keep_going: bool,  # noqa: FBT001
) -> None:
    """Propose a policy for CLIENT from what it did. Nothing is sent, and nothing that escalates privileges is in it."""
    usage = Usage(client, also_denied)
    bad = _collect(usage, recordings, users, keep_going=keep_going)
    rules = proposed(usage)
    if not rules:
        raise RecordError(f"no request of client `{client}` is in these recordings that a rule could be for")
    name = name or f"{dns_name(client)}-proposed"
    text = policy_text(usage, rules, name, ", ".join(map(str, recordings)))
    compile_policies(parse(text, str(out or name)))  # what is printed can be used
    if out is None:
        click.echo(text, nl=False)
    else:
        out.write_text(text, encoding="utf-8")
    if rbac is not None:
        rbac.write_text(_yaml(manifests(rules, client, group or f"pratique:{client}")), encoding="utf-8")
    left = sum(usage.left_out.values())
    said = f"{usage.requests} requests of client {client}: {len(rules)} rules, {left} requests left out (they are named at the end)"
    console(err=True).print(harmless(said), markup=False)
    sys.exit(1 if bad else 0)


def _collect(usage: Usage, recordings: tuple[Path, ...], users: tuple[str, ...], *, keep_going: bool) -> int:
    """How many parts could not be read."""
    engine = Engine(PolicySet(()), compile_masks(()), Clients(), As(usage.client, force=bool(users)))
    wanted, bad = Globs(users), 0

    def on_bad(problem: BadRecording) -> None:
        nonlocal bad
        if not keep_going:
            raise problem
        bad += 1
        if bad <= SHOWN_BAD:
            click.echo(f"pratique: {harmless(str(problem))}", err=True)

    with progress_bar() as begin:
        work = [piece for file in files_of(recordings) for piece in pieces(file, on_bad)]
        told = begin(sum(piece.end - piece.start for piece in work))
        for piece in work:
            for recorded in read(piece, on_bad):
                if not users or wanted.match(recorded.client):
                    usage.take(recorded, engine.judge(recorded))
            told(piece.end - piece.start)
    return bad


def _yaml(documents: list[dict[str, object]]) -> str:
    out = io.StringIO()
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]
    yaml.dump_all(documents, out)
    return out.getvalue()
