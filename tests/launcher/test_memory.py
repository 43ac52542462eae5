"""What the service form sets for its process, seen in a process of its own."""

from __future__ import annotations

import asyncio
import ctypes
import subprocess
import sys

import pytest

from pratique.launcher import memory

ARENAS = """
import ctypes, sys, tempfile, threading
from pratique.launcher import memory

memory.settle_allocator({})
library = ctypes.CDLL(None)
threads, meet = 12, threading.Barrier(13)

def takes():
    library.malloc.restype = ctypes.c_void_p
    taken = library.malloc(5000)
    meet.wait()
    meet.wait()

for _ in range(threads):
    threading.Thread(target=takes, daemon=True).start()
meet.wait()
library.fopen.restype, library.fopen.argtypes = ctypes.c_void_p, [ctypes.c_char_p, ctypes.c_char_p]
library.malloc_info.argtypes, library.fclose.argtypes = [ctypes.c_int, ctypes.c_void_p], [ctypes.c_void_p]
with tempfile.NamedTemporaryFile("r") as file:
    stream = library.fopen(file.name.encode(), b"w")
    library.malloc_info(0, stream)
    library.fclose(stream)
    print(file.read().count("<heap nr="))
"""


def test_threads_share_two_arenas_where_the_allocator_is_glibcs() -> None:
    if not hasattr(ctypes.CDLL(None), "mallopt"):  # musl, macOS
        memory.settle_allocator({})
        return
    done = subprocess.run([sys.executable, "-c", ARENAS], check=True, capture_output=True, text=True)
    assert int(done.stdout) <= 2


class Library:
    """A C library that says what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[int, ...]] = []

    def mallopt(self, *given: int) -> int:
        self.told.append(given)
        return 1

    def malloc_trim(self, *given: int) -> int:
        self.told.append(given)
        return 0


@pytest.mark.parametrize("variable", memory.VARIABLES)
def test_what_the_operator_says_of_the_allocator_stands(variable: str) -> None:
    library = Library()
    memory.settle_allocator({variable: "4"}, library)
    asyncio.run(memory.trim({variable: "4"}, library, seconds=0))
    assert library.told == []
    memory.settle_allocator({"OTHER": "4"}, library)
    assert library.told == [(memory.M_ARENA_MAX, memory.ARENAS)]


def test_a_c_library_without_the_calls_is_left_alone() -> None:
    memory.settle_allocator({}, object())
    asyncio.run(memory.trim({}, object(), seconds=0))


def test_free_pages_are_given_back_until_the_gateway_stops() -> None:
    library = Library()

    async def serve() -> None:
        trimming = asyncio.create_task(memory.trim({}, library, seconds=0))
        while len(library.told) < 3:
            await asyncio.sleep(0)
        trimming.cancel()
        with pytest.raises(asyncio.CancelledError):
            await trimming

    asyncio.run(serve())
    assert set(library.told) == {(0,)}
