"""Real kubectl and the Python client wait for reviewers in front of a real cluster; one decides in a browser."""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from pratique.cli.audit import events
from pratique.sandbox.cluster import Sandbox
from tests.browser import Browser, find
from tests.e2e import real
from tests.process.gateway import Gateway
from tests.process.reviewing import Reviewer, wait_for

pytestmark = [pytest.mark.realcluster, pytest.mark.e2e, pytest.mark.timeout(600)]

POLICY = f"""{real.EVERYTHING}    - {{name: asks, verbs: [delete, deletecollection, patch, update], apiGroups: ["", apps], resources: [configmaps, deployments, namespaces], action: RequireApproval, message: a person decides}}
    - {{name: soon, verbs: [delete], apiGroups: [""], resources: [services], action: RequireApproval, approval: {{expiresAfter: 1s}}}}
    - {{name: runs, verbs: [create], apiGroups: [""], resources: [pods/exec], action: RequireApproval}}
"""
DEPLOYMENT = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: web}}
spec:
  replicas: 2
  selector: {{matchLabels: {{app: web}}}}
  template:
    metadata: {{labels: {{app: web}}}}
    spec:
      terminationGracePeriodSeconds: 0
      containers: [{{name: c, image: "{real.IMAGE}", imagePullPolicy: Never, command: [sleep, "3600"]}}]
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """`patient` is held until somebody decides, `agent` is answered at once."""
    folder: Path = tmp_path_factory.mktemp("approvals")
    cluster = cast("Sandbox", real.real_cluster(folder))
    running = Gateway(
        folder / "gateway", cluster, policy=POLICY, hold=45, clients=("agent", "patient"), holds={"agent": 0}
    )
    yield running.start()
    running.stop()


@pytest.fixture
def alice(gateway: Gateway) -> Iterator[Reviewer]:
    alice = Reviewer(gateway, "alice")
    yield alice
    alice.clear()


class Clients:
    """One kubectl: straight to the cluster, through the gateway, and through it with patience."""

    def __init__(self, program: str, gateway: Gateway, namespace: str) -> None:
        self.admin = real.Kubectl(program, real.kubeconfig(), namespace, {})
        self.agent = real.Kubectl(program, real.client_kubeconfig(gateway), namespace, {})
        self.patient = real.Kubectl(program, real.client_kubeconfig(gateway, "patient"), namespace, {})


@pytest.fixture(scope="module", params=[name for name in real.kubectls() if "1.20" not in name])
def kubectl(request: pytest.FixtureRequest, gateway: Gateway) -> Iterator[Clients]:
    clients = Clients(request.param, gateway, f"e2e-approvals-{secrets.token_hex(3)}")
    clients.admin.ok("create", "namespace", clients.admin.namespace)
    yield clients
    clients.admin("delete", "namespace", clients.admin.namespace, "--wait=false")


def executed(kubectl: Clients, name: str, verb: str = "delete") -> int:
    """How often the real cluster did it, by its audit log."""
    wanted = {"namespace": kubectl.admin.namespace, "name": name}

    def count() -> int:
        found = events(Path(os.environ["PRATIQUE_REALCLUSTER_AUDIT"]))
        return sum(
            event.get("verb") == verb
            and "dryRun=All" not in event.get("requestURI", "")
            and {key: (event.get("objectRef") or {}).get(key) for key in wanted} == wanted
            and (event.get("responseStatus") or {}).get("code", 500) < 300
            for event in found
        )

    return count()


@pytest.mark.skipif(find() is None, reason="no Chromium on this machine: apt-get install chromium")
def test_a_delete_waits_is_approved_in_the_page_and_happens_exactly_once(kubectl: Clients, gateway: Gateway) -> None:
    kubectl.admin.ok("create", "configmap", "in-the-page", "--from-literal=a=b")
    deleting = kubectl.patient.start("delete", "configmap", "in-the-page")
    browser = Browser()
    try:
        browser.open(gateway.admin + "/")
        browser.type("#key", gateway.keys["alice"])
        browser.click("button[type=submit]")
        browser.until("[...document.querySelectorAll('a.item')].some(a => a.textContent.includes('in-the-page'))")
        assert deleting.poll() is None
        browser.run("[...document.querySelectorAll('a.item')].find(a => a.textContent.includes('in-the-page')).click()")
        browser.click("#approve")
        out, _ = deleting.communicate(timeout=60)
    finally:
        browser.close()
    assert deleting.returncode == 0, out
    assert b"deleted" in out
    assert kubectl.admin("get", "configmap", "in-the-page").code != 0
    real.eventually(lambda: executed(kubectl, "in-the-page") == 1)


