"""I/O: `pratique run`, the service form: a master of ours with the addons added natively, so that no file is watched."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

from mitmproxy import exceptions, options, optmanager
from mitmproxy.tools import cmdline

from pratique import settings
from pratique.bundle import Bundle, start_or_exit
from pratique.errors import StartError
from pratique.launcher import memory, workers
from pratique.launcher.master import GatewayMaster

QUIET = ("asyncio", "hpack", "tornado", "quic", "botocore", "boto3", "urllib3")


def run(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT. `arguments`: `--policies DIR`, `--state DIR`, `--workers N`, and mitmdump's own options."""
    count, rest = _workers(list(arguments))
    memory.settle_allocator()
    where = workers.place()
    if where is not None:
        rest += ["--set", f"pratique_worker={where.index}", "--set", f"pratique_workers={where.count}"]
        return asyncio.run(_serve(rest, where), loop_factory=workers.SharedPortLoop)
    if count > 1:
        return workers.Supervisor(count, [sys.executable, "-m", "pratique.cli.run", *rest]).run()
    return asyncio.run(_serve(rest))


def _workers(arguments: list[str]) -> tuple[int, list[str]]:
    """How many, and the other arguments."""
    own, rest = argparse.ArgumentParser(prog="pratique run", add_help=False, allow_abbrev=False), arguments
    own.add_argument("--workers", type=int, default=1)
    given, rest = own.parse_known_args(rest)
    if not 1 <= given.workers <= workers.MAX_WORKERS:
        raise SystemExit(f"pratique: --workers must be 1 to {workers.MAX_WORKERS}")
    return given.workers, rest


async def _serve(arguments: list[str], where: workers.Place | None = None) -> int:
    logging.getLogger().setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    opts = options.Options()
    owner = GatewayMaster(opts)
    settings.add_options(opts)
    bundle = Bundle()
    _parse(opts, _translated(arguments))
    start_or_exit(bundle, owner)
    owner.addons.add(bundle)
    if where is not None:
        owner.addons.add(workers.Ready(where, owner.shutdown))
    # A worker gets every signal twice: from the terminal and from the supervisor, which kills whoever takes too long.
    _stop_on_signals(owner, bundle.hurry if where is None else lambda: None)
    trimming = asyncio.create_task(memory.trim())
    await owner.run()
    trimming.cancel()
    asyncio.get_running_loop().set_exception_handler(_at_the_end)
    return 0


def _at_the_end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Connections that are still open are cancelled with the loop; asyncio 3.12 makes a traceback of each."""
    if not isinstance(context.get("exception"), asyncio.CancelledError):
        loop.default_exception_handler(context)


def _translated(arguments: list[str]) -> list[str]:
    """`--policies DIR` and `--state DIR` are options of ours under a shorter name."""
    translated: list[str] = []
    short = {"--policies": "pratique_policies", "--state": "pratique_state"}
    rest = iter(arguments)
    for argument in rest:
        name, has_value, value = argument.partition("=")
        if name not in short:
            translated.append(argument)
            continue
        given = value if has_value else next(rest, "")
        if not given:
            sys.stderr.write(f"pratique: {name} needs a folder\n")
            raise SystemExit(2)
        translated += ["--set", f"{short[name]}={given}"]
    return translated


def _parse(opts: options.Options, arguments: list[str]) -> None:
    """As mitmdump's own main: `--set`, then the config file (which may so be named), then flags."""
    args = cmdline.mitmdump(opts).parse_args(arguments)
    try:
        opts.set(*args.setoptions, defer=True)
        optmanager.load_paths(opts, os.path.join(opts.confdir, "config.yaml"), os.path.join(opts.confdir, "config.yml"))  # noqa: PTH118 - mitmproxy's own expression
        if args.quiet:
            args.termlog_verbosity = "error"
        if args.verbose:
            raise StartError("-v logs requests with their credentials")
        opts.update(**{k: v for k, v in vars(args).items() if k in opts and v is not None})
    except (exceptions.OptionsError, StartError) as error:
        raise SystemExit(f"pratique: {error}") from None


def _stop_on_signals(owner: GatewayMaster, hurry: Callable[[], None]) -> None:
    """The first lets the gateway end in order; every further one is for somebody who does not want to wait.

    Not by `loop.add_signal_handler`.

    It sends a signal through the pipe that also wakes the loop, and loses it where that is full: a busy loop with some
    280 wake-ups waiting ignored SIGTERM.
    """
    asked = False

    def stop(*_: object) -> None:
        nonlocal asked
        if asked:
            hurry()
        asked = True
        owner.shutdown()  # type: ignore[no-untyped-call]

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
