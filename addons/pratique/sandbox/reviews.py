"""The virtual resources of authentication and authorization: posted, answered, never stored.

Pure. Authorization is simple: every authenticated user may do everything; SubjectAccessReviews say so.
"""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from typing import Any

from pratique.sandbox import status
from pratique.sandbox.authenticator import TokenError, User
from pratique.sandbox.resources import Resource
from pratique.sandbox.store import rfc3339

JSON = dict[str, Any]
MAX_TOKEN_SECONDS = 1 << 32

ALLOWED = {"allowed": True, "reason": "the sandbox lets every authenticated user do everything"}
EVERYTHING = {
    "resourceRules": [{"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"]}],
    "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    "incomplete": False,
}


def user_info(user: User) -> JSON:
    info: JSON = {"username": user.username}
    if user.uid:
        info["uid"] = user.uid
    if user.groups:
        info["groups"] = list(user.groups)
    if user.extra:
        info["extra"] = user.extra
    return info


def answer(resource: Resource, body: JSON, user: User, now: float, authenticate: Callable[[str], User]) -> JSON:
    """The review with its status filled in."""
    review = copy.deepcopy(body)
    review |= {"kind": resource.kind, "apiVersion": resource.api_version}
    review["metadata"] = {**(review.get("metadata") or {}), "creationTimestamp": None}
    if resource.plural == "selfsubjectreviews":
        review["metadata"]["creationTimestamp"] = rfc3339(now)
        review["status"] = {"userInfo": user_info(user)}
    elif resource.plural == "selfsubjectrulesreviews":
        review["status"] = EVERYTHING
    elif resource.plural == "tokenreviews":
        review["status"] = _token_review(review, authenticate)
    else:
        _check_access_review(resource, review)
        review["status"] = ALLOWED
    return review


def _check_access_review(resource: Resource, review: JSON) -> None:
    spec = review.get("spec") or {}
    if bool(spec.get("resourceAttributes")) == bool(spec.get("nonResourceAttributes")):
        text = "exactly one of nonResourceAttributes or resourceAttributes must be specified"
        raise status.invalid(resource, "", [status.cause("FieldValueInvalid", text, "spec.resourceAttributes")])


def _token_review(review: JSON, authenticate: Callable[[str], User]) -> JSON:
    try:
        user = authenticate((review.get("spec") or {}).get("token", ""))
    except TokenError as error:
        return {"user": {}, "error": str(error)}
    return {"authenticated": True, "user": user_info(user)}


def service_account_user(namespace: str, name: str) -> User:
    groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
    return User(f"system:serviceaccount:{namespace}:{name}", groups)


def token_request(body: JSON, account: JSON, now: float, uid: str) -> JSON:
    """A TokenRequest with a token in its status: shaped as a JWT, signed by nobody."""
    review = copy.deepcopy(body)
    spec = review.get("spec") or {}
    seconds = min(int(spec.get("expirationSeconds") or 3600), MAX_TOKEN_SECONDS)
    namespace, name = account["metadata"]["namespace"], account["metadata"]["name"]
    claims = {"aud": spec.get("audiences") or ["https://kubernetes.default.svc"], "exp": int(now) + seconds,
              "iat": int(now), "jti": uid, "sub": f"system:serviceaccount:{namespace}:{name}"}  # fmt: skip
    sections = ({"alg": "RS256", "kid": "sandbox"}, claims, {"signature": "sandbox-not-a-signature"})
    parts = [base64.urlsafe_b64encode(json.dumps(item).encode()).decode().rstrip("=") for item in sections]
    review |= {"kind": "TokenRequest", "apiVersion": "authentication.k8s.io/v1"}
    review["metadata"] = {"name": name, "namespace": namespace, "creationTimestamp": rfc3339(now)}
    review["spec"] = {
        "audiences": claims["aud"],
        "expirationSeconds": seconds,
        "boundObjectRef": spec.get("boundObjectRef"),
    }
    review["status"] = {"token": ".".join(parts), "expirationTimestamp": rfc3339(now + seconds)}
    return review
