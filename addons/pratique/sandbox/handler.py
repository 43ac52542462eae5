"""I/O: one HTTP request on the sandbox API server: authenticate, record, dispatch, write the answer or the stream."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import io
import uuid
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from ruamel.yaml import YAML
from tornado.iostream import IOStream, StreamClosedError
from tornado.web import RequestHandler

from pratique.sandbox import bodies, lists, routes, status, streams, upgrades
from pratique.sandbox.accept import choose
from pratique.sandbox.authenticator import ThrottledError, TokenError, User
from pratique.sandbox.endpoints import LIST_FORMS, Answer, Call
from pratique.sandbox.logs import container_of, selected
from pratique.sandbox.query import Query
from pratique.sandbox.record import RecordedRequest, Scripted
from pratique.sandbox.resources import Resource

if TYPE_CHECKING:
    from pratique.sandbox.cluster import Cluster

JSON = dict[str, Any]
GZIP_ABOVE = 128 * 1024  # bytes, apiserver's defaultGzipThresholdBytes
UPGRADES = ("exec", "attach", "portforward")


class ApiHandler(RequestHandler):
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "DELETE", "PATCH", "PUT", "OPTIONS")

    def initialize(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.gone = asyncio.Event()
        self.recorded: RecordedRequest | None = None

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-cache, private")

    def compute_etag(self) -> None:
        return None

    def on_connection_close(self) -> None:
        self.gone.set()

    async def _any(self, *_: str) -> None:
        record = self.recorded = self._record()
        try:
            await self._serve(record)
        except status.StatusError as error:
            self._write_status(error)
        except StreamClosedError:
            pass
        except Exception as error:  # the boundary: a bug must be an answer, not a dropped connection
            self.cluster.problems.append(error)
            self._write_status(status.internal(f"{type(error).__name__}: {error}"))
        finally:
            record.code = record.code or self.get_status()
            self.cluster.finished(record)

    get = head = post = delete = patch = put = options = _any

    def _record(self) -> RecordedRequest:
        request = self.request
        audit = request.headers.get("Audit-Id") or str(uuid.uuid4())
        record = RecordedRequest(request.method or "", request.uri or "", tuple(request.headers.get_all()),
                                 request.body, self.cluster.clock(), audit_id=audit)  # fmt: skip
        self.cluster.requests.append(record)
        self.set_header("Audit-Id", audit)
        return record

    # -- dispatch ------------------------------------------------------------------------------------------------------
    async def _serve(self, record: RecordedRequest) -> None:
        record.user = self._authenticated()
        raw_path, _, raw_query = (self.request.uri or "").partition("?")
        scripted = self.cluster.scripted.get((record.method, raw_path))
        if scripted is not None:
            await self._recite(scripted)
            return
        route = routes.parse(raw_path, self.cluster.registry)
        headers = {name.lower(): value for name, value in self.request.headers.get_all()}
        call = Call(record.method, route, Query(raw_query), headers, self.request.body, record.user)
        if len(call.body) > bodies.MAX_BODY:
            raise status.too_large()
        if route.resource and route.subresource in UPGRADES and route.subresource in route.resource.subresources:
            await upgrades.serve(self, call, route.resource)
        elif route.resource and route.subresource == "log" and route.resource.plural == "pods":
            await self._serve_log(call, route.resource)
        elif route.resource and call.method == "GET" and not route.subresource and self._is_watch(call):
            await self._serve_watch(call, route.resource)
        else:
            self.cluster.api.warnings.clear()
            answer = self.cluster.endpoints.answer(call)
            for warning in self.cluster.api.warnings:
                self.add_header("Warning", quoted_warning(warning))
            self._write_answer(answer)
            self.cluster.settle_soon()

    def _is_watch(self, call: Call) -> bool:
        return call.route.watch or (call.query.flag("watch") and not call.route.name)

    def _authenticated(self) -> User:
        scheme, _, token = self.request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            raise status.unauthorized()
        try:
            user = self.cluster.authenticator.authenticate(token.strip(), self.cluster.clock())
        except ThrottledError as error:
            raise status.too_many_requests(str(error), 1) from error
        except TokenError as error:
            self.cluster.refused_tokens.append(str(error))
            raise status.unauthorized() from error
        return self._impersonated(user)

    def _impersonated(self, user: User) -> User:
        headers = self.request.headers
        name = headers.get("Impersonate-User")
        if not name:
            return user
        prefix = "impersonate-extra-"
        extra = {key.lower().removeprefix(prefix): [value] for key, value in headers.get_all()
                 if key.lower().startswith(prefix)}  # fmt: skip
        groups = (*headers.get_list("Impersonate-Group"), "system:authenticated")
        return User(name, groups, headers.get("Impersonate-Uid", ""), extra)

    # -- answers -------------------------------------------------------------------------------------------------------
    def _write_answer(self, answer: Answer) -> None:
        self.set_status(answer.code)
        if isinstance(answer.body, bytes):
            self.set_header("Content-Type", answer.content_type)
            self._write_body(answer.body)
        elif answer.form.yaml:
            text = io.StringIO()
            YAML(typ="safe", pure=True).dump(answer.body, text)
            self.set_header("Content-Type", "application/yaml")
            self._write_body(text.getvalue().encode())
        else:
            self.set_header("Content-Type", answer.content_type or "application/json")
            self._write_body(streams.encode(answer.body) + b"\n")

    def _write_body(self, body: bytes) -> None:
        if len(body) > GZIP_ABOVE and "gzip" in self.request.headers.get("Accept-Encoding", ""):
            self.set_header("Content-Encoding", "gzip")
            self.set_header("Vary", "Accept-Encoding")
            body = gzip.compress(body, 4)
        self.write(body)

    def _write_status(self, error: status.StatusError) -> None:
        if self._headers_written or self._finished:
            with contextlib.suppress(StreamClosedError):
                self.request.connection.finish()  # type: ignore[union-attr] # the stream breaks off
            return
        self.clear()
        if self.recorded:
            self.set_header("Audit-Id", self.recorded.audit_id)
        if error.details.get("retryAfterSeconds"):
            self.set_header("Retry-After", str(error.details["retryAfterSeconds"]))
        self._write_answer(Answer(error.body(), error.code))

    async def _stream(self, chunks: AsyncIterator[bytes], content_type: str) -> None:
        self.set_header("Content-Type", content_type)
        await self.flush()
        with contextlib.suppress(StreamClosedError):
            async for chunk in chunks:
                self.write(chunk)
                await self.flush()

    async def _recite(self, scripted: Scripted) -> None:
        self.set_status(scripted.code)
        self.clear_header("Content-Type")
        for name, value in scripted.headers:
            self.add_header(name, value)
        for chunk in scripted.chunks:
            self.write(chunk)
            await self.flush()

    # -- watch and log -------------------------------------------------------------------------------------------------
    async def _serve_watch(self, call: Call, resource: Resource) -> None:
        form = choose(call.headers.get("accept", ""), (*LIST_FORMS, "PartialObjectMetadata"))
        options = streams.WatchOptions.of(resource, call.query)
        match = lists.match_of(call.route, resource, call.query)
        namespace = call.route.namespace if resource.namespaced else ""
        include = call.query.first("includeObject") or "Metadata"
        watch = streams.Watch(self.cluster.store, resource, namespace, match, form, include=include)
        with self.cluster.streaming(self.gone):
            await self._stream(watch.events(options, self.gone), "application/json")

    async def _serve_log(self, call: Call, resource: Resource) -> None:
        if call.method != "GET":
            raise status.method_not_allowed(resource, call.method)
        pod = self.cluster.api.get(resource, call.route.namespace, call.route.name)
        container = container_of(pod, call.query.first("container"))
        if call.query.flag("previous"):
            text = f'previous terminated container "{container}" in pod "{call.route.name}" not found'
            raise status.bad_request(text)
        place = (call.route.namespace, call.route.name, container)
        lines = selected(self.cluster.logs.lines(place), call.query, self.cluster.clock())
        stamps = call.query.flag("timestamps")
        text_type = "text/plain"
        if not call.query.flag("follow"):
            body = b"".join(line.render(timestamps=stamps) for line in lines)
            self._write_answer(Answer(body[: call.query.number("limitBytes")], content_type=text_type))
            return

        async def chunks() -> AsyncIterator[bytes]:
            for line in lines:
                yield line.render(timestamps=stamps)
            async for chunk in streams.follow(
                self.cluster.logs, place, self.gone, lambda line: line.render(timestamps=stamps)
            ):
                yield chunk

        with self.cluster.streaming(self.gone):
            await self._stream(chunks(), text_type)

    # -- exec, attach, port-forward ------------------------------------------------------------------------------------
    def refuse_upgrade(self, answer: Answer) -> None:
        self._write_answer(answer)

    def switch(self, headers: dict[str, str]) -> IOStream:
        """Answer 101 and take the stream away from tornado."""
        self.clear()
        self.set_status(101)
        self.clear_header("Content-Type")
        for name, value in {"Connection": "Upgrade", **headers}.items():
            self.set_header(name, value)
        self.finish()
        stream = self.detach()
        stream.set_nodelay(True)
        self.cluster.upgraded.add(stream)
        stream.set_close_callback(lambda: self.cluster.upgraded.discard(stream))
        return stream


def quoted_warning(text: str) -> str:
    """RFC 7234 §5.5 as the API server writes it: code 299, no agent."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'299 - "{escaped}"'
