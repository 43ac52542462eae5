"""What benches of whole requests are made with: nginx as the cluster, wrk and h2load as clients, CPU of a process.

All three are Debian's (`nginx-light wrk nghttp2-client`); `programs` says what is missing, and installs it for root.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pratique.sandbox import certificates
from pratique.sandbox.cluster import SandboxInfo
from tests.process.gateway import free_port
from tests.process.h2client import H2Client

PACKAGES = {"nginx": "nginx-light", "wrk": "wrk", "h2load": "nghttp2-client"}
TICKS = os.sysconf("SC_CLK_TCK")
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
_CONFIGURATION = """
{user}daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;
events {{ worker_connections 8192; }}
http {{
  access_log off; keepalive_requests 100000000; default_type application/json;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
  uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    http2_max_concurrent_streams 1000;
    root {folder}/root;
    location / {{ }}
  }}
}}
"""


def programs() -> None:
    """Raises SystemExit with the remedy where one is missing and cannot be installed."""
    missing = sorted(package for name, package in PACKAGES.items() if not _which(name))
    if missing and os.geteuid() == 0 and shutil.which("apt-get"):
        subprocess.run(
            ["apt-get", "install", "-y", "--no-install-recommends", *missing], check=False, capture_output=True
        )
        missing = sorted(package for name, package in PACKAGES.items() if not _which(name))
    if missing:
        raise SystemExit(
            f"bench: this one needs {' '.join(missing)}. Install: sudo apt-get install {' '.join(missing)}"
        )


def _which(name: str) -> str:
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin") or ""


class Nginx:
    """Serves `files` (path → body) over TLS, HTTP/1.1 and HTTP/2, as a cluster that answers the same to everybody."""

    def __init__(self, folder: Path, files: Mapping[str, bytes]) -> None:
        self.folder, self.port = folder, free_port()
        for path, body in files.items():
            target = folder / "root" / path.lstrip("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(body)
        (folder / "pki").mkdir(parents=True)
        self.ca_path, certificate, key = certificates.ensure(folder / "pki")
        user = "user root; " if os.geteuid() == 0 else ""  # the folder is of one user only
        text = _CONFIGURATION.format(user=user, folder=folder, port=self.port, certificate=certificate, key=key)
        (folder / "nginx.conf").write_text(text)
        self.process = subprocess.Popen([_which("nginx"), "-p", str(folder), "-c", str(folder / "nginx.conf")])
        listening(self.port)

    @property
    def info(self) -> SandboxInfo:
        return SandboxInfo(
            server=f"https://127.0.0.1:{self.port}", ca_path=str(self.ca_path), cluster_name="bench", region="", role_arn="",
            access_key_id="", secret_access_key="", static_token="upstream", port=self.port,
        )  # fmt: skip

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(10)


def listening(port: int, seconds: float = 60) -> None:
    """Waits until somebody listens."""
    deadline = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise SystemExit(f"bench: nothing listens on port {port}")
        time.sleep(0.05)


@dataclass(frozen=True)
class Load:
    """What a load generator saw. Times in seconds; `p99` is nan where it was not asked for."""

    requests: int
    failed: int
    seconds: float
    p50: float
    p99: float


def cpu(*pids: int) -> float:
    """CPU seconds of these processes until now, all their threads."""
    total = 0
    for pid in pids:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        total += int(fields[11]) + int(fields[12])
    return total / TICKS


def family(pid: int) -> list[int]:
    """A process and its children (Linux)."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [pid, *map(int, children.split())]


def memory(pid: int, what: str = "VmRSS") -> float:
    """MiB of a process: `VmRSS` now, `VmHWM` at most."""
    text = Path(f"/proc/{pid}/status").read_text()
    found = re.search(rf"{what}:\s+(\d+)", text)
    return int(found[1]) / 1024 if found else 0.0


def wrk(url: str, seconds: float, connections: int, headers: Mapping[str, str]) -> Load:
    """HTTP/1.1, each connection one request after another."""
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:g}s", "--timeout", "60s", "--latency", *given, url]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    total = re.search(r"(\d+) requests in ([\d.]+)(us|ms|s)", text)
    if total is None:
        raise SystemExit(f"bench: wrk said nothing that can be read:\n{text}")
    bad = sum(int(number) for number in re.findall(r"Non-2xx or 3xx responses: (\d+)", text))
    bad += sum(int(number) for line in re.findall(r"Socket errors: (.*)", text) for number in re.findall(r"\d+", line))
    return Load(
        int(total[1]), bad, float(total[2]) * _SECONDS[total[3]], _quantile(text, "50%"), _quantile(text, "99%")
    )


def _quantile(text: str, name: str) -> float:
    found = re.search(rf"{re.escape(name)}\s+([\d.]+)(us|ms|s)\b", text)
    return float(found[1]) * _SECONDS[found[2]] if found else float("nan")


def h2load(url: str, requests: int, connections: int, streams: int, headers: Mapping[str, str]) -> Load:
    """HTTP/2, `streams` at once on each connection."""
    given = [part for name, value in headers.items() for part in ("-H", f"{name}: {value}")]
    with tempfile.NamedTemporaryFile("r") as log:
        command = ["h2load", "-n", str(requests), "-c", str(connections), "-m", str(streams), f"--log-file={log.name}"]
        text = subprocess.run([*command, *given, url], check=True, capture_output=True, text=True).stdout
        lines = [line.split("\t") for line in log.read().splitlines()]
    took = sorted(int(fields[2]) / 1e6 for fields in lines)
    bad = sum(1 for fields in lines if fields[1] != "200") + (requests - len(lines))
    total = re.search(r"finished in ([\d.]+)(us|ms|s)", text)
    seconds = float(total[1]) * _SECONDS[total[2]] if total else float("nan")
    if not took:
        raise SystemExit(f"bench: h2load had no answer:\n{text}")
    return Load(requests, bad, seconds, took[len(took) // 2], took[int(len(took) * 0.99)])


def took(client: H2Client, path: str, number: int) -> list[float]:
    """Milliseconds of each of `number` reads, one after another on one connection; sorted."""
    found = []
    for _ in range(number):
        began = time.perf_counter()
        stream = client.get(path)
        found.append((time.perf_counter() - began) * 1e3)
        if stream.status != 200:
            raise SystemExit(f"bench: a read was answered {stream.status}")
    return sorted(found)


def quantile(took: list[float], share: float) -> float:
    """Of what is sorted."""
    return took[min(int(len(took) * share), len(took) - 1)]


@contextlib.contextmanager
def process(command: list[str], port: int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A program that listens on a port, for as long as it is needed."""
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)  # type: ignore[call-overload]
    try:
        listening(port)
        yield running
    finally:
        running.terminate()
        running.wait(30)
