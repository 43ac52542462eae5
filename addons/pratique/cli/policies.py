"""`pratique check DIR`: validate the documents, compile them, run their cases."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from pratique.cli.covered import covered_folder
from pratique.cli.output import console, output_option, print_json
from pratique.cli.recorded import recorded_request
from pratique.documents import Document, cases_files, read_folder, read_text
from pratique.errors import DocumentError, DocumentErrors
from pratique.identity.clusters import cluster_from
from pratique.kube.status import harmless
from pratique.loaded import READERS
from pratique.policy.cases import Case, parse_cases
from pratique.policy.check import CheckReport, check_folder_documents
from pratique.policy.decision import compile_policies


def check_folder(folder: Path) -> tuple[CheckReport, list[DocumentError]]:
    """The report on policies and cases, and the errors of all other kinds. DocumentErrors if the folder cannot be read."""
    documents = read_folder(folder)
    errors: list[DocumentError] = []
    cases: list[Case] = []
    for read in READERS:
        # The report compiles policies itself; a folder of policies without a Cluster is fit to be checked.
        if read is compile_policies or (read is cluster_from and not _has_cluster(documents)):
            continue
        try:
            read(documents)
        except DocumentErrors as found:
            errors += found.errors
    for file in cases_files(folder):
        try:
            cases += parse_cases(read_text(file), str(file), recorded_request)
        except DocumentErrors as found:
            errors += found.errors
    return check_folder_documents(documents, cases), errors


def _has_cluster(documents: list[Document]) -> bool:
    return any(document.kind == "Cluster" for document in documents)


@click.command()
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--coverage", is_flag=True, help="Also which rules, conditions and mask rules were reached, and which never."
)
@click.option("--recordings", "-r", multiple=True, type=click.Path(path_type=Path), help="Recordings that count, too.")
@output_option
def check(folder: Path, coverage: bool, recordings: tuple[Path, ...], output: str) -> None:  # noqa: FBT001
    """Validate the documents of FOLDER and run their cases. Exit 1 if anything is wrong."""
    if recordings and not coverage:
        raise click.UsageError("--recordings goes with --coverage")
    report, errors = check_folder(folder)
    passed = report.passed and not errors
    lines = [*(str(error) for error in errors), *report.lines()]
    covered = covered_folder(folder, report, recordings) if coverage and not report.errors and not errors else None
    if output == "json":
        counts = {"policies": report.policies, "rules": report.rules, "cases": len(report.results)}
        more = {"coverage": covered.as_json()} if covered else {}
        counts["failed"] = len(report.failed)
        print_json({"passed": passed, **counts, "observed": list(report.observed), "findings": lines, **more})
    else:
        _show(report, lines, {str(each) for each in (*report.unreached, *report.overlaps)}, passed=passed)
        if covered:
            covered.show()
    sys.exit(0 if passed else 1)


def _show(report: CheckReport, lines: list[str], hints: set[str], *, passed: bool) -> None:
    shown = console()
    for line in lines:
        shown.print(harmless(line), style="yellow" if line in hints else "red", markup=False)
    mark = "[green]ok[/]" if passed else "[red]not ok[/]"
    watched = f" ({', '.join(report.observed)} only observed)" if report.observed else ""
    summary = f"{report.policies} policies{watched}, {report.rules} rules, {len(report.results)} cases, {len(report.failed)} failed"
    console().print(f"{mark}: {harmless(summary)}")
