"""What an installation is made of, as things to be compared with what is there.

Pure. Names and documents only: nothing here asks anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pratique.identity.impersonation import ImpersonatedAccount
from pratique.setup.plan import Thing
from pratique.setup.rights import CLUSTER, Rights

MANAGED_BY = "app.kubernetes.io/managed-by"
INSTALLATION = "pratique.dev/installation"
"""Label of everything in the cluster: which Role Y it belongs to. One cluster may have several."""
TAG_KEY, TAG_VALUE = "managed-by", "pratique-setup"
TRUST_ACTIONS = ("sts:AssumeRole", "sts:SetSourceIdentity", "sts:TagSession")
MAX_SESSION_SECONDS = 3600  # the most that a role assumed by a role gets
RBAC = "rbac.authorization.k8s.io"
NAMESPACE_LABELS = {
    "pratique.dev/gateway": "true",
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "latest",
}


@dataclass(frozen=True, slots=True)
class Installation:
    """What the operator says. ARNs are whole; `role_y` is a role's name, with its path before it if it has one."""

    cluster: str
    cluster_arn: str
    account: str
    partition: str
    role_x_arn: str
    role_y: str
    namespace: str = "pratique"
    service_account: str = "pratique-agents"
    group: str = "pratique:agents"
    permissions_boundary: str = ""
    impersonate: bool = False
    """Role Y's group may do nothing but impersonate the ServiceAccount, which alone has the rights of the policies."""
    gateway_names: tuple[str, ...] = ("pratique.pratique.svc", "pratique.pratique.svc.cluster.local")
    documents: Mapping[str, str] = field(default_factory=dict)
    """The policy folder as it goes into the cluster: file name → text. Empty: none does."""

    @property
    def role_y_arn(self) -> str:
        return f"arn:{self.partition}:iam::{self.account}:role/{self.role_y}"

    @property
    def role_y_name(self) -> str:
        return self.role_y.rpartition("/")[2]

    @property
    def labels(self) -> dict[str, str]:
        return {MANAGED_BY: TAG_VALUE, INSTALLATION: self.role_y_name[:63].rstrip("._-")}

    @property
    def role_x_name(self) -> str:
        return self.role_x_arn.rpartition("/")[2]


def wanted(what: Installation, given: Rights) -> tuple[Thing, ...]:
    """In the order in which they are made: what another one names comes first."""
    return (*aws_things(what), *cluster_things(what, given))


def aws_things(what: Installation) -> tuple[Thing, ...]:
    role = Thing(
        "iam/role",
        what.role_y_name,
        {
            "Path": f"/{what.role_y.rpartition('/')[0]}/".replace("//", "/"),
            "AssumeRolePolicyDocument": trust_policy(what.role_x_arn),
            "MaxSessionDuration": MAX_SESSION_SECONDS,
            **({"PermissionsBoundary": what.permissions_boundary} if what.permissions_boundary else {}),
        },
        "Role Y: has no permissions in AWS, is only who the cluster knows",
    )
    policy = Thing(
        "iam/role-policy",
        f"{what.role_x_name}/{what.role_y_name}",
        role_x_policy(what),
        "lets Role X assume Role Y, and look at the cluster",
    )
    entry = Thing(
        "eks/access-entry",
        what.role_y_arn,
        {"kubernetesGroups": [what.group], "type": "STANDARD"},
        f"makes Role Y a member of the group {what.group}; the user name is EKS' own, with the session's name",
        after=role.key,
    )
    return role, policy, entry


def trust_policy(role_x_arn: str) -> dict[str, Any]:
    """Role Y trusts Role X and nobody else."""
    statement = {"Effect": "Allow", "Principal": {"AWS": role_x_arn}, "Action": list(TRUST_ACTIONS)}
    return {"Version": "2012-10-17", "Statement": [statement]}


def canonical(policy: Mapping[str, Any]) -> dict[str, Any]:
    """A policy document in the one form that is compared: IAM and other tools order and wrap lists as they like."""
    statements = policy.get("Statement") or []
    listed = statements if isinstance(statements, list) else [statements]
    return {**policy, "Statement": [_canonical(statement) for statement in listed]}


def _canonical(statement: Any) -> Any:
    if isinstance(statement, Mapping):
        return {key: _canonical(value) for key, value in statement.items() if key != "Sid"}
    if isinstance(statement, list):
        return sorted(statement) if len(statement) > 1 else statement[0] if statement else statement
    return statement


