"""Flows that are written without mitmproxy are read by mitmproxy as it would have written them."""

from __future__ import annotations

import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mitmproxy import http
from mitmproxy.connection import Client, Server
from mitmproxy.io import FlowReader
from mitmproxy.version import FLOW_FORMAT_VERSION

from pratique.recorder import flowstate
from pratique.recorder.flowfile import Encoded, decode, encode
from pratique.recorder.flowstate import FLOW_FORMAT, Ends, Message, flow_bytes
from pratique.recorder.record import Record, Stage
from tests.recorder.support import NOON, record

ENDS = Ends("conn-1", ("10.0.0.9", 1234), ("127.0.0.1", 8443), NOON)
SERVER = flowstate.Server(b"https", "api", 6443)
ASKED = Message([(b"accept", b"application/json")], b"{}", NOON, NOON + 0.1)
TOLD = Message([(b"content-type", b"application/json"), (b"warning", b'299 - "x"')], b'{"a":1}', NOON + 0.2, NOON + 0.3)
FLOW = "3b241101-e2bb-4255-8caf-4136c566a962"


def read(data: bytes) -> http.HTTPFlow:
    (flow,) = FlowReader(io.BytesIO(data)).stream()
    assert isinstance(flow, http.HTTPFlow)
    return flow


def made(response: Message | None = TOLD, ends: Ends = ENDS, **changes: Any) -> http.HTTPFlow:
    return read(flow_bytes(record(1, flow=FLOW, **changes), ends, SERVER, ASKED, response))


def test_it_is_the_format_of_this_mitmproxy() -> None:
    assert FLOW_FORMAT == FLOW_FORMAT_VERSION


def test_mitmproxy_reads_the_flow_whole() -> None:
    flow = made(masks=("default/secret-data",), note="client disconnected")
    assert (flow.id, flow.request.method, flow.request.path) == (FLOW, "GET", "/api/v1/namespaces/default/pods?limit=5")
    assert (flow.request.host, flow.request.port, flow.request.scheme) == ("api", 6443, "https")
    assert flow.request.content == b"{}"
    assert flow.response is not None
    assert (flow.response.status_code, flow.response.content) == (200, b'{"a":1}')
    assert flow.response.headers["warning"] == '299 - "x"'
    assert flow.client_conn.peername == ("10.0.0.9", 1234)
    assert flow.server_conn.address == ("api", 6443)
    assert flow.error is not None
    assert flow.error.msg == "client disconnected"
    assert flow.comment == "Allow readers/pods · masked by default/secret-data · client disconnected"
    assert flow.metadata["pratique.rules"] == "readers/pods"
    assert flow.metadata["pratique.flow"] == FLOW


def test_its_state_has_the_keys_of_mitmproxys_own() -> None:
    own = http.HTTPFlow(Client(peername=("10.0.0.9", 1), sockname=("127.0.0.1", 2)), Server(address=("api", 6443)))
    own.request = http.Request.make("GET", "https://api:6443/x")
    own.response = http.Response.make(200, b"x")
    expected, state = own.get_state(), made().get_state()

    def keys(value: Any) -> Any:
        return {name: keys(item) for name, item in value.items()} if isinstance(value, dict) else None

    expected["metadata"] = state["metadata"]
    assert keys(state) == keys(expected)


def test_a_flow_without_answer_or_connection_can_be_read() -> None:
    flow = made(None, Ends("c", ("", 0), ("", 0), NOON))
    assert flow.response is None
    assert flow.client_conn.peername == ("", 0)
    assert flow.error is None


@pytest.mark.parametrize("stage", [Stage.RECEIVED, Stage.STARTED])
def test_only_the_end_of_a_request_has_its_id(stage: Stage) -> None:
    flow = made(stage=stage)
    assert flow.id != FLOW
    assert flow.metadata["pratique.flow"] == FLOW
    assert made(stage=stage).id == flow.id


@given(st.text(max_size=20), st.text(max_size=20), st.binary(max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_texts_can_be_written_and_read(path: str, message: str, body: bytes) -> None:
    meta = Record(flow=FLOW, method="GET", path=path, message=message)
    flow = read(flow_bytes(meta, ENDS, SERVER, Message([], body, NOON, None), None))
    assert flow.request.raw_content == body


def test_what_is_encoded_already_stands_as_it_is() -> None:
    assert decode(encode({"a": Encoded(encode([1, "x"])), "b": Stage.EVENT})) == {"a": [1, "x"], "b": "Event"}
