"""`pratique doctor` on each broken step says which one and the remedy, in front of an STS that verifies and a cluster."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import threading
import time

import pytest
from click.testing import CliRunner

from pratique.cli import main
from pratique.cli.doctor import doctor
from pratique.doctor import around
from pratique.doctor.examine import Examined, examine
from pratique.doctor.findings import State
from pratique.doctor.probes import ApiServer, Aws, UnreachableError, answers_tcp, unreachable
from pratique.identity.clusters import EksSource
from pratique.identity.gate import Credential
from pratique.identity.server import Server
from pratique.sandbox.cluster import ROLE_X, ROLE_Y, ROLE_Z, Sandbox, SandboxOptions
from pratique.sandbox.sts import Role
from tests.identity.helpers import certificate
from tests.process.gateway import ROOT

TOKEN = "doctor-token-CANARY"


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with Sandbox(tmp_path_factory.mktemp("sandbox"), SandboxOptions(static_token=TOKEN)) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running):
    """As it is at first, whatever the test before broke."""
    cluster = running.cluster
    roles, entries, name = dict(cluster.sts.roles), dict(cluster.authenticator.entries), cluster.authenticator.cluster
    yield running
    cluster.sts.roles, cluster.authenticator.entries, cluster.authenticator.cluster = roles, entries, name
    cluster.sts.throttled = False


@pytest.fixture
def aws(sandbox, monkeypatch, tmp_path):
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ACCESS_KEY_ID": sandbox.info.access_key_id,
        "AWS_SECRET_ACCESS_KEY": sandbox.info.secret_access_key,
        "AWS_ENDPOINT_URL_EKS": "http://127.0.0.1:1",
    }.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.fixture
def folder(sandbox, tmp_path):
    """Documents of a gateway in front of the sandbox. `write(spec=…)` changes the Cluster, `clients=` adds some."""
    policies = tmp_path / "policies"
    policies.mkdir()
    info = sandbox.info
    eks = {
        "clusterName": info.cluster_name,
        "region": info.region,
        "roleARN": info.role_arn,
        "stsEndpoint": info.sts_endpoint,
    }

    def write(clients=None, eks=eks, **spec):
        usual = {"server": info.server, "certificateAuthority": {"path": info.ca_path}}
        usual |= {"eks": eks} if eks else {}
        head = {"apiVersion": "pratique/v1", "kind": "Cluster", "metadata": {"name": "c"}}
        (policies / "cluster.yaml").write_text(json.dumps({**head, "spec": {**usual, **spec}}))
        for name, role in (clients or {}).items():
            document = {**head, "kind": "Client", "metadata": {"name": name}, "spec": {"apiKeys": [], "roleARN": role}}
            (policies / f"{name}.yaml").write_text(json.dumps(document))
        return policies

    write.eks, write.policies = eks, policies
    write()
    return write


def ask(policies, *arguments):
    """Exit code and findings, by step and client."""
    done = CliRunner().invoke(main, ["doctor", "--policies", str(policies), "--output", "json", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert TOKEN not in done.output
    return done.exit_code, json.loads(done.stdout)


def states(findings):
    return {(each["step"], each["about"]): each["state"] for each in findings}


def broken(findings):
    return [each for each in findings if each["state"] == "broken"]


def test_a_whole_chain_is_in_order(aws, folder):
    code, findings = ask(folder(clients={"agent": ROLE_Y}))
    assert code == 0, findings
    assert broken(findings) == []
    by_step = {(each["step"], each["about"]): each["says"] for each in findings}
    assert ROLE_X in by_step["role x", ""]
    assert by_step["accepted", "agent"].startswith(
        "the cluster knows us as `arn:aws:sts::111122223333:assumed-role/pratique-role-y/agent`, groups pratique"
    )
    assert states(findings)["rights", ""] == "ok"  # the rules themselves; what is too much comes before
    warned = [each for each in findings if each["step"] == "rights" and each["state"] == "warning"]
    assert warned[0]["says"].startswith("Role Y may do everything")


BROKEN = {
    "no-credentials": (lambda s, a, f: a.delenv("AWS_ACCESS_KEY_ID"), "role x", "IRSA"),
    "unknown-key": (lambda s, a, f: a.setenv("AWS_ACCESS_KEY_ID", "AKIAUNKNOWN"), "role x", "IRSA"),
    "wrong-secret": (lambda s, a, f: a.setenv("AWS_SECRET_ACCESS_KEY", "wrong"), "role x", "clock"),
    "no-profile": (lambda s, a, f: a.setenv("AWS_PROFILE", "nobody"), "role x", "AWS_PROFILE"),
    "throttled": (lambda s, a, f: setattr(s.cluster.sts, "throttled", True), "role x", "tries again by itself"),
    "sts-down": (lambda s, a, f: f(eks={**f.eks, "stsEndpoint": "http://127.0.0.1:1"}), "role x", "VPC endpoint of STS"),
    "no-trust": (lambda s, a, f: s.cluster.sts.roles.update({ROLE_Y: Role(ROLE_Y, "AROAY", ())}), "role y", "trust policy"),
    "no-role": (lambda s, a, f: s.cluster.sts.roles.clear(), "role y", "trust policy"),
    "too-long": (lambda s, a, f: f(eks={**f.eks, "durationSeconds": 43200}) and s.cluster.sts.roles.update({ROLE_Y: Role(ROLE_Y, "AROAY", (ROLE_X,))}), "role y", "Set 3600 or less"),
    "no-access-entry": (lambda s, a, f: s.cluster.authenticator.entries.clear(), "accepted", "Create an access entry"),
    "other-cluster": (lambda s, a, f: setattr(s.cluster.authenticator, "cluster", "other"), "accepted", "clusterName"),
    "endpoint-down": (lambda s, a, f: f(server="https://127.0.0.1:1"), "endpoint", "security groups"),
    "wrong-ca": (lambda s, a, f: f(certificateAuthority={"data": _pem()}), "endpoint", "cluster's CA again"),
    "wrong-name": (lambda s, a, f: f(tlsServerName="other.example.com"), "endpoint", "tlsServerName"),
    "no-tls": (lambda s, a, f: f(server=_plain_http()), "endpoint", "speaks no TLS"),
    "documents": (lambda s, a, f: (f() / "more.yaml").write_text("kind: Nothing\n"), "documents", "pratique check"),
}  # fmt: skip


def _plain_http():
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        connection, _ = listener.accept()
        with listener, connection:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.0 400 Bad Request\r\n\r\n")

    threading.Thread(target=serve, daemon=True).start()
    return f"https://127.0.0.1:{listener.getsockname()[1]}"


def _pem():
    return base64.b64encode(certificate("other")[0].encode()).decode()


@pytest.mark.parametrize("case", BROKEN)
def test_the_broken_step_is_named_with_its_remedy_and_no_other(sandbox, aws, folder, case):
    break_, step, remedy = BROKEN[case]
    break_(sandbox, aws, folder)
    code, findings = ask(folder.policies)
    assert code == 1
    (found,) = broken(findings)
    assert found["step"] == step
    assert remedy in f"{found['says']}. {found['remedy']}"
    later = [each for each in findings if each["says"].startswith("not asked: ")]
    assert all(step in each["says"] for each in later)


def test_a_clients_own_role_is_examined_as_that_client(aws, folder):
    code, findings = ask(folder(clients={"agent": ROLE_Y, "billing": ROLE_Z}))
    assert code == 1
    (found,) = broken(findings)
    assert (found["step"], found["about"]) == ("role y", "billing")
    assert ROLE_Z in found["says"]
    assert states(findings)["accepted", "agent"] == "ok"


def test_a_token_that_is_too_long_is_its_own_step(sandbox, aws, folder, monkeypatch):
    from pratique.identity import eks_token

    monkeypatch.setattr(eks_token, "MAX_TOKEN_BYTES", 300)
    code, findings = ask(folder())
    (found,) = broken(findings)
    assert (code, found["step"]) == (1, "token")
    assert "session tags" in found["remedy"]


def test_a_token_file_is_examined_without_aws(sandbox, folder, tmp_path):
    (tmp_path / "token").write_text(TOKEN)
    code, findings = ask(folder(eks=None, tokenFile=str(tmp_path / "token")))
    assert code == 0
    assert "the cluster knows us as `sandbox-admin`" in str(findings)
    assert {each["step"] for each in findings} == {"documents", "endpoint", "token", "accepted", "rights", "around"}
    (tmp_path / "token").write_text("wrong")
    code, findings = ask(folder(eks=None, tokenFile=str(tmp_path / "token")))
    assert (code, [each["step"] for each in broken(findings)]) == (1, ["accepted"])
    (tmp_path / "token").unlink()
    code, findings = ask(folder(eks=None, tokenFile=str(tmp_path / "token")))
    assert (code, [each["step"] for each in broken(findings)]) == (1, ["token"])


def test_the_shipped_documents_are_about_the_sandbox():
    done = CliRunner().invoke(main, ["doctor", "--policies", str(ROOT / "policies")])
    assert done.exit_code == 1
    assert "is about the sandbox" in done.stderr


def test_what_eks_says_of_the_endpoint_is_looked_at(sandbox, aws, folder):
    class Described(Aws):
        def cluster(self):
            return {"resourcesVpcConfig": {"endpointPublicAccess": True, "publicAccessCidrs": ["0.0.0.0/0"]}}

    info = sandbox.info
    eks = EksSource(info.cluster_name, info.region, info.role_arn, sts_endpoint=info.sts_endpoint)
    with open(info.ca_path) as file:
        api = ApiServer(Server.parse(info.server), file.read(), None)
    what = Examined(info.server, eks, (), lambda: Credential(None), time.time)
    *_, last = examine(what, api, Described(eks))
    assert (last.step, last.state) == ("around", State.WARNING)
    assert "0.0.0.0/0" in last.says


def test_from_a_clients_place(sandbox, monkeypatch):
    monkeypatch.setattr(around, "METADATA", (("127.0.0.1", 1, "nothing", "none"),))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    for name in around.AWS_VARIABLES:
        monkeypatch.delenv(name, raising=False)
    closed = ["doctor", "--as-client", "--server", "https://127.0.0.1:1", "--gateway", sandbox.info.server]
    done = CliRunner().invoke(main, closed)
    assert done.exit_code == 0, done.output
    assert "there is no way around the gateway" in done.output
    open_ = CliRunner().invoke(main, ["doctor", "--as-client", "--server", sandbox.info.server])
    assert open_.exit_code == 1
    assert "answers around the gateway" in open_.output
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(sandbox.info.port))
    assert CliRunner().invoke(main, ["doctor", "--as-client"]).exit_code == 1


@pytest.mark.parametrize("arguments", [[], ["--server", "https://"]])
def test_without_an_endpoint_there_is_nothing_to_ask(monkeypatch, arguments):
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    done = CliRunner().invoke(main, ["doctor", "--as-client", *arguments])
    assert done.exit_code == 1
    assert "https://" in done.stderr


def test_each_part_of_the_way_has_its_words():
    for error, says in (
        (socket.gaierror(-2, "x"), "DNS"),
        (TimeoutError(), "security groups"),
        (ConnectionRefusedError(), "ConnectionRefusedError"),
        (ssl.SSLError("x"), "speaks no TLS"),
    ):
        finding = unreachable("https://api", error)
        assert says in f"{finding.says}. {finding.remedy}"
    with pytest.raises(UnreachableError, match="CA is not usable"):
        ApiServer(Server.parse("https://api"), "nonsense", None)
    assert not answers_tcp("127.0.0.1", 1)


def test_the_help_says_what_it_does():
    assert "Role Y" in doctor.help
