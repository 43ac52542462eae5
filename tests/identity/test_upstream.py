"""What a Cluster refers to is read at start, or the start ends with the place and the remedy."""

from __future__ import annotations

import asyncio
import base64
import sys

import msgspec
import pytest

from pratique.behalf import GATEWAY
from pratique.errors import DocumentErrors
from pratique.identity.clusters import cluster_from
from pratique.identity.credentials import StaticCredentialSource, TokenFileCredentialSource
from pratique.identity.exec_source import ExecCredentialSource
from pratique.identity.secret import Secret
from pratique.identity.sources import RoleSources
from pratique.identity.upstream import load_upstream
from tests.identity.helpers import certificate, documents

CA = certificate("ca")[0]
LEAF, LEAF_KEY = certificate("leaf")
HEAD = "apiVersion: pratique/v1\nkind: Cluster\nmetadata: {name: prod}\nspec:\n"


def b64(text):
    return base64.b64encode(text.encode()).decode()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.delenv("KUBECONFIG", raising=False)
    (tmp_path / "ca.pem").write_text(CA)
    return tmp_path


def load(folder, spec):
    return load_upstream(cluster_from(documents(HEAD + spec, str(folder / "cluster.yaml"))))


def refusal(folder, spec):
    with pytest.raises(DocumentErrors) as raised:
        load(folder, spec)
    return str(raised.value)


def kubeconfig(path, user, **cluster):
    cluster = {"server": "https://api:6443", "certificate-authority-data": b64(CA), **cluster}
    data = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u"}}],
        "clusters": [{"name": "k", "cluster": {key: value for key, value in cluster.items() if value is not None}}],
        "users": [{"name": "u", "user": user}],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(msgspec.json.encode(data))


def credential(upstream):
    return asyncio.run(upstream.sources.credential(GATEWAY, 1.0))


BASE = "  server: https://api\n  certificateAuthority: {path: ca.pem}\n"
EKS = "  eks: {clusterName: p, region: eu-west-1, roleARN: 'arn:aws:iam::123456789012:role/Y'}\n"


def test_a_token_file_beside_the_document(folder):
    (folder / "token").write_text("t0ken\n")
    upstream = load(folder, BASE + "  tokenFile: token\n  tlsServerName: kubernetes\n")
    assert (str(upstream.server), upstream.certificate_authority) == ("https://api:443", CA)
    assert (upstream.tls_server_name, upstream.client_certificate) == ("kubernetes", None)
    assert isinstance(upstream.sources._source, TokenFileCredentialSource)
    assert credential(upstream).token.reveal() == "t0ken"


def test_eks_asks_nobody_before_it_is_started(folder):
    upstream = load(folder, f"  server: https://api\n  certificateAuthority: {{data: {b64(CA)}}}\n" + EKS)
    assert isinstance(upstream.sources, RoleSources)
    assert upstream.certificate_authority == CA
    assert upstream.sources.describe() == ()


def test_a_kubeconfigs_token(folder):
    kubeconfig(folder / "k", {"token": "t0ken"})
    upstream = load(folder, "  kubeconfig: {path: k}\n")
    assert (str(upstream.server), upstream.certificate_authority) == ("https://api:6443", CA)
    assert isinstance(upstream.sources._source, StaticCredentialSource)
    assert credential(upstream).token == Secret("t0ken")
    assert not credential(upstream).client_certificate
    assert "t0ken" not in repr(upstream)


def test_a_kubeconfigs_client_certificate_from_data_and_from_files(folder):
    (folder / "key.pem").write_text(LEAF_KEY)
    kubeconfig(folder / "k", {"client-certificate-data": b64(LEAF), "client-key": "key.pem"})
    upstream = load(folder, "  kubeconfig: {path: k}\n")
    assert upstream.client_certificate.certificate == LEAF
    assert upstream.client_certificate.key.reveal() == LEAF_KEY
    assert credential(upstream).client_certificate
    assert credential(upstream).token is None
    assert "PRIVATE" not in repr(upstream)


def test_a_kubeconfigs_token_file_and_ca_file_are_beside_the_kubeconfig(folder):
    kubeconfig(
        folder / "sub" / "k",
        {"tokenFile": "token"},
        **{"certificate-authority-data": None, "certificate-authority": "../ca.pem"},
    )
    (folder / "sub" / "token").write_text("beside")
    assert credential(load(folder, "  kubeconfig: {path: sub/k}\n")).token.reveal() == "beside"


