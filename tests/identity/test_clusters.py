"""A Cluster names one API server, one CA and one source of credentials, or is refused at its place."""

from __future__ import annotations

import base64
import re

import pytest

from pratique.errors import DocumentErrors
from pratique.identity.clusters import (
    CertificateAuthority,
    EksSource,
    KubeconfigSource,
    SandboxSource,
    TokenFileSource,
    cluster_from,
)
from tests.identity.helpers import certificate, documents

CA = base64.b64encode(certificate()[0].encode()).decode()
HEAD = "apiVersion: pratique/v1\nkind: Cluster\nmetadata: {name: prod}\nspec:\n"
BASE = f"  server: https://api.example.com\n  certificateAuthority: {{data: {CA}}}\n"
ROLE = "arn:aws:iam::123456789012:role/agents/RoleY"
EKS = f"  eks: {{clusterName: prod, region: eu-west-1, roleARN: '{ROLE}'"


def of(spec):
    return cluster_from(documents(HEAD + spec, "policies/cluster.yaml"))


def errors(spec):
    with pytest.raises(DocumentErrors) as raised:
        of(spec)
    return raised.value.errors


def test_eks():
    cluster = of(BASE + EKS + "}\n")
    assert (cluster.name, str(cluster.server)) == ("prod", "https://api.example.com:443")
    assert cluster.source == EksSource(cluster_name="prod", region="eu-west-1", role_arn=ROLE)
    assert cluster.certificate_authority == CertificateAuthority(data=CA)
    assert cluster.source.duration_seconds == 3600


def test_eks_with_everything():
    more = ", stsEndpoint: 'http://127.0.0.1:4000', durationSeconds: 900, sourceIdentity: agents, clusterID: id-1}\n"
    source = of(BASE + EKS + more + "  tlsServerName: kubernetes\n").source
    assert (source.sts_endpoint, source.duration_seconds) == ("http://127.0.0.1:4000", 900)
    assert (source.source_identity, source.cluster_id) == ("agents", "id-1")


def test_eks_sessions_by_client_or_session_with_tags_and_a_policy_of_their_own():
    more = ", assume: session, sourceIdentity: 'a-{client}', sessionTags: {agent: '{client}/{session}', empty: ''}"
    source = of(BASE + EKS + more + ", sessionPolicy: {Version: '2012-10-17', Statement: []}}\n").source
    assert (source.assume, source.source_identity) == ("session", "a-{client}")
    assert source.session_tags == {"agent": "{client}/{session}", "empty": ""}
    assert source.session_policy == {"Version": "2012-10-17", "Statement": []}
    assert of(BASE + EKS + "}\n").source.assume == "client"


def test_a_token_file_and_a_ca_file_are_relative_to_the_document():
    spec = "  server: https://api\n  certificateAuthority: {path: ca.pem}\n  tokenFile: /var/run/token\n"
    cluster = of(spec)
    assert cluster.certificate_authority == CertificateAuthority(path="policies/ca.pem")
    assert cluster.source == TokenFileSource("/var/run/token")


def test_a_home_path_is_left_to_the_reader():
    assert of("  kubeconfig: {path: ~/.kube/config, context: c}\n").source == KubeconfigSource("~/.kube/config", "c")


def test_a_kubeconfig_supplies_server_and_ca():
    cluster = of("  kubeconfig: {}\n")
    assert (cluster.source, cluster.server, cluster.certificate_authority) == (KubeconfigSource(), None, None)


def test_a_kubeconfigs_server_and_ca_can_be_overruled():
    cluster = of(BASE + "  kubeconfig: {path: k}\n")
    assert cluster.source == KubeconfigSource("policies/k")
    assert cluster.server is not None
    assert cluster.certificate_authority is not None


