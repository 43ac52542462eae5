"""I/O: exec, attach and port-forward: which protocol is chosen, the 101, and who serves it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tornado.iostream import IOStream

from pratique.sandbox import execs, forwards, spdy, status
from pratique.sandbox.endpoints import Answer, Call
from pratique.sandbox.logs import container_of
from pratique.sandbox.process import Process
from pratique.sandbox.resources import Resource
from pratique.sandbox.websocket import WebSocket, accept_key

if TYPE_CHECKING:
    from pratique.sandbox.handler import JSON, ApiHandler

TUNNEL = "SPDY/3.1+portforward.k8s.io"
FORWARD = "portforward.k8s.io"
SPDY_EXEC = "v4.channel.k8s.io"  # the kubelet's best over SPDY


async def serve(handler: ApiHandler, call: Call, resource: Resource) -> None:
    """Raises StatusError for what is refused before the upgrade."""
    if call.method not in {"GET", "POST"}:
        raise status.method_not_allowed(resource, call.method)
    pod = handler.cluster.api.get(resource, call.route.namespace, call.route.name)
    if "upgrade" not in call.headers.get("connection", "").lower():
        raise status.bad_request("Upgrade request required")
    protocol = call.headers.get("upgrade", "").lower()
    if protocol not in {"websocket", "spdy/3.1"} or (protocol == "websocket" and call.method != "GET"):
        raise status.bad_request(f"unable to upgrade: unknown protocol {protocol!r}")
    if "*/*" not in call.headers.get("accept", "*/*"):  # as go-restful in the kubelet
        text = b"406: Not Acceptable\n\nAvailable representations: "
        handler.refuse_upgrade(Answer(text, 406, content_type="text/plain"))
        return
    if call.route.subresource == "portforward":
        await _forward(handler, call, pod, websocket=protocol == "websocket")
    elif protocol == "websocket":
        await _exec_over_websocket(handler, call, pod)
    else:
        await _exec_over_spdy(handler, call, pod)


def _offered(handler: ApiHandler, header: str) -> list[str]:
    """Repeated headers, and lists in one."""
    values = handler.request.headers.get_list(header)
    return [item.strip() for value in values for item in value.split(",") if item.strip()]


async def _exec_over_websocket(handler: ApiHandler, call: Call, pod: JSON) -> None:
    container, options = container_of(pod, call.query.first("container")), execs.ExecOptions.of(call.query)
    try:
        protocol = execs.choose(_offered(handler, "sec-websocket-protocol"))
    except execs.Refused:
        handler.refuse_upgrade(Answer(b"", 403, content_type="text/plain"))
        return
    await _run(handler, call, pod, container, options, execs.Channels(_websocket(handler, call, protocol), protocol))


async def _exec_over_spdy(handler: ApiHandler, call: Call, pod: JSON) -> None:
    container, options = container_of(pod, call.query.first("container")), execs.ExecOptions.of(call.query)
    if SPDY_EXEC not in _offered(handler, "x-stream-protocol-version"):
        raise status.bad_request(f"the sandbox speaks {SPDY_EXEC} over SPDY")
    channels = spdy.SpdyChannels(spdy.Connection(spdy.StreamCarrier(_spdy(handler, SPDY_EXEC))))
    expected = 1 + options.stdin + options.stdout + options.stderr + options.tty
    if await channels.open(expected):
        await _run(handler, call, pod, container, options, channels)


async def _run(  # noqa: PLR0917 - what an exec needs
    handler: ApiHandler,
    call: Call,
    pod: JSON,
    container: str,
    options: execs.ExecOptions,
    channels: execs.Channels | spdy.SpdyChannels,
) -> None:
    cluster = handler.cluster
    if call.route.subresource == "attach":
        place = (call.route.namespace, call.route.name, container)
        await execs.run_attach(channels, options, cluster.logs, place)
        return
    argv = call.query.all("command")
    folder, env = cluster.scratch(pod, container), cluster.environment(pod, container)
    await execs.run_exec(
        channels, argv, options, lambda: Process.start(argv, folder, env, stdin=options.stdin, tty=options.tty)
    )


async def _forward(handler: ApiHandler, call: Call, pod: JSON, *, websocket: bool) -> None:
    ports = forwards.Ports.of(pod)
    offered = _offered(handler, "sec-websocket-protocol" if websocket else "x-stream-protocol-version")
    if not websocket:
        if FORWARD not in offered:
            raise status.bad_request(f"the sandbox forwards by {FORWARD}")
        await forwards.over_spdy(spdy.Connection(spdy.StreamCarrier(_spdy(handler, FORWARD))), ports)
    elif TUNNEL in offered:
        carrier = spdy.MessageCarrier(_websocket(handler, call, TUNNEL))
        await forwards.over_spdy(spdy.Connection(carrier), ports)
    else:
        asked = [int(port) for value in call.query.all("ports") for port in value.split(",")]
        if not asked:
            raise status.bad_request('query parameter "port" is required')
        await forwards.over_channels(_websocket(handler, call, "v4.channel.k8s.io"), ports, asked)


def _websocket(handler: ApiHandler, call: Call, protocol: str) -> WebSocket:
    headers = {"Upgrade": "websocket", "Sec-WebSocket-Accept": accept_key(call.headers.get("sec-websocket-key", ""))}
    return WebSocket(handler.switch(headers | ({"Sec-WebSocket-Protocol": protocol} if protocol else {})))


def _spdy(handler: ApiHandler, protocol: str) -> IOStream:
    return handler.switch({"Upgrade": "SPDY/3.1", "X-Stream-Protocol-Version": protocol})
