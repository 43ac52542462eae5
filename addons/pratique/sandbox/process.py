"""I/O: the local process behind `exec`: argv in a scratch directory, with the pod's environment and nothing of ours.

Not a container: it runs with the rights, the file system and the network of whoever started the sandbox.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

CHUNK = 32 * 1024  # bytes; a kubelet copies in pieces of this size
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class StartError(Exception):
    """The command cannot be started; the text is the container runtime's."""


class Process:
    """`outputs` are (channel, reader): 1 stdout, 2 stderr; with a tty only 1."""

    def __init__(self, process: asyncio.subprocess.Process, outputs: list[tuple[int, asyncio.StreamReader]],
                 terminal: int | None = None) -> None:  # fmt: skip
        self._process = process
        self.outputs = outputs
        self._terminal = terminal

    @classmethod
    async def start(cls, argv: list[str], folder: Path, env: Mapping[str, str], *, stdin: bool, tty: bool) -> Process:
        """Raises StartError."""
        if not argv:
            raise StartError("exec failed: args must not be empty")
        env = {"PATH": PATH, "HOME": str(folder), **({"TERM": "xterm"} if tty else {}), **env}
        try:
            return await (cls._with_terminal(argv, folder, env) if tty else cls._with_pipes(argv, folder, env, stdin))
        except (OSError, ValueError) as error:
            why = "executable file not found in $PATH" if isinstance(error, FileNotFoundError) else str(error)
            text = f'exec failed: unable to start container process: exec: "{argv[0]}": {why}'
            raise StartError(text) from error

    @classmethod
    async def _with_pipes(cls, argv: list[str], folder: Path, env: Mapping[str, str], stdin: bool) -> Process:  # noqa: FBT001 - internal
        pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        process = await asyncio.create_subprocess_exec(
            *argv, cwd=folder, env=env, stdin=pipe if stdin else null, stdout=pipe, stderr=pipe, start_new_session=True
        )
        assert process.stdout
        assert process.stderr
        return cls(process, [(1, process.stdout), (2, process.stderr)])

    @classmethod
    async def _with_terminal(cls, argv: list[str], folder: Path, env: Mapping[str, str]) -> Process:
        ours, theirs = pty.openpty()
        try:
            process = await asyncio.create_subprocess_exec(
                *argv, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True,
                preexec_fn=_take_terminal,
            )  # fmt: skip
        except BaseException:
            os.close(ours)
            raise
        finally:
            os.close(theirs)
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(os.dup(ours), "rb", 0)
        )
        return cls(process, [(1, reader)], ours)

    async def write(self, data: bytes) -> None:
        if self._terminal is not None:
            await _write_all(self._terminal, data)
        elif self._process.stdin:
            with contextlib.suppress(ConnectionError):
                self._process.stdin.write(data)
                await self._process.stdin.drain()

    def close_stdin(self) -> None:
        if self._process.stdin:
            self._process.stdin.close()

    def resize(self, width: int, height: int) -> None:
        if self._terminal is not None:
            fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    async def wait(self) -> int:
        """The exit code as a shell counts it."""
        code = await self._process.wait()
        return code if code >= 0 else 128 - code

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        if self._terminal is not None:
            os.close(self._terminal)
            self._terminal = None


def _take_terminal() -> None:
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


async def _write_all(terminal: int, data: bytes) -> None:
    while data:
        try:
            data = data[os.write(terminal, data) :]
        except BlockingIOError:
            await asyncio.sleep(0.005)
        except OSError:
            return


async def pieces(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """What the process writes; ends at EOF, which a Linux pty reports as EIO."""
    while True:
        try:
            data = await reader.read(CHUNK)
        except OSError:
            return
        if not data:
            return
        yield data
