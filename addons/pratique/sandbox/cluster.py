"""I/O: the embedded cluster as one object: its parts wired together, served on loopback from a thread of its own.

`Sandbox(state).start()` in tests, `python -m pratique.sandbox` for people. `Cluster` holds the parts; it belongs to
the event loop of the thread, so other threads go through `Sandbox.call`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from tornado.iostream import IOStream

from pratique.sandbox import seed, server
from pratique.sandbox.api import Api
from pratique.sandbox.authenticator import AccessEntry, Authenticator
from pratique.sandbox.controller import Controller
from pratique.sandbox.endpoints import Endpoints
from pratique.sandbox.logs import Line, Logs
from pratique.sandbox.record import RecordedRequest, Scripted
from pratique.sandbox.resources import Registry
from pratique.sandbox.store import Clock, Store
from pratique.sandbox.sts import Role, Sts, User

JSON = dict[str, Any]

ACCOUNT = "111122223333"
CLUSTER = "sandbox"
REGION = "eu-west-1"
ROLE_X = f"arn:aws:iam::{ACCOUNT}:user/pratique-role-x"
ROLE_Y = f"arn:aws:iam::{ACCOUNT}:role/pratique-role-y"
ROLE_Z = f"arn:aws:iam::{ACCOUNT}:role/pratique-role-z"
"""Trusts Role Y only (for chained sessions), and has no access entry in the cluster."""
ACCESS_KEY_ID = "AKIASANDBOXSANDBOX00"
SECRET_ACCESS_KEY = "sandbox-secret-access-key-not-real-00000"
START_SECONDS = 20


@dataclass(frozen=True, slots=True)
class SandboxInfo:
    """How to reach a running sandbox. `static_token` is empty unless the sandbox was started with one."""

    server: str
    ca_path: str
    cluster_name: str
    region: str
    role_arn: str
    access_key_id: str
    secret_access_key: str = field(repr=False)
    sts_endpoint: str = ""
    static_token: str = field(default="", repr=False)
    port: int = 0
    sts_port: int = 0


@dataclass(frozen=True, slots=True)
class SandboxOptions:
    """`port`, `sts_port`: 0 is any free one. `static_token`: a bearer token that is accepted next to EKS tokens.

    `log_interval`: seconds between new lines in the seeded pods' logs, 0 is none. `audit_log`: a file for audit
    events, one JSON line each. `seed`: whether to start with the seeded objects.
    """

    port: int = 0
    sts_port: int = 0
    static_token: str = ""
    log_interval: float = 0.0
    audit_log: Path | None = None
    seed: bool = True
    cluster_name: str = CLUSTER
    region: str = REGION


class Cluster:
    """The parts, and what the HTTP handlers need of them."""

    def __init__(self, folder: Path, options: SandboxOptions, clock: Clock = time.time) -> None:
        self.clock = clock
        self.folder = folder
        self.options = options
        self.store = Store(clock)
        self.registry = Registry()
        self.api = Api(self.store, self.registry)
        self.controller = Controller(self.store, self.registry)
        self.logs = Logs()
        user = User(ACCESS_KEY_ID, SECRET_ACCESS_KEY, ROLE_X, "AIDASANDBOXROLEX00000")
        roles = [
            Role(ROLE_Y, "AROASANDBOXROLEY00000", (ROLE_X,), 43200),
            Role(ROLE_Z, "AROASANDBOXROLEZ00000", (ROLE_Y,)),
        ]
        self.sts = Sts(options.region, [user], roles)
        entry = AccessEntry(
            ROLE_Y, f"arn:aws:sts::{ACCOUNT}:assumed-role/pratique-role-y/{{{{SessionName}}}}", ("pratique",)
        )
        self.authenticator = Authenticator(
            options.cluster_name, options.region, [entry], self.sts.handle, options.static_token
        )
        self.endpoints = Endpoints(self.api, self.authenticator)
        self.scripted: dict[tuple[str, str], Scripted] = {}
        """Method and path → the answer, word for word: what admission policies, aggregated servers and proxies may say."""
        self.requests: list[RecordedRequest] = []
        self.refused_tokens: list[str] = []
        self.problems: list[Exception] = []
        self.upgraded: set[IOStream] = set()
        self._streams: set[asyncio.Event] = set()
        self._settling = False
        if options.seed:
            seed.plant(self.store, self.controller, self.logs)

    # -- controllers ---------------------------------------------------------------------------------------------------
    def settle_soon(self) -> None:
        """Let the controllers run once the answer is on its way, as they do in a cluster."""
        if not self._settling and not self.controller.idle:
            self._settling = True
            asyncio.get_running_loop().call_soon(self._settle)

    def _settle(self) -> None:
        self._settling = False
        self.controller.run()

    # -- records -------------------------------------------------------------------------------------------------------
    def finished(self, record: RecordedRequest) -> None:
        if self.options.audit_log:
            with self.options.audit_log.open("a") as file:
                file.write(json.dumps(record.audit()) + "\n")

    # -- streams -------------------------------------------------------------------------------------------------------
    @contextlib.contextmanager
    def streaming(self, gone: asyncio.Event) -> Iterator[None]:
        self._streams.add(gone)
        try:
            yield
        finally:
            self._streams.discard(gone)

    def end_streams(self) -> None:
        for gone in self._streams:
            gone.set()
        for stream in list(self.upgraded):
            stream.close()

    # -- containers ----------------------------------------------------------------------------------------------------
    def scratch(self, pod: JSON, container: str) -> Path:
        """The folder that stands for a container's file system; stays for the life of the pod object."""
        parts = (pod["metadata"]["namespace"], pod["metadata"]["name"], pod["metadata"]["uid"], container)
        folder = self.folder.joinpath("pods", *(re.sub(r"[^\w.-]", "_", part) for part in parts))
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def environment(self, pod: JSON, container: str) -> dict[str, str]:
        found = {"HOSTNAME": pod["metadata"]["name"], "KUBERNETES_SERVICE_HOST": "10.100.0.1"}
        spec: JSON = next((item for item in pod["spec"]["containers"] if item["name"] == container), {})
        for item in spec.get("env") or []:
            value = item.get("value")
            if value is None:
                value = seed.referenced(self.store, pod["metadata"]["namespace"], item.get("valueFrom") or {})
            found[item["name"]] = value
        return found

    def log(self, namespace: str, pod: str, container: str, text: str) -> None:
        self.logs.append((namespace, pod, container), Line(self.clock(), text))

    async def chatter(self) -> None:
        """New lines for the pods that have logs, for as long as it is not cancelled."""
        count = 0
        while True:
            await asyncio.sleep(self.options.log_interval)
            count += 1
            for namespace, pod, container in self.logs.places():
                self.log(namespace, pod, container, seed.log_line(container, count))


