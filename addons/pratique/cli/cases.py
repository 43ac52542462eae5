"""`pratique cases add`: a recorded request becomes a case of a policy folder."""

from __future__ import annotations

import os
import re
import tempfile
from dataclasses import replace
from pathlib import Path

import click

from pratique.cli.output import console, default_policies
from pratique.documents import cases_files, parse, read_folder, read_text
from pratique.errors import PratiqueError
from pratique.kube.status import harmless
from pratique.policy.cases import KIND, REFUSED, CaseRequest, CaseSpec, CasesSpec, Expect, policy_request, run_cases
from pratique.recorder.scrub import scrub_header
from pratique.trial.as_case import add_case, case_request, judged_case, masked, new_file, replace_client
from pratique.trial.judging import As, Engine, Judgement
from pratique.trial.reading import BadRecording, files_of, pieces, read
from pratique.trial.recorded import RecordedRequest

_NTH = re.compile(r"(?P<file>.+):(?P<number>[1-9][0-9]{0,8})\Z")


@click.group()
def cases() -> None:
    """Cases of policies."""


@cases.command()
@click.argument("flow")
@click.option("--expect", required=True, type=click.Choice(["Allow", "RequireApproval", "Deny", REFUSED]))
@click.option("--why", required=True, help="One line: why it must be so.")
@click.option("--policies", type=click.Path(path_type=Path), default=None, help="Folder of the policies.")
@click.option("--recordings", "-r", multiple=True, type=click.Path(path_type=Path), help="Where an Audit-ID is found.")
@click.option("--name", default="", help="Of the case. [default: its request in words]")
@click.option("--client", default="", help="As which client. [default: the recorded one, or demo]")
@click.option("--file", "into", type=click.Path(path_type=Path), default=None, help="The *.cases.yaml to write to.")
def add(  # noqa: PLR0917 - the options of a command line
    flow: str,
    expect: str,
    why: str,
    policies: Path | None,
    recordings: tuple[Path, ...],
    name: str,
    client: str,
    into: Path | None,
) -> None:
    """Append a case for the recorded request FLOW: FILE:N (the N-th of a recording), or an Audit-ID with --recordings.

    The rest of the file stays as it is. Says whether the policies pass the case now.
    """
    folder = policies or default_policies()
    documents = read_folder(folder)
    engine = Engine.of(documents, As(client, force=bool(client)))
    recorded = _find(flow, recordings)
    found = engine.judge(recorded)
    file = into or _file(folder, found)
    spec = CaseSpec(
        name or found.asked.words, _request(found, recorded, engine), _expect(expect, why, found), found.client
    )
    text = read_text(file) if file.exists() else ""
    own = _client_of(text, str(file)) if text else found.client
    spec = replace_client(spec, own)
    _write(file, add_case(text, str(file), spec) if text else new_file(_stem(file), found.client, spec))
    _say(engine, spec, own, file)


def _find(flow: str, recordings: tuple[Path, ...]) -> RecordedRequest:
    nth = _NTH.fullmatch(flow)
    number = 0
    if nth and not recordings:
        number, recordings = int(nth["number"]), (Path(nth["file"]),)
    elif not recordings:
        raise click.UsageError(f"`{flow}` is no FILE:N. Give one, or an Audit-ID with --recordings")
    ignored: list[BadRecording] = []
    seen = 0
    for file in files_of(recordings):
        for piece in pieces(file, ignored.append):
            for recorded in read(piece, ignored.append):
                seen += 1
                if seen == number or (not number and recorded.id == flow):
                    return recorded
    unread = f" ({len(ignored)} parts could not be read: {ignored[0]})" if ignored else ""
    raise PratiqueError(f"`{flow}` is not among {seen} recorded requests{unread}")


def _request(found: Judgement, recorded: RecordedRequest, engine: Engine) -> CaseRequest:
    if found.request is None or found.canonical is None:
        raw = recorded.raw
        headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw.headers}
        told = {name: value for name, value in headers.items() if name not in {"host", "content-length", "audit-id"}}
        kept = {name: value for name, value in told.items() if scrub_header(name, value) == value}  # no credential
        return CaseRequest(raw.method.decode("latin-1"), raw.target.decode("latin-1"), kept)
    request, canonical = masked(found.request, found.canonical, engine.masks)
    if canonical is not found.canonical:
        click.echo("values are masked in the case, by the MaskPolicies of the folder", err=True)
    return case_request(request, canonical, with_result=_reads_result(found, engine))


def _reads_result(found: Judgement, engine: Engine) -> bool:
    if found.request is None or found.request.result is None:
        return False
    return engine.policies.needs(replace(found.request, result=None)).result


def _expect(action: str, why: str, found: Judgement) -> Expect:
    """With the rules, where it is so already; without where they are still to be written."""
    rules = found.rules if found.outcome == action and action != REFUSED else None
    return Expect(action, rules, why=why)  # type: ignore[arg-type]  # one of the choices


def _file(folder: Path, found: Judgement) -> Path:
    """The only file, or that of the policy that decided."""
    files = cases_files(folder)
    if len(files) == 1:
        return files[0]
    owners = {rule.partition("/")[0] for rule in found.rules} - {"builtin"}
    if len(owners) == 1:
        return folder / f"{owners.pop()}.cases.yaml"
    listed = ", ".join(file.name for file in files) or "none"
    raise click.UsageError(f"name the file of cases with --file (there are: {listed})")


def _client_of(text: str, file: str) -> str:
    documents = parse(text, file, kinds={KIND})
    return documents[0].convert(("spec",), CasesSpec).client


def _stem(file: Path) -> str:
    return file.name.partition(".cases.")[0]


def _write(file: Path, text: str) -> None:
    """Whole or not at all."""
    mode = file.stat().st_mode & 0o777 if file.exists() else 0o644
    with tempfile.NamedTemporaryFile("w", dir=file.parent, prefix=".cases-", delete=False, encoding="utf-8") as new:
        new.write(text)
    Path(new.name).chmod(mode)
    os.replace(new.name, file)  # noqa: PTH105 - a name, not a Path


def _say(engine: Engine, spec: CaseSpec, client: str, file: Path) -> None:
    case = judged_case(spec, client, str(file))
    (result,) = run_cases(engine.policies, [case])
    shown = console()
    shown.print(f"wrote case `{harmless(spec.name)}` to {file}", markup=False)
    if result.problem:
        shown.print(f"the policies do not pass it yet: {harmless(result.problem)}", style="yellow", markup=False)
    if spec.expect.action == REFUSED or not (needs := engine.policies.needs(policy_request(case)).names):
        return
    listed = ", ".join(needs)
    shown.print(f"a rule asks the cluster for {listed}: write what it would say into the case", style="yellow")
