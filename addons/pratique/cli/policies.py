"""`pratique check DIR`: validate the documents, compile them, run their cases."""

from __future__ import annotations

import sys
from pathlib import Path

import click

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
@output_option
def check(folder: Path, output: str) -> None:
    """Validate the documents of FOLDER and run their cases. Exit 1 if anything is wrong."""
    report, errors = check_folder(folder)
    passed = report.passed and not errors
    lines = [*(str(error) for error in errors), *report.lines()]
    if output == "json":
        counts = {"policies": report.policies, "rules": report.rules, "cases": len(report.results)}
        print_json({"passed": passed, **counts, "failed": len(report.failed), "findings": lines})
    else:
        shown = console()
        for line in lines:
            unreached = ": no case reaches rule" in line
            shown.print(harmless(line), style="yellow" if unreached else "red", markup=False)
        mark = "[green]ok[/]" if passed else "[red]not ok[/]"
        summary = f"{report.policies} policies, {report.rules} rules, {len(report.results)} cases, {len(report.failed)} failed"
        console().print(f"{mark}: {summary}")
    sys.exit(0 if passed else 1)
