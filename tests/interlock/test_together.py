"""Data that follows data leaves with it; nothing else changes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy.proxy import commands
from mitmproxy.test.tflow import tclient_conn, tserver_conn

from pratique.interlock import together as module
from pratique.interlock.together import together

ENDS = {"client": tclient_conn(), "server": tserver_conn()}
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(sorted(ENDS)), st.binary(max_size=12)),
        st.just(("log", b"")),
        st.just(("ask", b"")),
    )
)


def _said(steps: list[tuple[str, bytes]], replies: list[Any]) -> Any:
    for name, data in steps:
        if name in ENDS:
            reply = yield commands.SendData(ENDS[name], data)
            assert reply is None
        elif name == "log":
            reply = yield commands.Log("said")
            assert reply is None
        else:
            replies.append((yield commands.OpenConnection(ENDS["server"])))


def _run(generator: Any) -> tuple[list[Any], list[str]]:
    """What came, data as (receiver, bytes), and the replies that were given."""
    seen, given_replies, reply = list[Any](), list[str](), None
    while True:
        try:
            command = generator.send(reply)
        except StopIteration:
            return seen, given_replies
        reply = None
        if isinstance(command, commands.SendData):
            seen.append((command.connection.id, command.data))
        else:
            seen.append(type(command).__name__)
            if isinstance(command, commands.OpenConnection):
                reply = f"reply {len(given_replies)}"
                given_replies.append(reply)


def _flat(seen: list[Any]) -> list[Any]:
    """Byte by byte."""
    return [
        part for each in seen for part in ([(each[0], byte) for byte in each[1]] if isinstance(each, tuple) else [each])
    ]


@given(STEPS, st.integers(1, 40))
def test_every_byte_and_every_other_command_comes_in_the_same_order(steps: Any, limit: int) -> None:
    got, plain = list[Any](), list[Any]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_JOINED", limit)
        seen, replies = _run(together(_said(steps, got)))
    expected, _ = _run(_said(steps, plain))
    assert _flat(seen) == _flat(expected)
    assert got == replies == plain
    for one, other in zip(seen, seen[1:], strict=False):
        if isinstance(one, tuple) and isinstance(other, tuple) and one[0] == other[0]:
            assert len(one[1]) + len(other[1]) > limit


def test_head_body_and_end_of_an_answer_are_one_write() -> None:
    seen, _ = _run(together(_said([("client", b"head"), ("client", b"body"), ("client", b"")], [])))
    assert seen == [(ENDS["client"].id, b"headbody")]


def test_what_waits_when_a_layer_fails_is_not_sent() -> None:
    def failing() -> Any:
        yield commands.SendData(ENDS["client"], b"half")
        raise ValueError

    with pytest.raises(ValueError, match=r"^$"):
        _run(together(failing()))
    generator = together(failing())
    seen = list[Any]()
    with pytest.raises(ValueError, match=r"^$"):
        seen += generator
    assert seen == []
