"""I/O: the AWS side of an installation: Role Y, the policy of Role X, the EKS access entry.

Belongs here: reading, making and deleting them with boto3, and what each failure means. Not here: what is wanted (`wanted`),
what is done (`plan`).
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from pratique.errors import StartError
from pratique.setup.plan import Found, Thing
from pratique.setup.wanted import TAG_KEY, TAG_VALUE, canonical

# A new role is known to EKS, and a principal to IAM, some seconds after it was made.
SETTLE_ATTEMPTS = 12
SETTLE_SECONDS = 3.0
KINDS = frozenset({"iam/role", "iam/role-policy", "eks/access-entry"})
_MISSING = frozenset({"NoSuchEntity", "ResourceNotFoundException"})
_SETTLING = frozenset({"MalformedPolicyDocument", "InvalidParameterException"})
_TAGS = [{"Key": TAG_KEY, "Value": TAG_VALUE}]
_FIXED = ("Path",)


class Aws:
    """`iam`, `eks`: boto3 clients of whoever sets the installation up. `cluster`: the EKS cluster's name."""

    def __init__(self, iam: Any, eks: Any, cluster: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self._iam = iam
        self._eks = eks
        self._cluster = cluster
        self._sleep = sleep

    def describe(self) -> dict[str, Any]:
        """`cluster` of eks:DescribeCluster. Raises StartError."""
        described: dict[str, Any] = _asked(lambda: self._eks.describe_cluster(name=self._cluster))["cluster"]
        return described

    def check_role(self, name: str) -> None:
        """Raises StartError: there is no such role."""
        if _there(lambda: self._iam.get_role(RoleName=name)) is None:
            raise StartError(f"Role X `{name}` does not exist. Make it first (IRSA, Pod Identity or instance profile)")

    def read(self, thing: Thing) -> Found | None:
        if thing.kind == "iam/role":
            return self._role(thing.name)
        if thing.kind == "iam/role-policy":
            role, policy = thing.name.split("/", 1)
            found = _there(lambda: self._iam.get_role_policy(RoleName=role, PolicyName=policy))
            # An inline policy has no tags; its name is ours.
            return None if found is None else Found(_document(found["PolicyDocument"]), ours=True)
        found = _there(lambda: self._eks.describe_access_entry(clusterName=self._cluster, principalArn=thing.name))
        if found is None:
            return None
        entry = found["accessEntry"]
        return Found(entry, (entry.get("tags") or {}).get(TAG_KEY) == TAG_VALUE)

    def _role(self, name: str) -> Found | None:
        found = _there(lambda: self._iam.get_role(RoleName=name))
        if found is None:
            return None
        role = dict(found["Role"])
        role["AssumeRolePolicyDocument"] = _document(role.get("AssumeRolePolicyDocument") or {})
        boundary = (role.pop("PermissionsBoundary", None) or {}).get("PermissionsBoundaryArn")
        tags = {tag["Key"]: tag["Value"] for tag in role.get("Tags") or []}
        return Found(
            {**role, **({"PermissionsBoundary": boundary} if boundary else {})}, tags.get(TAG_KEY) == TAG_VALUE
        )

    def create(self, thing: Thing) -> None:
        wanted = thing.wanted
        if thing.kind == "iam/role":
            trust = json.dumps(wanted["AssumeRolePolicyDocument"])
            rest = {key: value for key, value in wanted.items() if key != "AssumeRolePolicyDocument"}
            self._settled(
                lambda: self._iam.create_role(
                    RoleName=thing.name, AssumeRolePolicyDocument=trust, Description=thing.why, Tags=_TAGS, **rest
                )
            )
        elif thing.kind == "iam/role-policy":
            self._put_policy(thing)
        else:
            self._settled(
                lambda: self._eks.create_access_entry(
                    clusterName=self._cluster, principalArn=thing.name, tags={TAG_KEY: TAG_VALUE}, **wanted
                )
            )

    def update(self, thing: Thing, differs: tuple[str, ...]) -> None:
        """Raises StartError: a field cannot be changed."""
        wanted = thing.wanted
        fixed = [path for path in differs if path.partition(".")[0] in {*_FIXED, "type"}]
        if fixed:
            text = f"{thing.kind} `{thing.name}`: {', '.join(fixed)} cannot be changed"
            raise StartError(f"{text}. Take it back first (--destroy), or choose another name")
        if thing.kind == "iam/role-policy":
            self._put_policy(thing)
        elif thing.kind == "eks/access-entry":
            groups = wanted["kubernetesGroups"]
            _asked(
                lambda: self._eks.update_access_entry(
                    clusterName=self._cluster, principalArn=thing.name, kubernetesGroups=groups
                )
            )
        else:
            self._update_role(thing.name, wanted)

    def _update_role(self, name: str, wanted: Mapping[str, Any]) -> None:
        trust = json.dumps(wanted["AssumeRolePolicyDocument"])
        self._settled(lambda: self._iam.update_assume_role_policy(RoleName=name, PolicyDocument=trust))
        _asked(lambda: self._iam.update_role(RoleName=name, MaxSessionDuration=wanted["MaxSessionDuration"]))
        boundary = wanted.get("PermissionsBoundary")
        if boundary:
            _asked(lambda: self._iam.put_role_permissions_boundary(RoleName=name, PermissionsBoundary=boundary))

    def _put_policy(self, thing: Thing) -> None:
        role, policy = thing.name.split("/", 1)
        document = json.dumps(thing.wanted)
        _asked(lambda: self._iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=document))

    def delete(self, thing: Thing) -> None:
        if thing.kind == "iam/role":
            _there(lambda: self._iam.delete_role(RoleName=thing.name))
        elif thing.kind == "iam/role-policy":
            role, policy = thing.name.split("/", 1)
            _there(lambda: self._iam.delete_role_policy(RoleName=role, PolicyName=policy))
        else:
            _there(lambda: self._eks.delete_access_entry(clusterName=self._cluster, principalArn=thing.name))

    def _settled(self, call: Callable[[], Any]) -> None:
        """Again and again while AWS does not know yet what was made a moment ago."""
        for attempt in range(SETTLE_ATTEMPTS):
            try:
                call()
            except Exception as error:  # noqa: BLE001 - botocore raises classes of its own making
                if _code(error) not in _SETTLING or attempt == SETTLE_ATTEMPTS - 1:
                    raise _failed(error) from None
                self._sleep(SETTLE_SECONDS)
            else:
                return


