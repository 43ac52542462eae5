"""The command line `pratique`: its commands and their exit codes.

Belongs here: arguments, output for people and for programs, exit codes. Not here: anything that decides. Each command imports
what it needs when it runs, so that `pratique --help` does not wait for mitmproxy.
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import click

from pratique import __version__
from pratique.errors import PratiqueError
from pratique.kube.status import harmless

OK, PROBLEMS, USAGE = 0, 1, 2


class Commands(click.Group):
    """A group whose commands are modules, imported when named; an expected error is a line, not a traceback."""

    names: ClassVar[dict[str, str]] = {
        "run": "run",
        "check": "policies",
        "explain": "explain",
        "test-policy": "trying",
        "propose": "propose",
        "cases": "cases",
        "docs": "docs",
        "mask": "mask",
        "clients": "clients",
        "reviewers": "reviewers",
        "approvals": "approvals",
        "sessions": "sessions",
        "audit": "audit",
        "replay": "replay",
        "revoke": "revoke",
        "store": "store",
        "doctor": "doctor",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(self.names)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if name not in self.names:
            return None
        if name == "run":
            return _run
        import importlib  # noqa: PLC0415 - see the module docstring

        module = importlib.import_module(f"pratique.cli.{self.names[name]}")
        command: click.Command = getattr(module, name.replace("-", "_"))
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except (PratiqueError, OSError) as error:
            for line in _said(error).splitlines() or [type(error).__name__]:
                click.echo(f"pratique: {harmless(line)}", err=True)
            sys.exit(PROBLEMS)


def _said(error: Exception) -> str:
    """An OSError without its number, with the file that it is about."""
    if isinstance(error, OSError) and error.strerror and error.filename:
        return f"`{error.filename}`: {error.strerror}"
    return str(error)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def main() -> None:
    """The gateway between AI agents and Kubernetes: block, queue for approval, mask, record."""


@click.command("run", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def _run(arguments: tuple[str, ...]) -> None:
    """Serve: --policies DIR [--state DIR] [mitmdump options]."""
    from pratique.cli.run import run  # noqa: PLC0415 - imports mitmproxy

    sys.exit(run(arguments))
