"""A kubeconfig's context is taken over as client-go reads it, and nothing that weakens it."""

from __future__ import annotations

import base64
from pathlib import PurePath

import pytest

from pratique.identity.kubeconfig import KubeconfigError, Material, kubeconfig_from
from pratique.identity.secret import Secret

FILE = PurePath("/home/x/.kube/config")


def data(user=None, cluster=None, **more):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "preferences": {},
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "k", "user": "u", "namespace": "n"}}],
        "clusters": [{"name": "k", "cluster": {"server": "https://api:6443", **(cluster or {})}}],
        "users": [{"name": "u", "user": {"token": "t0ken"} if user is None else user}],
        **more,
    }


def of(user=None, cluster=None, context=None, **more):
    return kubeconfig_from([(FILE, data(user, cluster, **more))], context)


def base64_of(text):
    return base64.b64encode(text.encode()).decode()


EXEC = {"apiVersion": "client.authentication.k8s.io/v1", "command": "aws", "args": ["eks", "get-token"], "env": None}


def test_a_token():
    kubeconfig = of()
    assert (kubeconfig.context, kubeconfig.server) == ("c", "https://api:6443")
    assert kubeconfig.user.token == Secret("t0ken")
    assert kubeconfig.certificate_authority is None
    assert "t0ken" not in repr(kubeconfig)


def test_a_token_file_counts_before_a_token_and_is_relative_to_the_file():
    user = of({"token": "t", "tokenFile": "token"}).user
    assert (user.token, user.token_file) == (None, FILE.parent / "token")


def test_inline_material_counts_before_a_path():
    kubeconfig = of(
        {"client-certificate-data": base64_of("cert"), "client-certificate": "x", "client-key": "k.pem"},
        {"certificate-authority": "/ca.pem", "certificate-authority-data": base64_of("ca")},
    )
    assert kubeconfig.certificate_authority == Material(data=b"ca")
    assert kubeconfig.user.certificate == Material(data=b"cert")
    assert kubeconfig.user.key == Material(path=FILE.parent / "k.pem")
    assert "cert" not in repr(kubeconfig.user.certificate).replace("certificate", "")


def test_an_absolute_path_stays():
    assert of(cluster={"certificate-authority": "/ca.pem"}).certificate_authority == Material(path=PurePath("/ca.pem"))


def test_an_exec_plugin():
    plugin = of(
        {"exec": {**EXEC, "env": [{"name": "AWS_PROFILE", "value": "p"}], "provideClusterInfo": True}}
    ).user.exec
    assert (plugin.command, plugin.args, plugin.env) == ("aws", ("eks", "get-token"), (("AWS_PROFILE", "p"),))
    assert plugin.provide_cluster_info


@pytest.mark.parametrize(("command", "wanted"), [("./p", "/home/x/.kube/p"), ("/bin/p", "/bin/p"), ("p", "p")])
def test_a_plugin_is_found_as_client_go_finds_it(command, wanted):
    assert of({"exec": {**EXEC, "command": command, "args": None}}).user.exec.command == wanted


def test_another_context_by_name():
    contexts = [{"name": "c", "context": {"cluster": "none"}}, {"name": "d", "context": {"cluster": "k", "user": "u"}}]
    assert of(context="d", contexts=contexts).context == "d"


def test_of_several_files_the_first_that_has_a_name_counts_with_its_own_folder():
    first = {"current-context": "c", "users": [{"name": "u", "user": {"tokenFile": "t"}}], "clusters": None}
    kubeconfig = kubeconfig_from([(PurePath("/a/config"), first), (FILE, data())])
    assert kubeconfig.user.token_file == PurePath("/a/t")
    assert kubeconfig.server == "https://api:6443"


def test_a_tls_server_name():
    assert of(cluster={"tls-server-name": "kubernetes"}).tls_server_name == "kubernetes"
    assert of(cluster={"tls-server-name": ""}).tls_server_name is None


@pytest.mark.parametrize(
    ("user", "cluster", "says"),
    [
        (None, {"insecure-skip-tls-verify": True}, "insecure-skip-tls-verify"),
        (None, {"proxy-url": "http://p"}, "proxy-url"),
        (None, {"tls-server-name": "a b"}, "not a host name"),
        (None, {"certificate-authority-data": "%%"}, "not base64"),
        ({}, None, "no credential"),
        ({"username": "u", "password": "p"}, None, "password"),
        ({"auth-provider": {"name": "gcp"}}, None, "auth-provider"),
        ({"token": "t", "as": "root"}, None, "impersonates"),
        ({"token": "t", "as-groups": ["system:masters"]}, None, "impersonates"),
        ({"token": "t", "as-uid": "1"}, None, "impersonates"),
        ({"token": "t", "as-user-extra": {"a": ["b"]}}, None, "impersonates"),
        ({"client-certificate": "c.pem"}, None, "one is missing"),
        ({"client-key": "c.pem"}, None, "one is missing"),
        ({"token": "t", "exec": EXEC}, None, "beside a token"),
        ({"exec": {**EXEC, "apiVersion": "client.authentication.k8s.io/v1alpha1"}}, None, "is not known"),
        ({"exec": {**EXEC, "interactiveMode": "Always"}}, None, "interactive"),
        ({"exec": {"command": "x"}}, None, "not a kubeconfig"),
    ],
)
def test_what_the_gateway_does_not_use_is_refused_with_a_remedy(user, cluster, says):
    with pytest.raises(KubeconfigError, match=says) as raised:
        of(user, cluster)
    assert raised.value.remedy


@pytest.mark.parametrize(
    ("more", "context", "says"),
    [
        ({"current-context": ""}, None, "no current context"),
        ({}, "other", "no `other` among its contexts"),
        ({"clusters": []}, None, "no `k` among its clusters"),
        ({"users": None}, None, "no `u` among its users"),
        ({"contexts": "c"}, None, "not a kubeconfig"),
    ],
)
def test_a_context_that_is_not_whole_is_refused(more, context, says):
    with pytest.raises(KubeconfigError, match=says):
        of(context=context, **more)


def test_a_user_without_a_body_has_no_credential():
    with pytest.raises(KubeconfigError, match="no credential"):
        of(users=[{"name": "u", "user": None}])


@pytest.mark.parametrize("given", [None, [], "text", 3])
def test_what_is_no_mapping_is_no_kubeconfig(given):
    with pytest.raises(KubeconfigError, match="not a kubeconfig"):
        kubeconfig_from([(FILE, given)])
