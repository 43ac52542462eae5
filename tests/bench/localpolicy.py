"""A trial of recorded requests against the shipped policies: requests a second, and the memory that it takes."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pratique.masking.mask import Mask
from pratique.recorder.flowstate import Ends, Message, Server, flow_bytes
from pratique.recorder.record import Record
from tests.bench.meter import Meter

ROOT = Path(__file__).parents[2]
REQUESTS = 30_000
QUICK_REQUESTS = 200
BUDGET = 5000.0  # requests a second on two cores: 1,000,000 in under four minutes
SIZES = (1, 4)  # times REQUESTS: memory must not grow with them
MASKED = Mask().base64
VERBS = (
    ("GET", "/api/v1/namespaces/{ns}/pods", ""),
    ("GET", "/api/v1/namespaces/{ns}/pods/web-{n}", ""),
    ("GET", "/api/v1/namespaces/{ns}/secrets/s-{n}", ""),
    ("GET", "/apis/apps/v1/namespaces/{ns}/deployments/web-{n}", ""),
    ("POST", "/api/v1/namespaces/{ns}/configmaps", '{{"metadata":{{"name":"c-{n}"}},"data":{{"a":"b"}}}}'),
    ("DELETE", "/api/v1/namespaces/{ns}/pods/web-{n}", ""),
)  # what agents do: reads that repeat, names that do not
PLAN = """
import json, resource, sys, time
from pathlib import Path
from pratique.trial.running import Plan, run
folder, recordings, jobs, masks, against = sys.argv[1:]
plan = Plan(Path(folder), against=Path(against) if against else None, jobs=int(jobs), masks=masks == "masks")
if __name__ == "__main__":
    began = time.perf_counter()
    tally = run(plan, [Path(recordings)], lambda total: lambda done: None)
    took = time.perf_counter() - began
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu = sum(each.ru_utime + each.ru_stime for each in spent)
    peaks = [each.ru_maxrss for each in spent]
    print(json.dumps({"requests": tally.requests, "seconds": took, "cpu": cpu, "MiB": max(peaks) / 1024}))
"""


def flows(count: int) -> Iterator[bytes]:
    """Of three clients in fifty namespaces, with answers of a kilobyte; one request in ten repeats one before."""
    ends, server = Ends("c", ("10.0.0.9", 1), ("127.0.0.1", 8443), 1.0), Server(b"https", "api", 6443)
    for number, (method, path, body) in zip(range(count), itertools.cycle(VERBS), strict=False):
        names = {"ns": f"ns-{number % 50}", "n": number if number % 10 else 7}
        target, sent = path.format(**names), body.format(**names).encode()
        headers = [(b"Accept", b"application/json"), *([(b"Content-Type", b"application/json")] if sent else [])]
        meta = Record(flow=f"f{number}", audit_id=f"a{number}", client=f"mcp-{number % 3}", method=method, path=target,
                      verdict="Allow", rules=("mcp-default/read",), status=200)  # fmt: skip
        told = Message([(b"content-type", b"application/json")], _answer(target, number), 1.0, 1.0)
        yield flow_bytes(meta, ends, server, Message(headers, sent, 1.0, 1.0), told)


def _answer(target: str, number: int) -> bytes:
    meta = {"name": f"x-{number}", "labels": {f"l{n}": "v" * 10 for n in range(20)}, "resourceVersion": str(number)}
    data = {"data": {"password": MASKED}} if "secrets" in target else {"spec": {"containers": [{"image": "app:1"}]}}
    return json.dumps({"metadata": meta, **data}).encode()


def write(folder: Path, count: int) -> Path:
    """In files of 5,000, as sessions are."""
    made = flows(count)
    for index in range(0, count, 5_000):
        with (folder / f"s{index:09}.flow").open("wb") as file:
            file.writelines(itertools.islice(made, 5_000))
    return folder


def trial(policies: Path, recordings: Path, jobs: int, masks: str, against: str = "") -> dict[str, Any]:
    """In a process of its own, whose memory is that of the trial."""
    script = recordings / "trial.py"
    script.write_text(PLAN)
    command = [sys.executable, str(script), str(policies), str(recordings), str(jobs), masks, against]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env={"PYTHONPATH": str(ROOT / "addons")})
    return json.loads(done.stdout)


def run(meter: Meter) -> None:
    count = QUICK_REQUESTS if meter.quick else REQUESTS
    policies = ROOT / "policies"
    with tempfile.TemporaryDirectory() as name:
        folder = write(Path(name), count)
        for label, jobs, masks, against in (
            ("verdicts, 1 process", 1, "", ""),
            ("verdicts, 2 processes", 2, "", ""),
            ("verdicts and masks, 2 processes", 2, "masks", ""),
            ("difference of two folders, 2 processes", 2, "masks", str(policies)),
        ):
            found = trial(policies, folder, jobs, masks, against)
            rate = found["requests"] / found["seconds"]
            budget = BUDGET if jobs == 2 else None
            meter.add(label, [rate], "requests/s", budget=budget, smaller_is_better=False)
            meter.add(f"{label}: CPU per request", [found["cpu"] / found["requests"] * 1e6], "µs")
    for size in SIZES:
        with tempfile.TemporaryDirectory() as name:
            found = trial(policies, write(Path(name), count * size), 1, "masks")
            meter.add(f"memory with {count * size:,} requests", [found["MiB"]], "MiB")
    meter.note(
        f"{count:,} recorded flows of our own form, answers of about 700 bytes, one request in ten repeats another."
    )
    meter.note("Start of the processes included. Memory is the peak of the largest process.")
