"""A mitmproxy script for tests: makes the inside of each hook raise when the request's path names it.

Loaded before the gateway. `/api/v1/namespaces/fault-<place>/configmaps/x` raises in <place>. Hooks of connections know no
path: there it is the name that the client asks for in its TLS handshake.
"""

from __future__ import annotations

from typing import Any

from pratique.identity import addon as identity_addon
from pratique.interlock import addon as interlock_addon
from pratique.interlock import layers as interlock_layers
from pratique.masking import addon as masking_addon
from pratique.masking.frames import ChannelMasker
from pratique.policy import addon as policy_addon
from pratique.recorder import addon as recorder_addon
from pratique.tunnel.exec_websocket import ExecOverWebSocket


class Boom(Exception):
    """Not ours: what a bug would raise."""


def _raise_at(owner: Any, name: str, place: str, flow_of: Any) -> None:
    original = getattr(owner, name)

    def patched(*args: Any, **kwargs: Any) -> Any:
        if f"fault-{place}" in flow_of(args):
            raise Boom("secret-in-exception-CANARY")
        return original(*args, **kwargs)

    setattr(owner, name, patched)


def _path(args: tuple[Any, ...]) -> str:
    for arg in args:
        if isinstance(arg, bytes | str):
            continue
        request = getattr(arg, "request", None)
        if isinstance(getattr(request, "path", None), str):
            return str(request.path)
        if isinstance(getattr(arg, "path", None), str):
            return arg.path
        canonical = getattr(arg, "canonical", None) or (arg if hasattr(arg, "target") else None)
        if canonical is not None:
            target = canonical.target
            return target.decode("latin-1") if isinstance(target, bytes) else str(target)
    return ""


_raise_at(identity_addon, "read_head", "identity-requestheaders", _path)
_raise_at(policy_addon, "canonicalise", "policy-request", _path)
_raise_at(masking_addon, "refuse_oracles", "masking-request", _path)
_raise_at(masking_addon.Masking, "_masker", "masking-responseheaders", _path)
_raise_at(masking_addon.Masking, "_mask", "masking-response", lambda args: _path(args[2:]))
_raise_at(recorder_addon.Recorder, "_session", "recorder-requestheaders", _path)
_raise_at(recorder_addon.Recorder, "_append", "recorder-response", _path)
_raise_at(interlock_addon.Interlock, "_request", "interlock-request", _path)
_raise_at(interlock_addon.Interlock, "_response", "interlock-response", _path)


def _raise_on(owner: Any, name: str, place: str) -> None:
    """Raises where an argument holds the name of the place."""
    original = getattr(owner, name)

    def patched(self: Any, *args: Any) -> Any:
        if f"fault-{place}" in repr(args):
            raise Boom("secret-in-exception-CANARY")
        return original(self, *args)

    setattr(owner, name, patched)


_raise_on(recorder_addon.SpoolTape, "write", "recorder-tape")
_raise_on(ExecOverWebSocket, "_show", "tunnel-show")
_raise_on(ExecOverWebSocket, "_stdin", "tunnel-stdin")
_raise_on(ChannelMasker, "feed", "masking-output")

_stream = masking_addon.Masking._stream


class _Failing:
    """A masker's stream that fails at what it must not show: a piece with `fault-masking-stream` in it."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def feed(self, data: bytes) -> bytes:
        if b"fault-masking-stream" in data:
            raise Boom("secret-in-exception-CANARY")
        return self._stream.feed(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _failing(self: Any, flow: Any, state: Any, masker: Any) -> None:
    _stream(self, flow, state, masker)
    state.stream._stream = _Failing(state.stream._stream)


masking_addon.Masking._stream = _failing
_gate = identity_addon.attach_credential


def _attach(headers: Any, *more: Any) -> Any:
    if any(b"fault-gate-request" in value for _, value in headers):
        raise Boom("secret-in-exception-CANARY")
    return _gate(headers, *more)


identity_addon.attach_credential = _attach

_hello: list[bytes] = [b""]
_next_layer, _layers, _server_connect = (
    interlock_addon.Interlock.next_layer,
    interlock_addon.Interlock._layers,
    interlock_addon.Interlock.server_connect,
)


def _remember(self: Any, nextlayer: Any) -> None:
    _hello[0] = nextlayer.data_client()
    _next_layer(self, nextlayer)


def _no_layers(self: Any, context: Any, *, tls: bool) -> Any:
    if b"fault-next-layer" in _hello[0]:
        raise Boom("secret-in-exception-CANARY")
    return _layers(self, context, tls=tls)


class _NoAddress:
    """A server of which only the error can be set."""

    def __init__(self, server: Any) -> None:
        self.__dict__["_server"] = server

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._server, name, value)

    @property
    def address(self) -> Any:
        raise Boom("secret-in-exception-CANARY")


def _no_connect(self: Any, data: Any) -> None:
    if data.client.sni == "fault-server-connect":
        data.server = _NoAddress(data.server)
    _server_connect(self, data)


_raise_at(interlock_layers.LimitedHttpStream, "make_server_connection", "layer", lambda args: args[0].flow.request.path)
interlock_addon.Interlock.next_layer = _remember
interlock_addon.Interlock._layers = _no_layers
interlock_addon.Interlock.server_connect = _no_connect
