"""The service form ends when it is told to."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from pratique.cli.run import _stop_on_signals, run


@pytest.fixture
def _handlers():
    """The signals that are changed."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGPIPE)
    before = [signal.getsignal(number) for number in numbers]
    yield
    for number, handler in zip(numbers, before, strict=True):
        signal.signal(number, handler)


@pytest.mark.usefixtures("_handlers")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_is_not_lost_while_the_loop_has_more_to_do_than_its_pipe_holds(number):
    async def busy():
        loop, stopped = asyncio.get_running_loop(), asyncio.Event()

        class Owner:
            def shutdown(self):
                loop.call_soon_threadsafe(stopped.set)

        _stop_on_signals(Owner(), lambda: None)
        for _ in range(10_000):  # one byte each, and a Unix socket takes about 280 of them
            loop.call_soon_threadsafe(int)
        os.kill(os.getpid(), number)
        await asyncio.wait_for(stopped.wait(), 10)

    asyncio.run(busy())


@pytest.mark.parametrize("count", ["0", "65", "-1", "many", ""])
def test_a_number_of_workers_that_makes_no_sense_is_refused(count, capsys):
    with pytest.raises(SystemExit) as raised:
        run(["--workers", count])
    assert "--workers" in str(raised.value) + capsys.readouterr().err
