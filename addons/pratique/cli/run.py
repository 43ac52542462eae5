"""I/O: `pratique run`, the service form: a master of ours with the addons added natively, so that no file is watched."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

from mitmproxy import exceptions, options, optmanager
from mitmproxy.tools import cmdline

from pratique import settings
from pratique.bundle import Bundle, start_or_exit
from pratique.errors import StartError
from pratique.launcher.master import GatewayMaster

QUIET = ("asyncio", "hpack", "tornado", "quic", "botocore", "boto3", "urllib3")


def run(arguments: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT. `arguments`: `--policies DIR`, `--state DIR`, and mitmdump's own options."""
    return asyncio.run(_serve(list(arguments)))


async def _serve(arguments: list[str]) -> int:
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
    _stop_on_signals(owner)
    await owner.run()
    return 0


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


def _stop_on_signals(owner: GatewayMaster) -> None:
    """Not by `loop.add_signal_handler`.

    It sends a signal through the pipe that also wakes the loop, and loses it where that is full: a busy loop with some
    280 wake-ups waiting ignored SIGTERM.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: owner.shutdown())  # type: ignore[no-untyped-call]
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