def _document(given: Any) -> dict[str, Any]:
    """boto3 decodes policy documents; a stub or another client may leave them as text."""
    return canonical(json.loads(given) if isinstance(given, str) else given)


def _there(call: Callable[[], Any]) -> Any:
    """None for what does not exist."""
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - botocore raises classes of its own making
        if _code(error) in _MISSING:
            return None
        raise _failed(error) from None


def _asked(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # noqa: BLE001 - botocore raises classes of its own making
        raise _failed(error) from None


def _code(error: Exception) -> str:
    response = getattr(error, "response", None) or {}
    return str((response.get("Error") or {}).get("Code", ""))


def _failed(error: Exception) -> StartError:
    """One line with a remedy. The message of a ClientError names the action and the resource, and holds no credential."""
    code, operation = _code(error), str(getattr(error, "operation_name", ""))
    if not code:
        remedy = "Check your AWS credentials, AWS_PROFILE and network"
        return StartError(f"AWS cannot be asked: {type(error).__name__}. {remedy}")
    text = " ".join(str((getattr(error, "response", None) or {}).get("Error", {}).get("Message", "")).split())
    remedy = _REMEDIES.get(code, "Mend that and run it again: what is done stays done")
    return StartError(f"{operation}: {code}: {text}. {remedy}")


_REMEDIES = {
    "AccessDenied": "Use credentials that may do it; the other steps stay as they are",
    "AccessDeniedException": "Use credentials that may do it; the other steps stay as they are",
    "MalformedPolicyDocument": "Check that the role given by --role-x exists, with its path",
    "DeleteConflict": "Somebody attached a policy to the role: detach it, then run it again",
    "InvalidRequestException": "Set the cluster's authentication mode to API_AND_CONFIG_MAP or API",
}