def test_denied_and_expired_are_told_in_clear_text(kubectl: Clients, alice: Reviewer) -> None:
    kubectl.admin.ok("create", "configmap", "denied", "--from-literal=a=b")
    deleting = kubectl.patient.start("delete", "configmap", "denied")
    alice.decide("denied", "deny", reason="it is in use")
    out, _ = deleting.communicate(timeout=60)
    assert deleting.returncode == 1
    assert b"(ApprovalDenied)" in out
    assert b"`alice` denied it: it is in use" in out
    kubectl.admin.ok("create", "service", "clusterip", "soon", "--tcp=80")
    expired = kubectl.patient("delete", "service", "soon")
    assert expired.code == 1
    assert "(ApprovalExpired)" in expired.err
    assert "Send the request again to ask anew" in expired.err
    assert executed(kubectl, "denied") == executed(kubectl, "soon") == 0


def test_approved_after_kubectl_had_given_up_the_repeat_succeeds(
    kubectl: Clients, gateway: Gateway, alice: Reviewer
) -> None:
    kubectl.admin.ok("create", "configmap", "late", "--from-literal=a=b")
    first = kubectl.agent("delete", "configmap", "late")
    assert first.code == 1
    assert "(ApprovalPending)" in first.err
    assert f"{gateway.admin}/a/apr-" in first.err
    alice.decide("late")
    assert kubectl.admin("get", "configmap", "late").code == 0, "nothing happens by itself"
    kubectl.agent.ok("delete", "configmap", "late")
    real.eventually(lambda: executed(kubectl, "late") == 1)


def test_apply_shows_the_real_difference_and_goes_through_tied_to_it(kubectl: Clients, alice: Reviewer) -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: applied}\ndata: {color: COLOR}\n"
    kubectl.admin.ok("apply", "-f", "-", given=text.replace("COLOR", "blue"))
    for arguments in (("apply",), ("apply", "--server-side", "--force-conflicts")):
        changed = text.replace("COLOR", f"green-{len(arguments)}")
        asked = kubectl.agent(*arguments, "-f", "-", given=changed)
        assert "(ApprovalPending)" in asked.err, asked
        shown = alice.show(alice.decide("patch ConfigMap"))
        assert f"+  color: green-{len(arguments)}" in shown["effect"]["difference"]
        kubectl.agent.ok(*arguments, "-f", "-", given=changed)
        live = json.loads(kubectl.admin.ok("get", "configmap", "applied", "-o", "json"))
        assert live["data"] == {"color": f"green-{len(arguments)}"}


def test_what_changed_since_it_was_shown_is_asked_anew(kubectl: Clients, alice: Reviewer) -> None:
    kubectl.admin.ok("create", "configmap", "moving", "--from-literal=a=b")
    patch = ("patch", "configmap", "moving", "--type=merge", "-p", '{"data":{"x":"y"}}')
    assert "(ApprovalPending)" in kubectl.agent(*patch).err
    alice.decide("patch ConfigMap")
    kubectl.admin.ok("patch", "configmap", "moving", "--type=merge", "-p", '{"data":{"a":"changed"}}')
    again = kubectl.agent(*patch)
    assert "(ApprovalPending)" in again.err
    alice.decide("patch ConfigMap")
    kubectl.agent.ok(*patch)
    kubectl.admin.ok("annotate", "configmap", "moving", "by=somebody")