def test_a_kubeconfigs_exec_plugin_is_given_the_cluster(folder):
    program = (
        "import json, os; info = json.loads(os.environ['KUBERNETES_EXEC_INFO']); cluster = info['spec']['cluster'];"
        "status = {'token': cluster['server'] + '|' + cluster['tls-server-name']};"
        "print(json.dumps({'kind': 'ExecCredential', 'apiVersion': info['apiVersion'], 'status': status}))"
    )
    plugin = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "command": sys.executable,
        "args": ["-IS", "-c", program],
        "provideClusterInfo": True,
    }
    kubeconfig(folder / "k", {"exec": plugin}, **{"tls-server-name": "kubernetes"})
    upstream = load(folder, "  kubeconfig: {path: k}\n")
    assert isinstance(upstream.sources._source, ExecCredentialSource)

    async def run():
        try:
            return await upstream.sources.credential(GATEWAY, 1.0)
        finally:
            await upstream.sources.stop()

    assert asyncio.run(run()).token.reveal() == "https://api:6443|kubernetes"


def test_the_document_overrules_the_kubeconfig(folder):
    kubeconfig(folder / "k", {"token": "t"}, **{"certificate-authority-data": b64(LEAF), "tls-server-name": "a"})
    upstream = load(folder, BASE + "  tlsServerName: b\n  kubeconfig: {path: k}\n")
    assert (str(upstream.server), upstream.certificate_authority) == ("https://api:443", CA)
    assert upstream.tls_server_name == "b"


def test_without_a_path_the_kubeconfig_is_found_as_kubectl_finds_it(folder, monkeypatch):
    kubeconfig(folder / "home" / ".kube" / "config", {"token": "home"})
    assert credential(load(folder, "  kubeconfig: {}\n")).token.reveal() == "home"
    kubeconfig(folder / "env", {"token": "env"})
    monkeypatch.setenv("KUBECONFIG", f"{folder / 'none'}:{folder / 'env'}:{folder / 'home' / '.kube' / 'config'}")
    assert credential(load(folder, "  kubeconfig: {}\n")).token.reveal() == "env"


def test_a_home_path_is_expanded(folder):
    kubeconfig(folder / "home" / "k", {"token": "t"})
    assert credential(load(folder, "  kubeconfig: {path: ~/k}\n")).token.reveal() == "t"


def test_the_sandbox_is_not_had_by_itself(folder):
    assert "embedded cluster is not running" in refusal(folder, "  sandbox: {}\n")


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("ca.pem", None, "cannot be read: No such file"),
        ("ca.pem", b"\xff\xfe", "is not text"),
        ("ca.pem", b"x" * ((1 << 20) + 1), "larger than"),
        ("k", None, "cannot be read: No such file"),
        ("k", b"", "holds 0 YAML documents"),
        ("k", b"a: 1\n---\nb: 2\n", "holds 2 YAML documents"),
        ("k", b"a: 1\na: 2\n", "stands twice"),
        ("k", b"[]", "not a kubeconfig"),
    ],
)
def test_a_file_that_cannot_be_used_is_named(folder, name, content, says):
    spec = "  kubeconfig: {path: k}\n" if name == "k" else BASE + "  tokenFile: t\n"
    (folder / name).unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)
    message = refusal(folder, spec)
    assert says in message
    assert str(folder) in message


@pytest.mark.parametrize(
    ("cluster", "says"),
    [
        ({"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        ({"certificate-authority-data": None}, "no CA certificate"),
        ({"certificate-authority-data": base64.b64encode(b"\xff").decode()}, "not PEM"),
        ({"server": "https://rancher/k8s/clusters/c"}, "path prefix"),
        ({"server": "http://api"}, "not `https`"),
        ({"server": ""}, "not `https`"),
    ],
)
def test_a_kubeconfig_that_would_weaken_the_gateway_is_refused_at_the_cluster(folder, cluster, says):
    kubeconfig(folder / "k", {"token": "t0ken"}, **cluster)
    message = refusal(folder, "  kubeconfig: {path: k}\n")
    assert says in message
    assert message.startswith(f"{folder / 'cluster.yaml'}:4:1: ")
    assert "t0ken" not in message
