"""`scripts/setup` in front of IAM and EKS in memory and a cluster: made once, mended, shown, taken back."""

from __future__ import annotations

import base64
import json
import ssl
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from cryptography import x509
from kubernetes import client as kubernetes

from pratique.loaded import load
from pratique.sandbox.cluster import Sandbox, SandboxOptions
from pratique.setup import __main__ as command
from pratique.setup import aws
from pratique.setup.serving import serving_certificate
from tests.deploy.strict import problems
from tests.process.gateway import ROOT
from tests.setup.fake_aws import ACCOUNT, Eks, Iam

X = f"arn:aws:iam::{ACCOUNT}:role/gateway"
Y = f"arn:aws:iam::{ACCOUNT}:role/pratique-prod"
FILES = {"file", "kubeconfig"}
RBAC = "/apis/rbac.authorization.k8s.io/v1"
POLICY = """
apiVersion: pratique/v1
kind: Policy
metadata: {name: p}
spec:
  rules:
    - {name: read, verbs: [get, list], resources: [pods], action: Allow}
    - {name: write, verbs: [patch], resources: [configmaps], namespaces: [payments], action: RequireApproval}
"""


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Everything that setup talks to. `place.run(…)` runs it."""
    with Sandbox(tmp_path / "sandbox", SandboxOptions(static_token="setup-admin")) as sandbox:
        authority = Path(sandbox.info.ca_path)
        iam = Iam("gateway")
        eks = Eks(iam, sandbox.info.server, base64.b64encode(authority.read_bytes()).decode())
        configuration = kubernetes.Configuration(host=sandbox.info.server)
        configuration.ssl_ca_cert = str(authority)
        configuration.api_key = {"authorization": "Bearer setup-admin"}
        api = kubernetes.ApiClient(configuration)
        monkeypatch.setattr(command, "_aws_clients", lambda region: (iam, eks))
        monkeypatch.setattr(command, "_api_client", lambda context, endpoint: api)
        monkeypatch.setattr(aws, "SETTLE_SECONDS", 0.0)
        folder = tmp_path / "documents"
        folder.mkdir()
        (folder / "policy.yaml").write_text(POLICY)
        yield Place(sandbox, iam, eks, api, folder)


class Place(SimpleNamespace):
    def __init__(self, sandbox, iam, eks, api, folder):
        super().__init__(sandbox=sandbox, iam=iam, eks=eks, api=api, folder=folder)

    def run(self, *more, code=0):
        arguments = ["--cluster", "prod", "--role-x", X, "--documents", str(self.folder), "--client", "mcp-1", *more]
        done = CliRunner().invoke(command.main, arguments)
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exc_info
        assert done.exit_code == code, done.output
        return done

    def plan(self, *more):
        """Action by `kind name`."""
        document = json.loads(self.run("--dry-run", "--output", "json", *more).stdout)
        return {
            f"{step['kind']} {Path(step['name']).name if step['kind'] in FILES else step['name']}": step["action"]
            for step in document["steps"]
        }

    def get(self, path):
        headers = {"Authorization": "Bearer setup-admin", "Accept": "application/json"}
        response = self.api.rest_client.request("GET", self.api.configuration.host + path, headers=headers)
        return json.loads(response.data)

    def missing(self, path):
        try:
            self.get(path)
        except kubernetes.ApiException as error:
            return error.status == 404
        return False


ALL = {
    "file client-mcp-1.yaml", "file cluster.yaml", "iam/role pratique-prod", "iam/role-policy gateway/pratique-prod",
    f"eks/access-entry {Y}", "Namespace pratique", "ServiceAccount pratique/pratique-agents",
    "ClusterRole pratique-agents", "ClusterRoleBinding pratique-agents", "Role payments/pratique-agents",
    "RoleBinding payments/pratique-agents", "Secret pratique/pratique-serving", "ConfigMap pratique/pratique-policies",
    "kubeconfig mcp-1.kubeconfig",
}  # fmt: skip


def test_a_dry_run_shows_everything_and_changes_nothing(place):
    assert place.plan() == dict.fromkeys(ALL, "create")
    assert place.iam.calls == place.eks.calls == []
    assert place.missing("/api/v1/namespaces/pratique")
    assert {path.name for path in place.folder.iterdir()} == {"policy.yaml"}
    text = place.run("--dry-run").output
    assert "create\tiam/role\tpratique-prod\tRole Y: has no permissions in AWS" in text


def test_what_is_made_is_what_an_installation_needs_and_the_second_run_does_nothing(place):
    done = place.run()
    assert "next: build the image" in done.stderr
    role = place.iam.roles["pratique-prod"]
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    assert statement["Principal"] == {"AWS": X}
    assert set(statement["Action"]) == {"sts:AssumeRole", "sts:TagSession", "sts:SetSourceIdentity"}
    assert role["MaxSessionDuration"] == 3600
    (policy,) = place.iam.policies.values()
    assert [each["Resource"] for each in policy["Statement"]] == [Y, f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/prod"]
    entry = place.eks.entries[Y]
    assert (entry["kubernetesGroups"], entry["type"]) == (["pratique:agents"], "STANDARD")
    assert "username" not in entry  # EKS' own has the session's name
    made = [
        place.get(f"{RBAC}/clusterroles/pratique-agents"),
        place.get(f"{RBAC}/clusterrolebindings/pratique-agents"),
        place.get(f"{RBAC}/namespaces/payments/roles/pratique-agents"),
        place.get(f"{RBAC}/namespaces/payments/rolebindings/pratique-agents"),
        place.get("/api/v1/namespaces/pratique/serviceaccounts/pratique-agents"),
    ]
    assert [found for one in made for found in problems(one)] == []
    assert made[0]["rules"] == [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]
    assert made[2]["rules"] == [{"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "patch"]}]
    assert {subject["kind"] for subject in made[1]["subjects"]} == {"Group", "ServiceAccount"}
    assert made[4]["automountServiceAccountToken"] is False
    before = (list(place.iam.calls), list(place.eks.calls))
    again = place.plan()
    kept = {key for key in ALL if not key.startswith(("file", "kubeconfig"))}
    assert again == dict.fromkeys(kept, "keep")
    place.run()
    assert (place.iam.calls, place.eks.calls) == before


def test_the_documents_are_a_gateways_and_the_kubeconfig_is_its_clients(place):
    place.run("--gateway-url", "https://gateway.example.com:8443")
    loaded = load(place.folder)
    assert loaded.cluster.source.role_arn == Y
    assert str(loaded.cluster.server) == place.sandbox.info.server
    data = place.get("/api/v1/namespaces/pratique/configmaps/pratique-policies")["data"]
    assert set(data) == {"client-mcp-1.yaml", "cluster.yaml", "policy.yaml"}
    assert data["client-mcp-1.yaml"] == (place.folder / "client-mcp-1.yaml").read_text()
    file = place.folder.parent / "mcp-1.kubeconfig"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    config = json.loads(file.read_text())
    key = config["users"][0]["user"]["token"]
    assert loaded.clients.of_key(key, 0.0)[0].name == "mcp-1"
    assert config["clusters"][0]["cluster"]["server"] == "https://gateway.example.com:8443"
    authority = base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
    assert authority == place.get("/api/v1/namespaces/pratique/configmaps/pratique-ca")["data"]["ca.crt"]
    secret = place.get("/api/v1/namespaces/pratique/secrets/pratique-serving")["data"]
    combined = base64.b64decode(secret["tls-combined.pem"])
    (names,) = [
        extension.value.get_values_for_type(x509.DNSName)
        for extension in x509.load_pem_x509_certificate(combined).extensions
        if isinstance(extension.value, x509.SubjectAlternativeName)
    ]
    assert {"gateway.example.com", "pratique.pratique.svc", "pratique-admin.pratique.svc"} <= set(names)
    assert key not in str(data) + str(secret)


def test_an_edited_policy_changes_rights_and_documents_and_nothing_else(place):
    place.run()
    (place.folder / "policy.yaml").write_text(POLICY.replace("payments", "dev").replace("[pods]", "[pods, services]"))
    done = place.run(code=1)
    assert "Create the namespace that the policy names" in done.stderr  # there is no `dev`
    (place.folder / "policy.yaml").write_text(POLICY.partition("    - {name: write")[0].replace("[pods]", "[services]"))
    changed = {key: action for key, action in place.plan().items() if action != "keep"}
    assert changed == {
        "ClusterRole pratique-agents": "update",
        "ConfigMap pratique/pratique-policies": "update",
        "Role payments/pratique-agents": "delete",
        "RoleBinding payments/pratique-agents": "delete",
    }
    place.run()
    assert place.get(f"{RBAC}/clusterroles/pratique-agents")["rules"][0]["resources"] == ["services"]
    assert place.missing(f"{RBAC}/namespaces/payments/roles/pratique-agents")


def test_what_somebody_changed_is_mended_and_a_role_made_anew_gets_a_new_access_entry(place):
    place.run()
    place.iam.roles["pratique-prod"]["AssumeRolePolicyDocument"] = {"Statement": []}
    place.eks.entries[Y]["kubernetesGroups"] = ["system:masters"]
    assert {key: action for key, action in place.plan().items() if action != "keep"} == {
        "iam/role pratique-prod": "update",
        f"eks/access-entry {Y}": "update",
    }
    place.run()
    assert place.eks.entries[Y]["kubernetesGroups"] == ["pratique:agents"]
    del place.iam.roles["pratique-prod"]
    place.eks.unsettled = 3
    assert place.plan()[f"eks/access-entry {Y}"] == "replace"
    place.run()
    assert place.eks.calls[-5:] == ["DeleteAccessEntry", *["CreateAccessEntry"] * 4]


def test_a_role_that_only_impersonates_has_no_right_of_its_own(place):
    place.run()
    changed = {key: action for key, action in place.plan("--impersonate").items() if action != "keep"}
    assert changed == {
        "ClusterRoleBinding pratique-agents": "update",
        "RoleBinding payments/pratique-agents": "update",
        **{f"{kind} pratique-agents-impersonate": "create" for kind in ("ClusterRole", "ClusterRoleBinding")},
        **{f"{kind} pratique/pratique-agents-impersonate": "create" for kind in ("Role", "RoleBinding")},
    }
    place.run("--impersonate")
    rules = place.get(f"{RBAC}/clusterrolebindings/pratique-agents")
    assert [subject["kind"] for subject in rules["subjects"]] == ["ServiceAccount"]
    (role,) = place.get(f"{RBAC}/namespaces/pratique/roles/pratique-agents-impersonate")["rules"]
    assert (role["resources"], role["resourceNames"], role["verbs"]) == (
        ["serviceaccounts"],
        ["pratique-agents"],
        ["impersonate"],
    )
    (groups,) = place.get(f"{RBAC}/clusterroles/pratique-agents-impersonate")["rules"]
    assert groups["resourceNames"] == [
        "system:serviceaccounts",
        "system:serviceaccounts:pratique",
        "system:authenticated",
    ]
    (place.folder / "policy.yaml").write_text(
        POLICY
        + "    - {name: l, verbs: [get], resources: [services], namespaceSelector: {matchLabels: {a: b}}, action: Allow}\n"
    )
    place.run("--impersonate")
    assert len(place.get(f"{RBAC}/clusterroles/pratique-agents-impersonate")["rules"]) == 2
    assert "create" not in place.plan().values()
    assert list(place.plan().values()).count("delete") == 4


def test_what_cloudformation_or_terraform_made_is_found_as_wanted(place):
    actions = ["sts:TagSession", "sts:SetSourceIdentity", "sts:AssumeRole"]
    trust = {
        "Statement": [{"Sid": "", "Effect": "Allow", "Principal": {"AWS": [X]}, "Action": actions}],
        "Version": "2012-10-17",
    }
    tags = [{"Key": "managed-by", "Value": "terraform"}]
    place.iam.roles["pratique-prod"] = {
        "RoleName": "pratique-prod", "Path": "/", "Tags": tags, "MaxSessionDuration": 3600, "AssumeRolePolicyDocument": trust,
    }  # fmt: skip
    describe = {"Effect": "Allow", "Action": ["eks:DescribeCluster"], "Resource": place.eks.cluster["arn"]}
    assume = {"Effect": "Allow", "Action": actions, "Resource": [Y]}
    place.iam.policies["gateway", "pratique-prod"] = {"Version": "2012-10-17", "Statement": [assume, describe]}
    place.eks.entries[Y] = {"kubernetesGroups": ["pratique:agents"], "type": "STANDARD", "tags": {}}
    kept = {key for key, action in place.plan().items() if action == "keep"}
    assert kept == {"iam/role pratique-prod", "iam/role-policy gateway/pratique-prod", f"eks/access-entry {Y}"}
    place.run()
    assert place.iam.calls == place.eks.calls == []


def test_what_others_made_stops_it_before_anything_is_done(place):
    place.iam.roles["pratique-prod"] = {"RoleName": "pratique-prod", "Path": "/", "Tags": []}
    done = place.run(code=1)
    assert "nothing was done: iam/role:pratique-prod exist" in done.stderr
    assert place.iam.calls == place.eks.calls == []
    assert place.missing("/api/v1/namespaces/pratique")
    assert {path.name for path in place.folder.iterdir()} == {"policy.yaml"}


def test_destroy_takes_it_back_and_shows_so_first(place):
    place.run()
    plan = place.plan("--destroy")
    assert {key for key, action in plan.items() if action == "keep"} == {"Namespace pratique"}
    assert {action for key, action in plan.items() if key != "Namespace pratique"} == {"delete"}
    place.run("--destroy")
    assert "pratique-prod" not in place.iam.roles
    assert place.iam.policies == place.eks.entries == {}
    for path in (
        f"{RBAC}/clusterroles/pratique-agents",
        f"{RBAC}/clusterrolebindings/pratique-agents",
        f"{RBAC}/namespaces/payments/roles/pratique-agents",
        "/api/v1/namespaces/pratique/secrets/pratique-serving",
        "/api/v1/namespaces/pratique/configmaps/pratique-ca",
        "/api/v1/namespaces/pratique/configmaps/pratique-policies",
    ):
        assert place.missing(path), path
    assert place.eks.calls.index("DeleteAccessEntry") >= 0
    assert place.plan("--destroy") == {"Namespace pratique": "keep"}
    assert (place.folder / "cluster.yaml").exists()


WRONG = {
    "no-cluster": (lambda p: p.eks.cluster.update(name="x"), [], "No cluster found"),
    "denied": (lambda p: p.iam.denied.add("CreateRole"), [], "Use credentials that may do it"),
    "no-role-x": (lambda p: p.iam.roles.clear(), [], "Role X `gateway` does not exist"),
    "user": (None, ["--role-x", f"arn:aws:iam::{ACCOUNT}:user/x"], "is no role of account"),
    "account": (None, ["--role-x", "arn:aws:iam::999999999999:role/x"], "is no role of account"),
    "url": (None, ["--gateway-url", "http://x"], "is no https URL"),
    "client": (None, ["--client", "Not A Name"], "Not A Name"),
    "no-policy": (lambda p: (p.folder / "policy.yaml").write_text(POLICY.replace("spec:", "spec:\n  subjects: [x]")), [], "no policy is about any client"),
    "bad-policy": (lambda p: (p.folder / "policy.yaml").write_text(POLICY.replace("Allow", "Alow")), [], "`Alow` is not known"),
    "no-folder": (None, ["--documents", "/nowhere"], "is no folder"),
    "orphan-kubeconfig": (lambda p: (p.folder.parent / "mcp-1.kubeconfig").touch(), [], "Remove it to get a new one"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_one_line_with_a_remedy(place, case):
    break_, more, says = WRONG[case]
    if break_ is not None:
        break_(place)
    done = place.run(*more, code=1)
    assert says in done.stderr
    assert "Traceback" not in done.output


def test_without_documents_the_shipped_policies_count_and_no_files_are_made(place):
    done = CliRunner().invoke(command.main, ["--cluster", "prod", "--role-x", X, "--dry-run", "--output", "json"])
    kinds = [step["kind"] for step in json.loads(done.stdout)["steps"]]
    assert not {"file", "kubeconfig", "ConfigMap"} & set(kinds)
    assert kinds.count("ClusterRole") == 1
    refused = CliRunner().invoke(command.main, ["--cluster", "prod", "--role-x", X, "--client", "a"])
    assert (refused.exit_code, "--client needs --documents" in refused.stderr) == (1, True)


def test_the_context_must_be_that_of_the_cluster(tmp_path, monkeypatch):
    config = tmp_path / "config"
    config.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "clusters": [{"name": "c", "cluster": {"server": "https://other.example.com"}}],
                "users": [{"name": "u", "user": {"token": "t"}}],
                "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                "current-context": "c",
            }
        )
    )
    monkeypatch.setenv("KUBECONFIG", str(config))
    from kubernetes.config import kube_config

    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(config))
    with pytest.raises(Exception, match="leads to `https://other.example.com`"):
        command._api_client(None, "https://api.example.com")
    assert command._api_client(None, "https://other.example.com").configuration.host == "https://other.example.com"
    with pytest.raises(Exception, match="update-kubeconfig"):
        command._api_client("nothing", "https://other.example.com")


def test_the_serving_certificate_is_one_that_tls_takes(tmp_path):
    serving = serving_certificate(["gateway.example.com", "10.0.0.1"], 1_780_000_000.0)
    file = tmp_path / "combined.pem"
    file.write_text(serving.combined.reveal())
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(file)
    assert "PRIVATE KEY" not in serving.authority
    assert "PRIVATE KEY" not in repr(serving)
    assert (ROOT / "scripts" / "setup").stat().st_mode & stat.S_IXUSR