def test_the_sandbox_needs_nothing():
    assert of("  sandbox: {}\n").source == SandboxSource()


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        (BASE, r":4:1: the Cluster has no source"),
        (BASE + "  tokenFile: t\n  kubeconfig: {}\n", r"two sources of credentials"),
        (f"  certificateAuthority: {{data: {CA}}}\n  tokenFile: t\n", r":4:1: `server` is missing"),
        ("  server: https://api\n  tokenFile: t\n", r"`certificateAuthority` is missing"),
        (
            "  server: https://api\n  certificateAuthority: {}\n  tokenFile: t\n",
            r":6:3: .*exactly one of `path` and `data`",
        ),
        (f"  server: https://api\n  certificateAuthority: {{data: {CA}, path: x}}\n  tokenFile: t\n", "exactly one"),
        ("  server: https://api\n  certificateAuthority: {data: '%%%'}\n  tokenFile: t\n", "not base64 of a PEM"),
        ("  server: https://api\n  certificateAuthority: {data: aGVsbG8=}\n  tokenFile: t\n", "not base64 of a PEM"),
        ("  server: https://api\n  certificateAuthority: {path: ''}\n  tokenFile: t\n", "path is empty"),
        (BASE + "  tokenFile: ''\n", "path is empty"),
        (
            BASE.replace("api.example.com", "rancher/k8s/clusters/c") + "  tokenFile: t\n",
            r":5:3: .*path prefix.*Give the API",
        ),
        (BASE.replace("https", "http") + "  tokenFile: t\n", "not `https`"),
        (BASE + "  sandbox: {}\n", "embedded cluster has its own"),
        (BASE + "  tokenFile: t\n  tlsServerName: a b\n", "not a host name"),
        (BASE + "  tokenFile: t\n  insecureSkipTLSVerify: true\n", "`insecureSkipTLSVerify` is not known"),
        (BASE + "  tokenFile: t\n  insecure-skip-tls-verify: true\n", "is not known"),
        (BASE + "  kubeconfig: {path: ''}\n", "path is empty"),
        (BASE + "  eks: {clusterName: prod, region: eu-west-1}\n", "`roleARN` is missing"),
        (BASE + EKS + ", durationSeconds: 899}\n", "no session duration"),
        (BASE + EKS + ", durationSeconds: 43201}\n", "3600 at most"),
        (BASE + EKS + ", sourceIdentity: a b}\n", "cannot be sourceIdentity"),
        (BASE + EKS + ", sourceIdentity: 'aws:x'}\n", "cannot be sourceIdentity"),
        (BASE + EKS + ", sourceIdentity: 'x{who}'}\n", "cannot be sourceIdentity"),
        (BASE + EKS + ", assume: pod}\n", "Known are `gateway`, `client`, `session`"),
        (BASE + EKS + ", assume: gateway, sourceIdentity: '{client}'}\n", "Set `assume` to `client` or `session`"),
        (BASE + EKS + ", sessionTags: {a: '{session}'}}\n", "Set `assume` to `session`"),
        (BASE + EKS + ", sessionTags: {'aws:a': b}}\n", "cannot be a session tag"),
        (BASE + EKS + ", sessionTags: {'a*': b}}\n", "cannot be a session tag"),
        (BASE + EKS + f", sessionTags: {{a: {'b' * 257}}}}}\n", "cannot be a session tag"),
        (BASE + EKS + f", sessionTags: {{{', '.join(f't{n}: v' for n in range(51))}}}}}\n", "Give 50 at most"),
        (BASE + EKS + f", sessionPolicy: {{Statement: [{'x' * 2048}]}}}}\n", "Give 2048 at most"),
        (BASE + EKS + ", clusterID: a/b}\n", "cannot be clusterID"),
        (BASE + EKS + ", stsEndpoint: 'http://sts.example.com'}\n", "plain http"),
        (BASE + EKS + ", stsEndpoint: 'ftp://x'}\n", "not `https`"),
        (BASE + EKS.replace("eu-west-1", "nowhere") + "}\n", "cannot be region"),
        (BASE + EKS.replace("clusterName: prod", "clusterName: a/b") + "}\n", "cannot be clusterName"),
        (BASE + EKS.replace(ROLE, "arn:aws:iam::1:user/x") + "}\n", "cannot be roleARN"),
    ],
)
def test_what_cannot_be_used_is_refused_at_its_place_with_a_remedy(spec, says):
    found = errors(spec)
    assert any(re.search(says, str(error)) for error in found), [str(error) for error in found]
    assert all(str(error).startswith("policies/cluster.yaml:") for error in found)


def test_every_error_is_reported_in_one_run():
    assert len(errors("  server: http://a\n  tlsServerName: a b\n")) == 4


@pytest.mark.parametrize(
    "region", ["us-gov-west-1", "cn-north-1", "eu-isoe-west-1", "eusc-de-east-1", "ap-southeast-4"]
)
def test_regions_of_every_partition_are_regions(region):
    assert of(BASE + EKS.replace("eu-west-1", region) + "}\n").source.region == region


def test_one_gateway_serves_one_cluster():
    second = HEAD.replace("prod", "second") + "  sandbox: {}\n"
    with pytest.raises(DocumentErrors, match=r"cluster.yaml:9:12: a second Cluster `second` beside `prod`"):
        cluster_from(documents(HEAD + "  sandbox: {}\n---\n" + second, "policies/cluster.yaml"))


def test_no_cluster_is_an_error_that_names_the_folder():
    client = "apiVersion: pratique/v1\nkind: Client\nmetadata: {name: c}\nspec: {}\n"
    with pytest.raises(DocumentErrors, match=r"policies:1:1: no `kind: Cluster`"):
        cluster_from(documents(client))
    with pytest.raises(DocumentErrors, match="no `kind: Cluster`"):
        cluster_from([])
