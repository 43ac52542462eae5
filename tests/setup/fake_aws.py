"""IAM and EKS in memory. Every call is checked against AWS's own model of the operation (botocore's)."""

# ruff: noqa: N803 - AWS's own names
from __future__ import annotations

import json
import re

import botocore.session
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator

ACCOUNT = "111122223333"
CLUSTER_ARN = f"arn:aws:eks:eu-west-1:{ACCOUNT}:cluster/prod"
SESSION = botocore.session.Session()


class Service:
    """Operations are methods named as in boto3; `calls` are those that change something, in order."""

    def __init__(self, name):
        self._model = SESSION.get_service_model(name)
        self.calls = []
        self.denied = set()

    def __getattribute__(self, name):
        found = object.__getattribute__(self, name)
        if name.startswith("_") or not callable(found):
            return found
        operation = "".join(part.capitalize() for part in name.split("_"))
        shape = self._model.operation_model(operation).input_shape

        def call(**parameters):
            report = ParamValidator().validate(parameters, shape)
            assert not report.has_errors(), report.generate_report()
            if operation in self.denied:
                raise error("AccessDenied", operation, f"not authorized to perform: {operation}")
            if not re.match(r"(Get|Describe)", operation):
                self.calls.append(operation)
            return found(**parameters)

        return call


def error(code, operation, message="no"):
    return ClientError({"Error": {"Code": code, "Message": message}}, operation)


class Iam(Service):
    def __init__(self, *roles):
        super().__init__("iam")
        self.roles = {role: {"RoleName": role, "Path": "/", "Tags": []} for role in roles}
        self.policies = {}
        self.attached = set()

    def _role(self, name, operation):
        if name not in self.roles:
            raise error("NoSuchEntity", operation)
        return self.roles[name]

    def get_role(self, RoleName):
        return {"Role": self._role(RoleName, "GetRole")}

    def create_role(self, RoleName, AssumeRolePolicyDocument, PermissionsBoundary=None, **rest):
        if RoleName in self.roles:
            raise error("EntityAlreadyExists", "CreateRole")
        trust = json.loads(AssumeRolePolicyDocument)
        self._check_principal(trust, "CreateRole")
        boundary = (
            {"PermissionsBoundary": {"PermissionsBoundaryArn": PermissionsBoundary}} if PermissionsBoundary else {}
        )
        self.roles[RoleName] = {"RoleName": RoleName, "AssumeRolePolicyDocument": trust, **rest, **boundary}

    def _check_principal(self, trust, operation):
        name = trust["Statement"][0]["Principal"]["AWS"].rpartition("/")[2]
        if name not in self.roles:
            raise error("MalformedPolicyDocument", operation, "Invalid principal in policy")

    def update_assume_role_policy(self, RoleName, PolicyDocument):
        trust = json.loads(PolicyDocument)
        self._check_principal(trust, "UpdateAssumeRolePolicy")
        self._role(RoleName, "UpdateAssumeRolePolicy")["AssumeRolePolicyDocument"] = trust

    def update_role(self, RoleName, MaxSessionDuration):
        self._role(RoleName, "UpdateRole")["MaxSessionDuration"] = MaxSessionDuration

    def put_role_permissions_boundary(self, RoleName, PermissionsBoundary):
        self._role(RoleName, "x")["PermissionsBoundary"] = {"PermissionsBoundaryArn": PermissionsBoundary}

    def delete_role(self, RoleName):
        self._role(RoleName, "DeleteRole")
        if RoleName in self.attached:
            raise error("DeleteConflict", "DeleteRole", "must detach all policies first")
        del self.roles[RoleName]

    def get_role_policy(self, RoleName, PolicyName):
        if (RoleName, PolicyName) not in self.policies:
            raise error("NoSuchEntity", "GetRolePolicy")
        return {"PolicyDocument": self.policies[RoleName, PolicyName]}

    def put_role_policy(self, RoleName, PolicyName, PolicyDocument):
        self._role(RoleName, "PutRolePolicy")
        self.policies[RoleName, PolicyName] = json.loads(PolicyDocument)

    def delete_role_policy(self, RoleName, PolicyName):
        del self.policies[RoleName, PolicyName]


class Eks(Service):
    def __init__(self, iam, endpoint="https://api.example.com", authority="Q0E="):
        super().__init__("eks")
        self._iam = iam
        self.entries = {}
        self.unsettled = 0
        self.cluster = {
            "name": "prod",
            "arn": CLUSTER_ARN,
            "endpoint": endpoint,
            "certificateAuthority": {"data": authority},
        }

    def describe_cluster(self, name):
        if name != self.cluster["name"]:
            raise error("ResourceNotFoundException", "DescribeCluster", f"No cluster found for name: {name}.")
        return {"cluster": self.cluster}

    def describe_access_entry(self, clusterName, principalArn):
        if principalArn not in self.entries:
            raise error("ResourceNotFoundException", "DescribeAccessEntry")
        return {"accessEntry": self.entries[principalArn]}

    def create_access_entry(self, clusterName, principalArn, **rest):
        if self.unsettled:
            self.unsettled -= 1
            raise error("InvalidParameterException", "CreateAccessEntry", "The specified principalArn is invalid")
        self.entries[principalArn] = {"principalArn": principalArn, **rest}

    def update_access_entry(self, clusterName, principalArn, kubernetesGroups):
        self.entries[principalArn]["kubernetesGroups"] = kubernetesGroups

    def delete_access_entry(self, clusterName, principalArn):
        del self.entries[principalArn]