def role_x_policy(what: Installation) -> dict[str, Any]:
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": list(TRUST_ACTIONS), "Resource": what.role_y_arn},
            {"Effect": "Allow", "Action": "eks:DescribeCluster", "Resource": what.cluster_arn},
        ],
    }


def cluster_things(what: Installation, given: Rights) -> tuple[Thing, ...]:
    namespace = _object(what, "v1", "Namespace", what.namespace, labels=NAMESPACE_LABELS)
    account = _object(
        what, "v1", "ServiceAccount", what.service_account, what.namespace, automountServiceAccountToken=False
    )
    things = [
        Thing("Namespace", what.namespace, namespace, "where the gateway is", stays=True),
        Thing(
            "ServiceAccount",
            f"{what.namespace}/{what.service_account}",
            account,
            "the non-human identity in the cluster; no pod runs as it, and it has no token",
        ),
    ]
    account_subject = {"kind": "ServiceAccount", "name": what.service_account, "namespace": what.namespace}
    group = {"apiGroup": RBAC, "kind": "Group", "name": what.group}
    subjects = [account_subject] if what.impersonate else [group, account_subject]
    name = what.group.replace(":", "-")
    for scope, rules in given.rules.items():
        things += _role_things(what, scope, name, rules, subjects=subjects, why="what the policies need")
    for scope, rules in impersonation(what, given).items() if what.impersonate else ():
        things += _role_things(
            what, scope, f"{name}-impersonate", rules, subjects=[group], why="to act as the ServiceAccount"
        )
    things.append(_serving(what))
    if what.documents:
        policies = _object(what, "v1", "ConfigMap", "pratique-policies", what.namespace, data=dict(what.documents))
        things.append(
            Thing(
                "ConfigMap", f"{what.namespace}/pratique-policies", policies, "the documents, as the gateway reads them"
            )
        )
    return tuple(things)


def impersonation(what: Installation, given: Rights) -> dict[str, list[dict[str, Any]]]:
    """RBAC rules by namespace: this ServiceAccount and its three groups, and nobody else; labels, where a rule reads them."""
    account = ImpersonatedAccount(what.namespace, what.service_account)
    as_account = {"apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": [account.name]}
    as_groups = {"apiGroups": [""], "resources": ["groups"], "resourceNames": list(account.groups)}
    return {
        CLUSTER: [{**as_groups, "verbs": ["impersonate"]}, *(_LABELS if given.reads_labels else ())],
        what.namespace: [{**as_account, "verbs": ["impersonate"]}],
    }


_LABELS = ({"apiGroups": [""], "resources": ["namespaces"], "verbs": ["get"]},)


def _role_things(
    what: Installation, scope: str, name: str, rules: list[dict[str, Any]], *, subjects: list[dict[str, Any]], why: str
) -> list[Thing]:
    prefix, kind = ("Cluster", "ClusterRole") if scope == CLUSTER else ("", "Role")
    version = f"{RBAC}/v1"
    role = _object(what, version, kind, name, scope, rules=rules)
    binding = _object(
        what,
        version,
        f"{prefix}RoleBinding",
        name,
        scope,
        roleRef={"apiGroup": RBAC, "kind": kind, "name": name},
        subjects=subjects,
    )
    key = f"{scope}/{name}" if scope else name
    return [
        Thing(kind, key, role, f"{why}{f' in {scope}' if scope else ''}: {len(rules)} rules"),
        Thing(
            f"{prefix}RoleBinding", key, binding, f"gives it to {' and '.join(subject['name'] for subject in subjects)}"
        ),
    ]


def _serving(what: Installation) -> Thing:
    secret = _object(what, "v1", "Secret", "pratique-serving", what.namespace)
    return Thing(
        "Secret",
        f"{what.namespace}/pratique-serving",
        {**secret, "names": list(what.gateway_names)},
        f"the certificate that all replicas serve, for {', '.join(what.gateway_names)}; its CA is in pratique-ca",
        once=True,
    )


def _object(
    what: Installation, version: str, kind: str, name: str, namespace: str = "", /, **fields: Any
) -> dict[str, Any]:
    labels = {**what.labels, **fields.pop("labels", {})}
    metadata = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **fields}