def test_a_deployments_delete_shows_what_it_owns_and_a_namespaces_all_of_it(kubectl: Clients, alice: Reviewer) -> None:
    kubectl.admin.ok("apply", "-f", "-", given=DEPLOYMENT)
    kubectl.admin.ok("wait", "--for=condition=Available", "--timeout=90s", "deployment/web", timeout=120)
    assert "(ApprovalPending)" in kubectl.agent("delete", "deployment", "web").err
    shown = alice.show(alice.find("delete Deployment"))["effect"]
    assert {each["kind"]: each["number"] for each in shown["cascade"]} == {"Pod": 2, "ReplicaSet": 1}
    assert shown["cascadeComplete"]
    assert "(ApprovalPending)" in kubectl.agent("delete", "namespace", kubectl.admin.namespace).err
    whole = alice.show(alice.find(f"delete Namespace {kubectl.admin.namespace}"))["effect"]
    counted = {each["kind"]: each["number"] for each in whole["cascade"]}
    assert whole["cascadeComplete"], whole
    pods = len(kubectl.admin.ok("get", "pods", "-o", "name").split())  # the tests of exec may have one as well
    assert (counted["Deployment"], counted["Pod"], counted["ReplicaSet"]) == (1, pods, 1)
    assert pods >= 2
    assert counted["ConfigMap"] >= 1
    assert counted["ServiceAccount"] == 1
    alice.decide("delete Deployment")
    kubectl.agent.ok("delete", "deployment", "web")


def test_a_selection_is_listed_and_a_new_member_is_asked_about(kubectl: Clients, alice: Reviewer) -> None:
    target = f"/api/v1/namespaces/{kubectl.admin.namespace}/configmaps?labelSelector=group%3Dg"
    for name in ("g1", "g2"):
        kubectl.admin.ok("create", "configmap", name, "--from-literal=a=b")
        kubectl.admin.ok("label", "configmap", name, "group=g")
    gateway = alice.gateway
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    shown = alice.show(alice.decide("delete every ConfigMap"))["effect"]
    assert [each["name"] for each in shown["objects"]] == ["g1", "g2"]
    kubectl.admin.ok("create", "configmap", "g3", "--from-literal=a=b")
    kubectl.admin.ok("label", "configmap", "g3", "group=g")
    assert gateway.call("DELETE", target).reason == "ApprovalPending"
    assert kubectl.admin("get", "configmap", "g1").code == 0
    alice.decide("delete every ConfigMap")
    assert gateway.call("DELETE", target).code == 200
    wait_for(lambda: kubectl.admin("get", "configmap", "g3").code != 0)


SCRIPT = """
import json, sys
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
config.load_kube_config(sys.argv[1])
try:
    client.CoreV1Api().delete_namespaced_config_map(sys.argv[3], sys.argv[2])
    print(json.dumps({"code": 200}))
except ApiException as error:
    print(json.dumps({"code": error.status, "message": json.loads(error.body)["message"]}))
"""


@pytest.mark.parametrize("python", os.environ.get("PRATIQUE_PYTHON_CLIENTS", "").split(":"))
def test_the_python_client_is_told_and_its_repeat_succeeds(
    kubectl: Clients, gateway: Gateway, alice: Reviewer, python: str
) -> None:
    name = f"python-{secrets.token_hex(3)}"
    kubectl.admin.ok("create", "configmap", name, "--from-literal=a=b")

    def delete() -> Any:
        config = str(real.client_kubeconfig(gateway))
        arguments = [python, "-c", SCRIPT, config, kubectl.admin.namespace, name]
        return json.loads(subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=120).stdout)

    asked = delete()
    assert asked["code"] == 403
    assert "waits for a reviewer's approval" in asked["message"]
    alice.decide(name)
    assert delete()["code"] == 200
    real.eventually(lambda: executed(kubectl, name) == 1)


# --- exec: answered before it is approved ---


@pytest.fixture(scope="module")
def shell(kubectl: Clients, gateway: Gateway) -> Iterator[Clients]:
    """In a namespace of its own, with a pod of that name."""
    clients = Clients(kubectl.admin.program, gateway, f"{kubectl.admin.namespace}-exec")
    admin = clients.admin
    admin.ok("create", "namespace", admin.namespace)
    admin.ok("run", "shell", f"--image={real.IMAGE}", "--image-pull-policy=Never", "--", "sleep", "3600")
    admin.ok("wait", "--for=condition=Ready", "--timeout=90s", "pod/shell", timeout=120)
    yield clients
    admin("delete", "namespace", admin.namespace, "--wait=false")