class Sandbox:
    """The cluster on a thread. `state` None is a temporary folder that goes with it."""

    def __init__(
        self, state: Path | None = None, options: SandboxOptions | None = None, clock: Clock = time.time
    ) -> None:
        self._temporary = None if state else tempfile.TemporaryDirectory(prefix="pratique-sandbox-")
        self.state = state or Path(self._temporary.name if self._temporary else ".")
        self.options = options or SandboxOptions()
        self._clock = clock
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self.cluster: Cluster | None = None
        self._info: SandboxInfo | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def info(self) -> SandboxInfo:
        if self._info is None:
            raise RuntimeError("the sandbox is not running")
        return self._info

    @property
    def requests(self) -> list[RecordedRequest]:
        """Every request that reached the API server, in order of arrival."""
        return self._running().requests

    def _running(self) -> Cluster:
        if self.cluster is None:
            raise RuntimeError("the sandbox is not running")
        return self.cluster

    def start(self) -> SandboxInfo:
        """Returns when it listens; raises what kept it from starting (a port in use, a folder that is not writable)."""
        self._thread = threading.Thread(target=self._run, name="pratique-sandbox", daemon=True)
        self._thread.start()
        if not self._ready.wait(START_SECONDS):
            raise RuntimeError("the sandbox did not start")
        if self._failure:
            raise self._failure
        return self.info

    def stop(self) -> None:
        if self._loop and self._stop and self._thread and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        if self._thread:
            self._thread.join(START_SECONDS)
        if self._temporary:
            self._temporary.cleanup()

    def call[T](self, function: Callable[[Cluster], T]) -> T:
        """Run `function` on the cluster's own thread, then let the controllers settle; its result."""

        async def run() -> T:
            cluster = self._running()
            try:
                return function(cluster)
            finally:
                cluster.controller.run()

        if self._loop is None:
            raise RuntimeError("the sandbox is not running")
        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(START_SECONDS)

    def append_log(self, namespace: str, pod: str, container: str, text: str) -> None:
        self.call(lambda cluster: cluster.log(namespace, pod, container, text))

    def kubeconfig(self, token: str = "") -> JSON:
        """A kubeconfig for this sandbox without a gateway; `token` defaults to the static one."""
        return kubeconfig(self.info, token or self.info.static_token)

    # -- the thread ----------------------------------------------------------------------------------------------------
    def _run(self) -> None:
        try:
            asyncio.run(self._main())
        except BaseException as error:  # handed to the thread that waits in start()
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self.state.mkdir(parents=True, exist_ok=True)
        cluster = self.cluster = Cluster(self.state, self.options, self._clock)
        serving = server.Serving(cluster, self.state, self.options.port, self.options.sts_port)
        self._info = SandboxInfo(
            server=f"https://127.0.0.1:{serving.port}",
            ca_path=str(serving.ca_path),
            cluster_name=self.options.cluster_name,
            region=self.options.region,
            role_arn=ROLE_Y,
            access_key_id=ACCESS_KEY_ID,
            secret_access_key=SECRET_ACCESS_KEY,
            sts_endpoint=f"http://127.0.0.1:{serving.sts_port}",
            static_token=self.options.static_token,
            port=serving.port,
            sts_port=serving.sts_port,
        )
        chatter = asyncio.ensure_future(cluster.chatter()) if self.options.log_interval else None
        self._ready.set()
        await self._stop.wait()
        if chatter:
            chatter.cancel()
        cluster.end_streams()
        await serving.stop()


def kubeconfig(info: SandboxInfo, token: str) -> JSON:
    cluster = {"server": info.server, "certificate-authority": info.ca_path}
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "sandbox", "cluster": cluster}],
        "users": [{"name": "sandbox", "user": {"token": token}}],
        "contexts": [
            {"name": "sandbox", "context": {"cluster": "sandbox", "user": "sandbox", "namespace": "payments"}}
        ],
        "current-context": "sandbox",
    }


def write_info(info: SandboxInfo, path: Path) -> None:
    write_private(path, asdict(info))


def write_private(path: Path, document: JSON) -> None:
    """A JSON file that is complete or not there at all, and readable by its owner only."""
    temporary = path.with_name(path.name + ".new")
    temporary.unlink(missing_ok=True)
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(document, file, indent=2)
    temporary.replace(path)
