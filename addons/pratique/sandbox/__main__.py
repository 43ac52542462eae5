"""I/O: `python -m pratique.sandbox --state DIR`: the embedded cluster in the foreground, until SIGTERM or SIGINT.

Not a Kubernetes and never for production; see the package's docstring.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path

from pratique.sandbox.cluster import Sandbox, SandboxOptions, write_info, write_private


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m pratique.sandbox",
        description="An embedded cluster for demos, tests, policy work: not a Kubernetes, never for production.",
    )
    parser.add_argument(
        "--state", type=Path, required=True, help="folder for certificates, sandbox.json, scratch files"
    )
    parser.add_argument("--port", type=int, default=0, help="port of the API server; 0 takes a free one")
    parser.add_argument("--sts-port", type=int, default=0, help="port of the token service; 0 takes a free one")
    parser.add_argument("--static-token", default="", help="a bearer token to accept next to EKS tokens (for tests)")
    parser.add_argument("--log-interval", type=float, default=1.0, help="seconds between new log lines; 0 is none")
    parser.add_argument("--audit-log", type=Path, default=None, help="file for audit events, one JSON line each")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    arguments = _arguments(argv)
    options = SandboxOptions(
        port=arguments.port,
        sts_port=arguments.sts_port,
        static_token=arguments.static_token,
        log_interval=arguments.log_interval,
        audit_log=arguments.audit_log,
    )
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    sandbox = Sandbox(arguments.state, options)
    try:
        info = sandbox.start()
    except OSError as error:
        print(f"sandbox: cannot start: {error}", file=sys.stderr)
        return 1
    write_info(info, arguments.state / "sandbox.json")
    if options.static_token:
        write_private(arguments.state / "kubeconfig.json", sandbox.kubeconfig())
    print(f"sandbox ready: {info.server} (STS {info.sts_endpoint}, cluster {info.cluster_name})", flush=True)
    stop.wait()
    sandbox.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