class Exec:
    """A kubectl exec that waits. `line` is the first that came on stderr, which is what it waits for."""

    def __init__(self, kubectl: real.Kubectl, websockets: str, *arguments: str, given: bytes = b"") -> None:
        environment = {**os.environ, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": websockets}
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(kubectl.command("exec", *arguments), env=environment, **pipes)
        assert self.process.stderr is not None
        assert self.process.stdin is not None
        self.process.stdin.write(given)
        self.process.stdin.flush()
        self.line = self.process.stderr.readline().decode()

    def done(self) -> real.Done:
        out, err = self.process.communicate(timeout=60)
        return real.Done(self.process.returncode, out.decode(), err.decode())


def ran(shell: Clients, marker: str) -> int:
    """How many execs with this argument the real cluster let in, by its audit log."""
    found = events(Path(os.environ["PRATIQUE_REALCLUSTER_AUDIT"]))
    return len({
        event["auditID"]
        for event in found
        if (event.get("objectRef") or {}).get("subresource") == "exec"
        and (event.get("objectRef") or {}).get("namespace") == shell.admin.namespace
        and f"command={marker}" in event.get("requestURI", "")
        and (event.get("responseStatus") or {}).get("code") == 101
    })  # fmt: skip


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_an_exec_says_what_it_waits_for_and_runs_once_when_it_is_approved(
    shell: Clients, gateway: Gateway, alice: Reviewer, websockets: str
) -> None:
    marker = f"approved-{secrets.token_hex(3)}"
    script = ("sh", "-c", "cat; echo err >&2; exit 3", marker)
    waiting = Exec(shell.patient, websockets, "-i", "shell", "--", *script, given=b"typed early\n")
    approval_id = alice.find(marker)
    assert f"waits up to 300 s for approval {approval_id}" in waiting.line
    assert f"{gateway.admin}/a/{approval_id}" in waiting.line
    assert ran(shell, marker) == 0
    alice.decide(marker)
    done = waiting.done()
    assert (done.code, done.out) == (3, "typed early\n"), done
    assert f"pratique: approval {approval_id} was given\nerr\n" in done.err
    real.eventually(lambda: ran(shell, marker) == 1)
    assert len([row for row in alice.rows("all") if marker in row["words"]]) == 1


@pytest.mark.parametrize("websockets", ["true", "false"])
def test_an_exec_that_is_denied_fails_with_that_text_and_is_not_tried_again(
    shell: Clients, alice: Reviewer, websockets: str
) -> None:
    marker = f"denied-{secrets.token_hex(3)}"
    waiting = Exec(shell.patient, websockets, "shell", "--", "sh", "-c", "echo out", marker)
    alice.decide(marker, "deny", reason="not in production")
    done = waiting.done()
    assert (done.code, done.out) == (1, ""), done
    assert "`alice` denied it: not in production" in done.err
    assert done.err.startswith("error: ")
    assert ran(shell, marker) == 0
    assert len([row for row in alice.rows("all") if marker in row["words"]]) == 1


def test_on_a_terminal_the_line_is_seen_and_the_shell_follows(shell: Clients, alice: Reviewer) -> None:
    marker = f"terminal-{secrets.token_hex(3)}"
    command = shell.patient.command("exec", "-it", "shell", "--", "sh", "-c", "tty; read x; echo got $x", marker)
    quoted = " ".join(f"'{part}'" for part in command)
    with subprocess.Popen(
        ["script", "-qec", quoted, "/dev/null"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert b"waits up to 300 s for approval" in process.stdout.readline()
        alice.decide(marker)
        assert b"was given" in process.stdout.readline()
        assert process.stdout.readline().startswith(b"/dev/pts/")
        process.stdin.write(b"word\n")
        process.stdin.flush()
        assert b"got word" in process.stdout.read()


def test_an_exec_of_a_client_that_is_never_held_is_refused_with_the_approval_to_wait_for(
    shell: Clients, alice: Reviewer
) -> None:
    marker = f"hasty-{secrets.token_hex(3)}"
    asked = shell.agent("exec", "shell", "--", "sh", "-c", "echo ran", marker)
    assert asked.code == 1
    assert "waits for a reviewer's approval" in asked.err
    alice.decide(marker)
    assert shell.agent.ok("exec", "shell", "--", "sh", "-c", "echo ran", marker) == "ran\n"
    assert len([row for row in alice.rows("all") if marker in row["words"]]) == 1
