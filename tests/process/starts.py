"""Starts that are expected to fail: the real entry points in a process each, forked from one that has imported them.

Run as a script it is that one process: a line of JSON on stdin is one start, the answer on stdout is its exit code.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.process.gateway import ROOT, Gateway


class Starts:
    """Saves the second that each start would need for its imports."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "addons"), str(ROOT)])}
        self._process = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )

    def refused(self, gateway: Gateway) -> str:
        """Starts it, expects an end by itself with code 1; what it wrote."""
        job = {
            "arguments": gateway.arguments(),
            "form": gateway.form,
            "environment": gateway.surroundings(),
            "log": str(gateway.log),
            "folder": str(gateway.folder),
        }
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        assert code == 1, (code, gateway.output)
        return gateway.output

    def close(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait(30)


SECONDS = 60
"""After these a start that should fail is serving: SIGALRM ends it, with a code that is not 1."""


def _start(job: dict[str, Any]) -> int:
    import signal

    signal.alarm(SECONDS)
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.clear()
    os.environ.update(job["environment"])
    os.chdir(job["folder"])
    try:
        if job["form"] == "run":
            from pratique.cli.run import run

            return run(job["arguments"])
        from mitmproxy.tools.main import mitmdump

        sys.argv = ["mitmdump", *job["arguments"]]
        return mitmdump(job["arguments"]) or 0
    except SystemExit as end:  # as the interpreter does
        if isinstance(end.code, str):
            os.write(2, f"{end.code}\n".encode())
            return 1
        return int(end.code or 0)


def _serve() -> None:
    import mitmproxy.tools.main  # noqa: F401 - so that the children need not

    import pratique.bundle
    import pratique.cli.run  # noqa: F401

    replies = os.fdopen(os.dup(1), "w")
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            code = 70
            with contextlib.suppress(BaseException):
                code = _start(json.loads(line))
            os._exit(code)
        _, status = os.waitpid(child, 0)
        replies.write(f"{os.waitstatus_to_exitcode(status)}\n")
        replies.flush()


if __name__ == "__main__":
    sys.path[:] = [path for path in sys.path if Path(path or ".").resolve() != Path(__file__).parent]
    _serve()
