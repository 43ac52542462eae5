"""A cluster that speaks HTTP/2, takes 100 streams on a connection as kube-apiserver does, and never ends a watch."""

from __future__ import annotations

import socket

import h2.config
import h2.connection
import h2.events
import h2.settings

from tests.process.cluster import FakeCluster

STREAMS = 100
EVENT = b'{"type":"BOOKMARK","object":{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"1"}}}\n'
LIST = b'{"kind":"ConfigMapList","apiVersion":"v1","metadata":{},"items":[]}'


def serve(cluster: FakeCluster, sock: socket.socket) -> None:
    with cluster.tls(sock) as conn:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False, header_encoding="utf-8"))
        connection.local_settings = h2.settings.Settings(
            client=False, initial_values={h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS}
        )
        connection.initiate_connection()
        conn.sendall(connection.data_to_send())
        while data := conn.recv(65536):
            for event in connection.receive_data(data):
                if isinstance(event, h2.events.RequestReceived):
                    _answer(connection, event)
            conn.sendall(connection.data_to_send())
        cluster.ended.release()


def _answer(connection: h2.connection.H2Connection, event: h2.events.RequestReceived) -> None:
    number = event.stream_id
    watch = "watch=true" in dict(event.headers)[":path"]
    connection.send_headers(number, [(":status", "200"), ("content-type", "application/json")])
    connection.send_data(number, EVENT if watch else LIST, end_stream=not watch)
