"""With a real cluster, every kubectl behaves through the gateway as without it, where policy allows."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import signal
import subprocess
import urllib.request
from pathlib import Path

import pytest

from tests.e2e.real import IMAGE, Pair, call, eventually

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

CANARY = "e2e-CANARY-4711-value"
SCRIPT = "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.2; done"
DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
        - {{name: c, image: "{IMAGE}", imagePullPolicy: Never, stdin: true, command: [sh, -c, '{SCRIPT}']}}
        - {{name: httpd, image: "{IMAGE}", imagePullPolicy: Never, command: [sh, -c, 'mkdir -p /www; echo hello > /www/index.html; exec httpd -f -p 8080 -h /www']}}
"""
CONFIGMAP = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {color: blue, size: small}\n"
SECRET = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: db}}\nstringData: {{password: {CANARY}}}\n"
FORMS = [CANARY.encode()] + [
    base64.b64encode(b"x" * offset + CANARY.encode())[(offset * 4 + 2) // 3 + (offset > 0) : -4] for offset in range(3)
]


def _no_canary(text: str) -> None:
    for form in FORMS:
        assert form.decode() not in text


@pytest.fixture(scope="session")
def pod(pair: Pair) -> dict[str, str]:
    """A running pod on each side: namespace → name."""
    found = {}
    for one in (pair.direct, pair.through):
        one.ok("apply", "-f", "-", given=DEPLOYMENT)
        one.ok("wait", "--for=condition=Available", "--timeout=90s", "deployment/web", timeout=120)
        names = one.ok("get", "pod", "-l", "app=web", "-o", "name").split()
        found[one.namespace] = names[0].removeprefix("pod/")
    return found


def _both(pair: Pair, pod: dict[str, str], *arguments: str, given: str | bytes | None = None) -> None:
    """`POD` in the arguments is each side's pod."""
    results = [
        one(*[part.replace("POD", pod[one.namespace]) for part in arguments], given=given)
        for one in (pair.direct, pair.through)
    ]
    straight, gated = results
    assert (gated.code, gated.out) == (straight.code, straight.out), (arguments, straight, gated)


def test_reads(pair: Pair, pod: dict[str, str]) -> None:
    pair.same("get", "deployment", "web", "-o", "name")
    pair.same("get", "deployments")
    pair.same("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[*].name}")
    pair.same("get", "pods", "-l", "app=web", "-o", "custom-columns=N:.metadata.name,P:.status.phase")
    pair.same("get", "all,configmaps", "-l", "app=web")
    pair.same("get", "nothing")
    pair.same("get", "pod", "not-there")
    pair.same("get", "namespace", "NAMESPACE", "-o", "jsonpath={.status.phase}")
    pair.same("api-resources")
    pair.same("api-versions")
    pair.same("explain", "deployment.spec.strategy")
    pair.same("version", "-o", "json")
    pair.same("get", "--raw", "/api/v1/namespaces/NAMESPACE/configmaps/kube-root-ca.crt")
    pair.same("describe", "deployment", "web")
    assert "Name:" in pair.through.ok("describe", "pod", pod[pair.through.namespace])


def test_writes(pair: Pair) -> None:
    pair.same("apply", "-f", "-", given=CONFIGMAP)
    pair.same("apply", "-f", "-", given=CONFIGMAP)
    pair.same("apply", "-f", "-", given=CONFIGMAP.replace("blue", "green"))
    pair.same("apply", "--server-side", "--force-conflicts", "-f", "-", given=CONFIGMAP.replace("blue", "red"))
    pair.same("diff", "-f", "-", given=CONFIGMAP.replace("blue", "white"), errors=False)
    pair.same("patch", "configmap", "settings", "--type=merge", "-p", '{"data":{"a":"1"}}')
    pair.same("patch", "configmap", "settings", "--type=json", "-p", '[{"op":"add","path":"/data/b","value":"2"}]')
    pair.same("patch", "configmap", "settings", "-p", '{"data":{"c":"3"}}')
    pair.same("label", "configmap", "settings", "team=a")
    pair.same("annotate", "configmap", "settings", "note=b")
    pair.same("create", "configmap", "second", "--from-literal=x=y")
    pair.same("create", "configmap", "second", "--from-literal=x=y")
    pair.same("replace", "-f", "-", given=CONFIGMAP.replace("settings", "second"))
    pair.same("get", "configmap", "settings", "-o", "jsonpath={.data}{.metadata.labels}")
    pair.same("create", "-f", "-", "--dry-run=server", "-o", "name", given=CONFIGMAP.replace("settings", "third"))
    pair.same("apply", "-f", "-", given="apiVersion: v1\nkind: ConfigMap\nmetadata: {name: BAD_NAME}\n")
    pair.same("delete", "configmap", "second", "settings")
    pair.same("get", "configmaps", "settings", "second", "kube-root-ca.crt", "-o", "name")


def test_an_edit_changes_what_was_edited(pair: Pair, tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text('#!/bin/sh\nsed -i s/blue/purple/ "$1"\n')
    editor.chmod(0o755)
    for one in (pair.direct, pair.through):
        one.ok("apply", "-f", "-", given=CONFIGMAP.replace("settings", "edited"))
        done = call(*one.command("edit", "configmap", "edited"), EDITOR=str(editor))
        assert done.code == 0, done
    pair.same("get", "configmap", "edited", "-o", "jsonpath={.data}")


def test_scale_and_rollout(pair: Pair) -> None:
    name = DEPLOYMENT.replace("name: web", "name: roll").replace("app: web", "app: roll")
    for one in (pair.direct, pair.through):
        one.ok("apply", "-f", "-", given=name)
    pair.same("scale", "deployment/roll", "--replicas=2")
    for one in (pair.direct, pair.through):
        assert "successfully rolled out" in one.ok("rollout", "status", "deployment/roll", "--timeout=90s", timeout=120)
    pair.same("set", "env", "deployment/roll", "COLOR=blue")
    for one in (pair.direct, pair.through):
        one.ok("rollout", "status", "deployment/roll", "--timeout=90s", timeout=120)
    pair.same("rollout", "history", "deployment/roll")
    pair.same("rollout", "undo", "deployment/roll")
    pair.same("rollout", "restart", "deployment/roll")
    pair.same("rollout", "pause", "deployment/roll")
    pair.same("rollout", "resume", "deployment/roll")
    pair.same("delete", "deployment", "roll")


def test_a_watch_shows_each_change_at_once(pair: Pair) -> None:
    watch = pair.through.start("get", "configmap", "-w", "-o", "name")
    try:
        pair.through.ok("create", "configmap", "watched")
        assert watch.stdout is not None
        os.set_blocking(watch.stdout.fileno(), False)
        seen = b""

        def arrived() -> bool:
            nonlocal seen
            seen += watch.stdout.read() or b"" if watch.stdout else b""
            return b"configmap/watched" in seen

        eventually(arrived)
    finally:
        watch.send_signal(signal.SIGINT)
        watch.wait(20)


def test_wait_and_delete(pair: Pair) -> None:
    manifest = f'apiVersion: v1\nkind: Pod\nmetadata: {{name: short}}\nspec: {{terminationGracePeriodSeconds: 0, containers: [{{name: c, image: "{IMAGE}", imagePullPolicy: Never, command: [sleep, "3600"]}}]}}\n'
    pair.same("create", "-f", "-", given=manifest)
    pair.same("wait", "--for=condition=Ready", "pod/short", "--timeout=90s")
    pair.same("delete", "pod", "short", "--timeout=60s")
    pair.same("get", "pod", "short")


def test_logs(pair: Pair, pod: dict[str, str]) -> None:
    asked = ("logs", pod[pair.through.namespace], "-c", "c", "--tail=3")
    eventually(lambda: re.fullmatch(r"(line \d+\n){3}", pair.through.ok(*asked)))  # it may have said two only
    follow = pair.through.start("logs", "-f", pod[pair.through.namespace], "-c", "c", "--tail=1")
    assert follow.stdout is not None
    try:
        lines = [follow.stdout.readline() for _ in range(6)]
    finally:
        follow.kill()
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers == list(range(numbers[0], numbers[0] + 6))


def test_exec(pair: Pair, pod: dict[str, str]) -> None:
    _both(pair, pod, "exec", "POD", "-c", "c", "--", "echo", "hi there")
    _both(pair, pod, "exec", "POD", "-c", "c", "--", "sh", "-c", "exit 7")
    _both(pair, pod, "exec", "POD", "-c", "c", "--", "sh", "-c", "echo out; echo err >&2")
    _both(pair, pod, "exec", "POD", "-c", "c", "--", "not-a-program")
    data = os.urandom(1 << 20)
    _both(pair, pod, "exec", "-i", "POD", "-c", "c", "--", "sha256sum", given=data)
    done = pair.through("exec", "-i", pod[pair.through.namespace], "-c", "c", "--", "sha256sum", given=data)
    assert done.out.split()[0] == hashlib.sha256(data).hexdigest()
    many = pair.through.ok("exec", pod[pair.through.namespace], "-c", "c", "--", "seq", "1", "200000")
    assert many == "".join(f"{number}\n" for number in range(1, 200001))


def test_exec_on_a_terminal(pair: Pair, pod: dict[str, str]) -> None:
    command = pair.through.command(
        "exec", "-it", pod[pair.through.namespace], "-c", "c", "--", "sh", "-c", "tty; read x; echo got $x"
    )
    quoted = " ".join(f"'{part}'" for part in command)
    with subprocess.Popen(
        ["script", "-qec", quoted, "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env={**os.environ, **pair.through.environment},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdin is not None
        assert process.stdout.readline().startswith(b"/dev/pts/")
        process.stdin.write(b"word\n")
        process.stdin.flush()
        rest = process.stdout.read()
    assert b"got word" in rest


@pytest.mark.parametrize("websocket", ["true", "false"])
def test_copy_both_ways(pair: Pair, pod: dict[str, str], tmp_path: Path, websocket: str) -> None:
    pair.through.environment["KUBECTL_REMOTE_COMMAND_WEBSOCKETS"] = websocket
    source, back = tmp_path / "source", tmp_path / "back"
    source.write_bytes(os.urandom(300_000))
    name = pod[pair.through.namespace]
    pair.through.ok("cp", "-c", "c", str(source), f"{name}:/tmp/copied")
    pair.through.ok("cp", "-c", "c", f"{name}:/tmp/copied", str(back))
    assert back.read_bytes() == source.read_bytes()


@pytest.mark.parametrize("websocket", ["true", "false"])
def test_port_forward(pair: Pair, pod: dict[str, str], websocket: str) -> None:
    pair.through.environment["KUBECTL_PORT_FORWARD_WEBSOCKETS"] = websocket
    forward = pair.through.start(
        "port-forward", "--address", "127.0.0.1", f"pod/{pod[pair.through.namespace]}", ":8080"
    )
    assert forward.stdout is not None
    try:
        line = forward.stdout.readline().decode()
        port = int(re.search(r"127\.0\.0\.1:(\d+)", line).group(1))  # type: ignore[union-attr]
        for _ in range(3):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/index.html", timeout=30) as response:
                assert response.read() == b"hello\n"
    finally:
        forward.terminate()
        forward.wait(20)


def test_attach(pair: Pair, pod: dict[str, str]) -> None:
    attach = pair.through.start("attach", pod[pair.through.namespace], "-c", "c")
    assert attach.stdout is not None
    try:
        lines = b"".join(attach.stdout.readline() for _ in range(6))
    finally:
        attach.kill()
    assert lines.count(b"line ") >= 4


def test_spdy_exec(pair: Pair, pod: dict[str, str]) -> None:
    environment = {**pair.through.environment, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": "false"}
    command = pair.through.command(
        "exec", pod[pair.through.namespace], "-c", "c", "--", "sh", "-c", "echo over spdy; exit 3"
    )
    done = call(*command, **environment)
    assert (done.code, done.out) == (3, "over spdy\n"), done


def test_can_i_and_whoami(pair: Pair) -> None:
    pair.same("auth", "can-i", "create", "deployments")
    pair.same("auth", "can-i", "get", "nothings")


def test_no_form_of_a_secret_shows_its_value(pair: Pair) -> None:
    assert "secret/db " in pair.through.ok("apply", "-f", "-", given=SECRET)
    for arguments in (
        ["get", "secret", "db", "-o", "yaml"],
        ["get", "secret", "db", "-o", "json"],
        ["get", "secrets"],
        ["get", "secrets", "-o", "wide"],
        ["get", "secrets", "-o", "json"],
        ["get", "secret", "db", "-o", "jsonpath={.data.password}"],
        ["get", "secret", "db", "-o", "go-template={{.data.password | base64decode}}"],
        ["describe", "secret", "db"],
        ["annotate", "secret", "db", "x=y", "-o", "yaml"],
        ["patch", "secret", "db", "-p", "{}", "-o", "yaml"],
        ["patch", "secret", "db", "--type=merge", "-p", '{"data":{"x":"eA=="}}', "-o", "yaml", "--dry-run=server"],
    ):
        done = pair.through(*arguments)
        assert done.code == 0, (arguments, done)
        _no_canary(done.all)
    for accept in (
        "application/json;as=Table;v=v1;g=meta.k8s.io", "application/vnd.kubernetes.protobuf", "application/yaml", "application/cbor",
    ):  # fmt: skip
        for query in ("", "?includeObject=Object", "?watch=1&timeoutSeconds=1"):
            _no_canary(_raw(pair, f"/api/v1/namespaces/{pair.through.namespace}/secrets{query}", accept))
    watch = pair.through.start("get", "secrets", "-w", "-o", "yaml")
    pair.through.ok("label", "secret", "db", "seen=yes")
    assert watch.stdout is not None
    text = b""
    while b"seen:" not in text:
        text += watch.stdout.readline()
    watch.kill()
    _no_canary(text.decode())
    assert (
        CANARY
        in base64.b64decode(
            pair.direct.ok("get", "secret", "db", "-n", pair.through.namespace, "-o", "jsonpath={.data.password}")
        ).decode()
    )


def _raw(pair: Pair, path: str, accept: str) -> str:
    import json
    import ssl

    config = json.loads(pair.through.config.read_text())
    cluster, token = config["clusters"][0]["cluster"], config["users"][0]["user"]["token"]
    context = ssl.create_default_context(cafile=cluster["certificate-authority"])
    request = urllib.request.Request(
        cluster["server"] + path, headers={"Accept": accept, "Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=60, context=context) as response:
            return response.read().decode("latin-1") + str(response.headers)
    except urllib.error.HTTPError as error:
        assert error.code in {406, 415}
        return error.read().decode("latin-1") + str(error.headers)


@pytest.mark.parametrize(
    "how", [["apply", "-f", "-"], ["replace", "-f", "-"], ["apply", "--server-side", "--force-conflicts", "-f", "-"]]
)
def test_a_mask_never_becomes_the_value(pair: Pair, how: list[str]) -> None:
    pair.through.ok("apply", "-f", "-", given=SECRET)
    masked = pair.through.ok("get", "secret", "db", "-o", "yaml")
    done = pair.through(*how, given=masked)
    assert done.code != 0
    assert "mask" in done.all
    straight = pair.direct.ok("get", "secret", "db", "-n", pair.through.namespace, "-o", "jsonpath={.data.password}")
    assert base64.b64decode(straight).decode() == CANARY
